//! What a worker says of itself to whoever looks at its queue. It expires unless it is said again.

use serde::{Deserialize, Serialize};

/// A worker, as it described itself. Keys that are not known are ignored, so that one of another protocol
/// can be shown.
#[derive(Clone, PartialEq, Debug, Serialize, Deserialize)]
pub struct Announcement {
    /// What it is called, unlike any other.
    pub id: String,
    /// The host that it is on.
    #[serde(default)]
    pub host: String,
    /// Its process there.
    #[serde(default)]
    pub pid: u32,
    /// The protocol that it speaks.
    pub protocol: u32,
    /// flowhost's version.
    #[serde(default)]
    pub flowhost: String,
    /// What executes guests, with its version.
    #[serde(default)]
    pub engine: String,
    /// The target triple that it was built for.
    #[serde(default)]
    pub target: String,
    /// Attempts that it executes at once at most.
    #[serde(default)]
    pub concurrency: u64,
    /// Attempts that it executes.
    #[serde(default)]
    pub running: u64,
    /// The queues that it serves, the first before the others.
    #[serde(default)]
    pub queues: Vec<String>,
    /// For how long it holds an attempt at a time, in milliseconds.
    #[serde(default)]
    pub lease_ms: u64,
    /// Whether it takes nothing more.
    #[serde(default)]
    pub draining: bool,
    /// When it began, in UTC by RFC 3339.
    #[serde(default)]
    pub since: String,
    /// The most that it grants.
    #[serde(default)]
    pub ceiling: serde_json::Value,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_others_say_besides_is_ignored_and_what_they_leave_out_is_empty() {
        let said = r#"{"id":"w1","protocol":7,"concurrency":4,"moon":"full","queues":["a","b"]}"#;
        let known: Announcement = serde_json::from_str(said).unwrap();
        assert_eq!((known.protocol, known.concurrency, known.draining), (7, 4, false));
        let again: Announcement = serde_json::from_str(&serde_json::to_string(&known).unwrap()).unwrap();
        assert_eq!(again, known);
        serde_json::from_str::<Announcement>(r#"{"id":"w1"}"#).unwrap_err();
    }
}
