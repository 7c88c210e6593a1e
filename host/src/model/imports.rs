//! What the host provides to guests, by interface. A test holds the linker to this list.

/// An interface that the host provides.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Provided {
    /// Package and interface, without the version.
    pub name: &'static str,
    /// The versions that are provided: the newest of each compatible line (Semantic Versioning 2.0).
    pub version: &'static str,
    /// The grant without which its functions reach nothing.
    pub needs: Option<&'static str>,
    /// Whether a deterministic task may import it.
    pub deterministic: bool,
    /// What it is for, where no grant says so.
    pub purpose: Option<&'static str>,
}

const fn provided(name: &'static str, version: &'static str) -> Provided {
    Provided { name, version, needs: None, deterministic: true, purpose: None }
}

impl Provided {
    const fn needs(self, grant: &'static str) -> Self {
        Self { needs: Some(grant), ..self }
    }

    const fn purpose(self, purpose: &'static str) -> Self {
        Self { purpose: Some(purpose), ..self }
    }

    const fn nondeterministic(self) -> Self {
        Self { deterministic: false, ..self }
    }
}

/// Every interface with functions that the host provides.
pub const PROVIDED: &[Provided] = &[
    provided("flowhost:task/channel", "0.1.0")
        .purpose("the run's shared store, which every task of the run can read and change; not for deterministic tasks")
        .nondeterministic(),
    provided("flowhost:task/context", "0.1.0"),
    provided("flowhost:task/flow", "0.1.0")
        .purpose("asks that other tasks start, that it runs again, that the run ends, as far as the file allows; not for deterministic tasks")
        .nondeterministic(),
    provided("flowhost:task/log", "0.1.0"),
    provided("flowhost:task/metrics", "0.1.0").purpose("figures for the run's totals"),
    provided("flowhost:task/progress", "0.1.0"),
    provided("wasi:logging/logging", "0.1.0-draft"),
    provided("wasi:cli/environment", "0.2.12").needs("env"),
    provided("wasi:cli/exit", "0.2.12"),
    provided("wasi:cli/stderr", "0.2.12"),
    provided("wasi:cli/stdin", "0.2.12"),
    provided("wasi:cli/stdout", "0.2.12"),
    provided("wasi:cli/terminal-input", "0.2.12"),
    provided("wasi:cli/terminal-output", "0.2.12"),
    provided("wasi:cli/terminal-stderr", "0.2.12"),
    provided("wasi:cli/terminal-stdin", "0.2.12"),
    provided("wasi:cli/terminal-stdout", "0.2.12"),
    provided("wasi:clocks/monotonic-clock", "0.2.12"),
    provided("wasi:clocks/wall-clock", "0.2.12"),
    provided("wasi:filesystem/preopens", "0.2.12").needs("read or write"),
    provided("wasi:filesystem/types", "0.2.12").needs("read or write"),
    provided("wasi:http/outgoing-handler", "0.2.12").needs("http"),
    provided("wasi:http/types", "0.2.12"),
    provided("wasi:io/error", "0.2.12"),
    provided("wasi:io/poll", "0.2.12"),
    provided("wasi:io/streams", "0.2.12"),
    provided("wasi:random/insecure", "0.2.12"),
    provided("wasi:random/insecure-seed", "0.2.12"),
    provided("wasi:random/random", "0.2.12"),
    provided("wasi:sockets/instance-network", "0.2.12").needs("net"),
    provided("wasi:sockets/ip-name-lookup", "0.2.12").needs("net"),
    provided("wasi:sockets/network", "0.2.12").needs("net"),
    provided("wasi:sockets/tcp", "0.2.12").needs("net"),
    provided("wasi:sockets/tcp-create-socket", "0.2.12").needs("net"),
    provided("wasi:sockets/udp", "0.2.12").needs("net"),
    provided("wasi:sockets/udp-create-socket", "0.2.12").needs("net"),
];

/// The entry that provides `import`, such as `wasi:cli/exit@0.2.3`. The version is optional, and of
/// a provided line any older one will do.
#[must_use]
pub fn find(import: &str) -> Option<&'static Provided> {
    let (name, version) = match import.split_once('@') {
        Some((name, version)) => (name, Some(version)),
        None => (import, None),
    };
    PROVIDED.iter().find(|provided| {
        provided.name == name && version.is_none_or(|version| compatible(version, provided.version))
    })
}

/// Whether what asks for `wanted` can have `provided`: the same leftmost number that is not zero,
/// and nothing newer than what is provided.
fn compatible(wanted: &str, provided: &str) -> bool {
    if wanted == provided {
        return true;
    }
    let numbers = |version: &str| -> Option<[u64; 3]> {
        let mut parts = version.split('.').map(|part| part.parse().ok());
        let numbers = [parts.next()??, parts.next()??, parts.next()??];
        parts.next().is_none().then_some(numbers)
    };
    let (Some(wanted), Some(provided)) = (numbers(wanted), numbers(provided)) else { return false };
    let line = |[major, minor, patch]: [u64; 3]| match (major, minor) {
        (0, 0) => (0, 0, patch),
        (0, minor) => (0, minor, 0),
        (major, _) => (major, 0, 0),
    };
    line(wanted) == line(provided) && wanted <= provided
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_match_by_line() {
        for import in [
            "wasi:cli/exit",
            "wasi:cli/exit@0.2.0",
            "wasi:cli/exit@0.2.12",
            "wasi:logging/logging@0.1.0-draft",
        ] {
            assert!(find(import).is_some(), "{import}");
        }
        for import in [
            "wasi:cli/exit@0.3.0",
            "wasi:cli/exit@0.2.13",
            "wasi:cli/exit@1.2.0",
            "wasi:cli/leave",
            "wasi:cli/exit@x",
        ] {
            assert!(find(import).is_none(), "{import}");
        }
    }
}
