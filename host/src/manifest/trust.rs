//! How far a workflow file is trusted: as a script of one's own, or with nothing of the environment
//! and the network but what the command line allows, and without ssh. Directories are bounded by the root instead.

use std::str::FromStr;

use super::scope::Scope;
use super::span::Span;
use crate::model::{AddressError, AddressRange, Origin, OriginError};

/// How far a workflow file is trusted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Trust {
    /// What it asks for is given.
    Full,
    /// Of the environment and the network nothing is given but this, and no executor of the kind `ssh` may be
    /// configured. Asking for more is a problem of the file.
    Only(Vec<Allow>),
}

/// Something that an untrusted file may be given, written `env=NAME`, `net=RANGE` or `http=ORIGIN`.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Allow {
    /// A variable of flowhost's own environment.
    Variable(String),
    /// Addresses with ports, and all ranges inside.
    Net(AddressRange),
    /// An origin of HTTP.
    Http(Origin),
}

/// Why a text is no [`Allow`].
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum AllowError {
    /// It begins with none of the three kinds.
    #[error("it is written env=NAME, net=10.0.0.0/8:5432 or http=https://api.example.com")]
    Kind,
    /// No variable is called that.
    #[error("`{0}` cannot be the name of an environment variable")]
    Variable(String),
    /// The range is none.
    #[error("{0}; {help}", help = .0.help())]
    Net(#[from] AddressError),
    /// The origin is none.
    #[error("{0}; {help}", help = .0.help())]
    Http(#[from] OriginError),
}

impl FromStr for Allow {
    type Err = AllowError;

    fn from_str(text: &str) -> Result<Self, AllowError> {
        match text.split_once('=') {
            Some(("env", name)) if is_variable(name) => Ok(Self::Variable(name.to_owned())),
            Some(("env", name)) => Err(AllowError::Variable(name.to_owned())),
            Some(("net", range)) => Ok(Self::Net(range.parse()?)),
            Some(("http", origin)) => Ok(Self::Http(origin.parse()?)),
            Some(_) | None => Err(AllowError::Kind),
        }
    }
}

/// Whether a variable can be called `name`.
pub(super) fn is_variable(name: &str) -> bool {
    !name.is_empty() && !name.contains(['=', '\0'])
}

impl Scope<'_> {
    /// Whether the file may read this variable of flowhost's environment; a problem where not.
    pub(super) fn may_read(&self, name: &str, span: Span) -> bool {
        let allowed = |allow: &Allow| matches!(allow, Allow::Variable(allowed) if allowed == name);
        self.may(allowed, span, &format!("read the environment variable `{name}`"), &format!("env={name}"))
    }

    /// Whether the file may ask for these addresses; a problem where not.
    pub(super) fn may_connect(&self, range: &AddressRange, span: Span) -> bool {
        let allowed = |allow: &Allow| matches!(allow, Allow::Net(allowed) if allowed.covers(range));
        self.may(allowed, span, &format!("connect to `{range}`"), &format!("net={range}"))
    }

    /// Whether the file may ask for this origin; a problem where not.
    pub(super) fn may_request(&self, origin: &Origin, span: Span) -> bool {
        let allowed = |allow: &Allow| matches!(allow, Allow::Http(allowed) if allowed == origin);
        self.may(allowed, span, &format!("send requests to `{origin}`"), &format!("http={origin}"))
    }

    /// Reports a file that may not say where ssh goes, and with what key. No flag allows that: ssh has the
    /// rights of whoever runs flowhost.
    pub(super) fn need_trust_for_ssh(&self, span: Span) {
        match self.trust {
            Trust::Full => {}
            Trust::Only(_) => self.findings.at_with_help(
                span,
                "an untrusted file may not configure an executor of the kind `ssh`",
                "leave its section out; or read the file, and run it without --untrusted",
            ),
        }
    }

    fn may(&self, allowed: impl Fn(&Allow) -> bool, span: Span, what: &str, flag: &str) -> bool {
        let may = match self.trust {
            Trust::Full => true,
            Trust::Only(list) => list.iter().any(allowed),
        };
        if !may {
            self.findings.at_with_help(
                span,
                format!("an untrusted file may not {what}"),
                format!("if it should: --allow {flag}"),
            );
        }
        may
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_allowed_is_read() {
        let read = |text: &str| text.parse::<Allow>();
        assert_eq!(read("env=KEY"), Ok(Allow::Variable("KEY".to_owned())));
        assert_eq!(read("net=10.0.0.0/8:1-9").unwrap(), Allow::Net("10.0.0.0/8:1-9".parse().unwrap()));
        assert_eq!(read("http=http://a.example").unwrap(), Allow::Http("http://a.example".parse().unwrap()));
        for text in ["KEY", "", "read=data", "ENV=KEY"] {
            assert_eq!(read(text), Err(AllowError::Kind), "{text}");
        }
        for text in ["env=", "env=A=B"] {
            assert!(matches!(read(text), Err(AllowError::Variable(_))), "{text}");
        }
        let error = read("net=db.example.com:5432").unwrap_err().to_string();
        assert!(error.contains("`db.example.com` is not an IP address; names are not looked up"), "{error}");
        assert!(matches!(read("http=a.example"), Err(AllowError::Http(_))));
    }
}
