//! Which trace a run belongs to, by W3C Trace Context (level 1): ids, their text, and the spans of attempts, which
//! follow from the trace, so that whoever has an attempt knows its span without being told.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::digest::{Digest, Hasher};
use crate::id::AttemptId;

/// Names a trace: 16 bytes, not all zero. Written as 32 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct TraceId([u8; 16]);

/// Names a span of a trace: 8 bytes, not all zero. Written as 16 lower-case hex digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct SpanId([u8; 8]);

/// What all attempts of a run are told of their trace.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
pub struct Trace {
    /// The trace.
    pub id: TraceId,
    /// Whether its spans are recorded somewhere.
    pub sampled: bool,
}

/// A span of a trace, as it is handed on: the `traceparent` of W3C Trace Context.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug)]
pub struct TraceParent {
    /// The trace.
    pub trace: Trace,
    /// The span that what it is handed to becomes a child of.
    pub span: SpanId,
}

/// Why a text is no `traceparent`.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no traceparent: one is `00-`, 32 lower-case hex digits, `-`, 16 of them, `-` and 2 of them, and neither of the \
     first two is all zeros"
)]
pub struct InvalidTraceParent(pub String);

/// Why a text is no id of a trace.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("`{0}` is no id of a trace: one is 32 lower-case hex digits, not all zeros")]
pub struct InvalidTraceId(pub String);

impl TraceId {
    /// One that nobody has. None where the system gives no random bytes.
    #[must_use]
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 16];
        getrandom::fill(&mut bytes).ok()?;
        Self::from_bytes(bytes)
    }

    /// None where all bytes are zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 16]) -> Option<Self> {
        (bytes != [0; 16]).then_some(Self(bytes))
    }

    /// The 16 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 16] {
        &self.0
    }
}

impl SpanId {
    /// One that nobody has. None where the system gives no random bytes.
    #[must_use]
    pub fn random() -> Option<Self> {
        let mut bytes = [0; 8];
        getrandom::fill(&mut bytes).ok()?;
        Self::from_bytes(bytes)
    }

    /// None where all bytes are zero.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 8]) -> Option<Self> {
        (bytes != [0; 8]).then_some(Self(bytes))
    }

    /// The 8 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 8] {
        &self.0
    }

    /// The span of an attempt of the run that `trace` is of: the first 8 bytes of the SHA-256 of the trace's
    /// bytes and the attempt's node, index and number, 4 bytes each, little-endian. A run has a trace, and within
    /// it an id is that of one attempt, so whoever knows both knows the span, on whichever machine.
    #[must_use]
    pub fn of_attempt(trace: TraceId, id: AttemptId) -> Self {
        let mut hasher = Hasher::default();
        hasher.update(&trace.0);
        for number in [id.branch.node.0, id.branch.index, id.number] {
            hasher.update(&number.to_le_bytes());
        }
        Self::beginning(&hasher.finish())
    }

    /// The span of what is called `name` in the span `within`.
    #[must_use]
    pub fn of_name(within: Self, name: &str) -> Self {
        Self::beginning(&Digest::of(&[&within.0[..], name.as_bytes()].concat()))
    }

    fn beginning(digest: &Digest) -> Self {
        let [a, b, c, d, e, f, g, h, ..] = *digest.as_bytes();
        // That it is all zero happens to nobody; it must not be, all the same.
        Self::from_bytes([a, b, c, d, e, f, g, h]).unwrap_or(Self([1; 8]))
    }
}

impl Trace {
    /// The span of an attempt, as it is handed on.
    #[must_use]
    pub fn of_attempt(self, id: AttemptId) -> TraceParent {
        TraceParent { trace: self, span: SpanId::of_attempt(self.id, id) }
    }
}

fn write_hex(bytes: &[u8], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    bytes.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
}

/// The bytes that lower-case hex digits stand for, where there are exactly so many.
fn read_hex<const N: usize>(text: &str) -> Option<[u8; N]> {
    let digit = |digit: &u8| match digit {
        b'0'..=b'9' => Some(digit - b'0'),
        b'a'..=b'f' => Some(digit - b'a' + 10),
        _ => None,
    };
    let mut bytes = [0; N];
    if text.len() != 2 * N {
        return None;
    }
    for (byte, pair) in bytes.iter_mut().zip(text.as_bytes().chunks_exact(2)) {
        let [high, low] = pair else { return None };
        *byte = digit(high)? << 4 | digit(low)?;
    }
    Some(bytes)
}

impl fmt::Display for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for TraceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_hex(&self.0, f)
    }
}

impl fmt::Debug for SpanId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl TryFrom<String> for TraceId {
    type Error = InvalidTraceId;

    fn try_from(text: String) -> Result<Self, Self::Error> {
        read_hex(&text).and_then(Self::from_bytes).ok_or(InvalidTraceId(text))
    }
}

impl From<TraceId> for String {
    fn from(id: TraceId) -> Self {
        id.to_string()
    }
}

impl fmt::Display for TraceParent {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "00-{}-{}-{:02x}", self.trace.id, self.span, u8::from(self.trace.sampled))
    }
}

