//! Where something stands in the workflow file, in bytes. Knows nothing of what stands there.

use std::ops::Range;

/// A stretch of the file, from `start` up to and without `end`, in bytes.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug, Default)]
pub struct Span {
    /// The first byte.
    pub start: usize,
    /// One past the last byte.
    pub end: usize,
}

impl From<Range<usize>> for Span {
    fn from(range: Range<usize>) -> Self {
        Self { start: range.start, end: range.end }
    }
}

/// A value and where it stands.
#[derive(Clone, Copy, PartialEq, Debug)]
pub(super) struct At<T> {
    pub(super) span: Span,
    pub(super) value: T,
}

impl<T> At<T> {
    pub(super) fn new(span: Span, value: T) -> Self {
        Self { span, value }
    }
}

/// Where a string's text stands in the file.
#[derive(Clone, Copy)]
pub(super) struct Inside {
    string: Span,
    /// Where the text begins, where it stands in the file byte for byte: without escapes.
    start: Option<usize>,
}

impl Inside {
    /// Of the string at `string`, which reads as `text`.
    pub(super) fn new(source: &str, string: Span, text: &str) -> Self {
        let start = || {
            let written = source.get(string.start..string.end)?;
            let delimiter = if written.starts_with("\"\"\"") || written.starts_with("'''") { 3 } else { 1 };
            let end = written.len().checked_sub(delimiter)?;
            let start = end.checked_sub(text.len())?;
            (written.get(start..end)? == text).then_some(string.start + start)
        };
        Self { string, start: start() }
    }

    /// Where a stretch of the text stands, given in bytes of the text. The whole string where escapes
    /// keep that from being known.
    pub(super) fn at(self, range: &Range<usize>) -> Span {
        match self.start {
            Some(start) => Span { start: start + range.start, end: start + range.end },
            None => self.string,
        }
    }
}
