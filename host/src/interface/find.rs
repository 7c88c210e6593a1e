//! Names in a workflow to a component's functions and types: bare where unique, or with as much of
//! the interface's name as it takes.

use std::sync::Arc;

use super::component::full_name;
use super::suggest::{hint, listed, shorten};
use super::{Interface, Unsupported, suggest};
use crate::model::{Entry, Signature, Type};

/// A function that can be a task.
#[derive(Clone, PartialEq, Debug)]
pub struct Found {
    /// What an attempt calls. A command's value is text unless the caller says otherwise.
    pub entry: Entry,
    /// Its parameters and result.
    pub signature: Arc<Signature>,
}

/// Why a name leads to no function.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FindError {
    /// Nothing of that name.
    #[error("the component exports no function `{}`{}{}", shorten(.name), hint(.suggestion.as_deref()), exported(.known))]
    Unknown {
        /// The name as written.
        name: String,
        /// The full names of what could be called.
        known: Vec<String>,
        /// The name that was probably meant.
        suggestion: Option<String>,
    },
    /// More than one of that name.
    #[error("`{}` could be any of {}; write one of them in full", shorten(.name), listed(.candidates.iter().map(String::as_str)))]
    Ambiguous {
        /// The name as written.
        name: String,
        /// The full names of all that it could be.
        candidates: Vec<String>,
    },
    /// No task can be made of it.
    #[error("`{name}` cannot be a task: {reason}")]
    Unsupported {
        /// The function's full name.
        name: String,
        /// Why not.
        reason: Unsupported,
    },
}

/// Why a name leads to no type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum FindTypeError {
    /// Nothing of that name.
    #[error("the component names no type `{}`{}", shorten(.name), hint(.suggestion.as_deref()))]
    Unknown {
        /// The name as written.
        name: String,
        /// The full names of all types.
        known: Vec<String>,
        /// The name that was probably meant.
        suggestion: Option<String>,
    },
    /// Unlike types of that name.
    #[error("the type `{}` could be any of {}; write one of them in full", shorten(.name), listed(.candidates.iter().map(String::as_str)))]
    Ambiguous {
        /// The name as written.
        name: String,
        /// The full names of all that it could be.
        candidates: Vec<String>,
    },
    /// No value can have that type.
    #[error("no value can have the type `{name}`: {reason}")]
    Unsupported {
        /// The type's full name.
        name: String,
        /// Why not.
        reason: Unsupported,
    },
}

impl Interface {
    /// The function that `text` names: `function` where that is unique, else `interface.function` or
    /// `ns:pkg/interface.function`, the version optional as in `ns:pkg/interface@0.1.0.function`. A
    /// function of the world itself comes before those of interfaces. A command is `run` of
    /// `wasi:cli/run`.
    ///
    /// # Errors
    /// Fails when no function, or more than one, has that name, and when it cannot be a task.
    pub fn find(&self, text: &str) -> Result<Found, FindError> {
        let name = Name::parse(text);
        let functions = self.exports.iter().map(|export| Candidate {
            interface: export.interface.as_deref(),
            name: &export.name,
            is: Found { entry: export.entry(), signature: Arc::clone(&export.signature) },
        });
        let command = self.command.iter().map(|interface| Candidate {
            interface: Some(interface),
            name: "run",
            is: Found {
                entry: Entry::Command { bytes: false },
                signature: Arc::new(Signature::command(false)),
            },
        });
        let mut matching: Vec<_> = functions.chain(command).filter(|one| name.matches(one)).collect();
        name.prefer_world(&mut matching);
        match <[_; 1]>::try_from(matching) {
            Ok([one]) => Ok(one.is),
            Err(none) if none.is_empty() => Err(self.not_found(&name)),
            Err(several) => Err(FindError::Ambiguous {
                name: text.to_owned(),
                candidates: several.iter().map(Candidate::full_name).collect(),
            }),
        }
    }