impl FromStr for TraceParent {
    type Err = InvalidTraceParent;

    /// Of version 00. A higher one is read as far as it is the same, which is what it promises to be; 55 characters
    /// and, after a `-`, whatever there is more.
    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let read = || {
            let mut parts = text.splitn(5, '-');
            let [version] = read_hex(parts.next()?)?;
            let id = TraceId::from_bytes(read_hex(parts.next()?)?)?;
            let span = SpanId::from_bytes(read_hex(parts.next()?)?)?;
            let [flags] = read_hex::<1>(parts.next()?)?;
            let more = parts.next().is_some();
            // Version ff is forbidden.
            if version == u8::MAX || (version == 0 && more) {
                return None;
            }
            Some(Self { trace: Trace { id, sampled: flags & 1 == 1 }, span })
        };
        read().ok_or_else(|| InvalidTraceParent(text.to_owned()))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::id::{BranchId, NodeId};

    /// The example of the standard.
    const EXAMPLE: &str = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";

    fn attempt(node: u32, index: u32, number: u32) -> AttemptId {
        AttemptId { branch: BranchId { node: NodeId(node), index }, number }
    }

    #[test]
    fn what_the_standard_shows_is_read_and_written() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        assert_eq!(parent.trace.id.to_string(), "0af7651916cd43dd8448eb211c80319c");
        assert_eq!((parent.span.to_string().as_str(), parent.trace.sampled), ("b7ad6b7169203331", true));
        assert_eq!(parent.to_string(), EXAMPLE);
    }

    #[test]
    fn flags_that_are_not_known_are_neither_minded_nor_handed_on() {
        let parent: TraceParent = EXAMPLE.replace("-01", "-fe").parse().unwrap();
        assert!(!parent.trace.sampled);
        assert_eq!(parent.to_string(), EXAMPLE.replace("-01", "-00"));
    }

    #[test]
    fn a_higher_version_is_read_as_far_as_it_is_the_same() {
        let parent: TraceParent = EXAMPLE.parse().unwrap();
        for text in
            [EXAMPLE.replacen("00", "cc", 1), format!("{}-what-comes", EXAMPLE.replacen("00", "01", 1))]
        {
            assert_eq!(text.parse(), Ok(parent), "{text}");
        }
    }

    #[test]
    fn what_is_no_traceparent_is_refused() {
        let wrong = [
            String::new(),
            "00".to_owned(),
            EXAMPLE.replacen("00", "ff", 1),
            EXAMPLE.to_uppercase(),
            EXAMPLE.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32)),
            EXAMPLE.replace("b7ad6b7169203331", &"0".repeat(16)),
            EXAMPLE.replace("-01", "-1"),
            EXAMPLE.replace("-01", ""),
            EXAMPLE.replace("b7", "bg"),
            EXAMPLE.replacen('0', "é", 1),
            format!("{EXAMPLE}-more"),
            format!("{EXAMPLE}."),
            format!(" {EXAMPLE}"),
        ];
        for text in wrong {
            assert_eq!(text.parse::<TraceParent>(), Err(InvalidTraceParent(text.clone())), "{text}");
        }
    }

    #[test]
    fn attempts_have_spans_of_their_own_that_follow_from_their_ids() {
        let trace: TraceParent = EXAMPLE.parse().unwrap();
        let span = |node, index, number| trace.trace.of_attempt(attempt(node, index, number)).span;
        // Held here, since workers of other versions and other makers compute it too.
        assert_eq!(span(3, 120, 2).to_string(), "e9838080b261a7b3");
        let all = [span(3, 120, 2), span(3, 120, 1), span(3, 121, 2), span(4, 120, 2)];
        assert!((0..4).all(|at| !all[..at].contains(&all[at])), "{all:?}");
    }

    #[test]
    fn an_id_is_text_where_it_is_kept() {
        let trace = EXAMPLE.parse::<TraceParent>().unwrap().trace;
        let text = serde_json::to_string(&trace).unwrap();
        assert_eq!(text, r#"{"id":"0af7651916cd43dd8448eb211c80319c","sampled":true}"#);
        assert_eq!(serde_json::from_str::<Trace>(&text).unwrap(), trace);
        let zero = text.replace("0af7651916cd43dd8448eb211c80319c", &"0".repeat(32));
        assert!(serde_json::from_str::<Trace>(&zero).is_err());
    }

    proptest! {
        #[test]
        fn what_is_written_is_read(trace in any::<[u8; 16]>(), span in any::<[u8; 8]>(), sampled: bool) {
            if let (Some(id), Some(span)) = (TraceId::from_bytes(trace), SpanId::from_bytes(span)) {
                let parent = TraceParent { trace: Trace { id, sampled }, span };
                prop_assert_eq!(parent.to_string().parse(), Ok(parent));
            }
        }

        #[test]
        fn no_text_is_too_strange(text in "\\PC{0,80}|[0-9a-f-]{50,60}") {
            if let Ok(parent) = text.parse::<TraceParent>() {
                prop_assert_eq!(&parent.to_string()[2..53], &text[2..53]);
            }
        }
    }
}