    fn not_found(&self, name: &Name<'_>) -> FindError {
        let unsupported = self.unsupported.iter().find(|export| {
            name.matches(&Candidate { interface: export.interface.as_deref(), name: &export.name, is: () })
        });
        if let Some(export) = unsupported {
            let name = full_name(export.interface.as_deref(), &export.name);
            return FindError::Unsupported { name, reason: export.reason };
        }
        let command = self.command.iter().map(|interface| full_name(Some(interface), "run"));
        let known: Vec<_> = self.exports.iter().map(super::Export::full_name).chain(command).collect();
        FindError::Unknown { name: name.text.to_owned(), suggestion: near(name.text, &known), known }
    }

    /// The type that `text` names, written as for [`Interface::find`]. Where several have that name,
    /// they are one if their structure is, and those that the component exports come before those of
    /// imported interfaces.
    ///
    /// # Errors
    /// Fails when no type, or more than one, has that name, and when no value can have it.
    pub fn named_type(&self, text: &str) -> Result<Type, FindTypeError> {
        let name = Name::parse(text);
        let mut matching: Vec<_> = self
            .types
            .iter()
            .map(|ty| Candidate { interface: ty.interface.as_deref(), name: &ty.name, is: ty })
            .filter(|one| name.matches(one))
            .collect();
        name.prefer_world(&mut matching);
        if matching.iter().any(|one| one.is.exported) {
            matching.retain(|one| one.is.exported);
        }
        let Some(first) = matching.first() else {
            let known: Vec<_> =
                self.types.iter().map(|ty| full_name(ty.interface.as_deref(), &ty.name)).collect();
            let suggestion = near(text, &known);
            return Err(FindTypeError::Unknown { name: text.to_owned(), known, suggestion });
        };
        if matching.iter().any(|other| other.is.ty != first.is.ty) {
            let candidates = matching.iter().map(Candidate::full_name).collect();
            return Err(FindTypeError::Ambiguous { name: text.to_owned(), candidates });
        }
        first.is.ty.clone().map_err(|reason| FindTypeError::Unsupported { name: first.full_name(), reason })
    }
}

/// Something that a name may mean.
struct Candidate<'a, T> {
    interface: Option<&'a str>,
    name: &'a str,
    is: T,
}

impl<T> Candidate<'_, T> {
    fn full_name(&self) -> String {
        full_name(self.interface, self.name)
    }
}

/// A name as a workflow writes it.
struct Name<'a> {
    text: &'a str,
    interface: Option<&'a str>,
    item: &'a str,
}

impl<'a> Name<'a> {
    /// Versions hold dots and names of items do not, so the last dot is the one that separates.
    fn parse(text: &'a str) -> Self {
        match text.rsplit_once('.') {
            Some((interface, item)) => Self { text, interface: Some(interface), item },
            None => Self { text, interface: None, item: text },
        }
    }

    fn matches<T>(&self, candidate: &Candidate<'_, T>) -> bool {
        if self.item != candidate.name {
            return false;
        }
        let Some(wanted) = self.interface else { return true };
        let Some(full) = candidate.interface else { return false };
        let (path, _version) = full.split_once('@').unwrap_or((full, ""));
        let bare = path.rsplit('/').next().unwrap_or(path);
        [full, path, bare].contains(&wanted)
    }

    /// A bare name is the full name of an item of the world itself, which has no other.
    fn prefer_world<T>(&self, matching: &mut Vec<Candidate<'_, T>>) {
        if self.interface.is_none() && matching.iter().any(|one| one.interface.is_none()) {
            matching.retain(|one| one.interface.is_none());
        }
    }
}

/// The full or bare name among `known` that `text` was probably meant to be.
fn near(text: &str, known: &[String]) -> Option<String> {
    let bare = known.iter().map(|name| name.rsplit('.').next().unwrap_or(name));
    let names = known.iter().map(String::as_str);
    suggest(text, bare.chain(names)).map(str::to_owned)
}

fn exported(known: &[String]) -> String {
    if known.is_empty() {
        return "; it exports no function that can be a task".to_owned();
    }
    format!("; it exports {}", listed(known.iter().map(String::as_str)))
}
