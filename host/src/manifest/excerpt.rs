//! A line of a file with the part in question underlined, fit for any terminal: tabs and wide
//! characters keep their columns, long lines are cut, control characters cannot act.

use std::borrow::Cow;
use std::fmt::Write as _;

use unicode_width::UnicodeWidthChar as _;

use super::span::Span;

/// So many columns of a line are shown.
const WIDTH: usize = 100;
/// So many of them before the part in question, where the line has to be cut.
const BEFORE: usize = 30;
const TAB: &str = "    ";
const CUT: &str = "…";

/// Text in which nothing acts on a terminal: control characters, and those that reorder text, are
/// written as escapes. Line ends too, so that a message stays one line.
pub(super) fn harmless(text: &str) -> Cow<'_, str> {
    if !text.contains(acts) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 16);
    for char in text.chars() {
        push(&mut shown, char);
    }
    Cow::Owned(shown)
}

/// Whether a terminal would do something other than show it.
fn acts(char: char) -> bool {
    char.is_control()
        || matches!(char, '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
            | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e007f}')
}

fn push(shown: &mut String, char: char) {
    if acts(char) {
        let _ = write!(shown, "{}", char.escape_unicode());
    } else {
        shown.push(char);
    }
}

/// A text and where its lines begin.
pub(super) struct Lines<'s> {
    source: &'s str,
    starts: Vec<usize>,
}

impl<'s> Lines<'s> {
    pub(super) fn new(source: &'s str) -> Self {
        let starts = std::iter::once(0)
            .chain(source.bytes().enumerate().filter(|(_, byte)| *byte == b'\n').map(|(at, _)| at + 1))
            .collect();
        Self { source, starts }
    }

    /// The line's number from 0, and the bytes where it begins and ends.
    fn line(&self, offset: usize) -> (usize, usize, usize) {
        let number = self.starts.partition_point(|start| *start <= offset).saturating_sub(1);
        let start = self.starts.get(number).copied().unwrap_or(0);
        let end = self.starts.get(number + 1).map_or(self.source.len(), |next| next - 1);
        let end =
            if end > start && self.source.as_bytes().get(end - 1) == Some(&b'\r') { end - 1 } else { end };
        (number, start, end)
    }

    /// Line and column of where `span` starts, both from 1. Columns are characters.
    pub(super) fn position(&self, span: Span) -> (usize, usize) {
        let (number, start, _) = self.line(self.floor(span.start));
        let before = self.source.get(start..self.floor(span.start)).unwrap_or_default();
        (number + 1, before.chars().count() + 1)
    }

    /// The nearest character boundary at or before `offset`.
    fn floor(&self, offset: usize) -> usize {
        self.source.floor_char_boundary(offset)
    }

    /// The line on which `span` starts, with its part underlined, in three lines.
    pub(super) fn excerpt(&self, span: Span) -> String {
        let from = self.floor(span.start);
        let (number, line_start, line_end) = self.line(from);
        let from = from.min(line_end);
        let to = self.floor(span.end).clamp(from, line_end);
        let part = |start, end| self.source.get(start..end).unwrap_or_default();

        let (before, start_cut) = last_columns(part(line_start, from), WIDTH - BEFORE, BEFORE, to < line_end);
        let room = WIDTH.saturating_sub(columns(&before));
        let (marked, marked_cut) = first_columns(part(from, to), room);
        let room = room.saturating_sub(columns(&marked));
        let (after, after_cut) =
            if marked_cut { (String::new(), false) } else { first_columns(part(to, line_end), room) };

        let number = (number + 1).to_string();
        let margin = " ".repeat(number.len());
        let head = if start_cut { CUT } else { "" };
        let tail = if marked_cut || after_cut { CUT } else { "" };
        let indent = " ".repeat(columns(&before) + usize::from(start_cut));
        let carets = "^".repeat(columns(&marked).max(1));
        let mut text = format!("{margin} |\n{number} | {head}{before}{marked}{after}{tail}\n");
        let _ = writeln!(text, "{margin} | {indent}{carets}");
        text
    }
}

fn columns(shown: &str) -> usize {
    shown.chars().map(|char| char.width().unwrap_or(0)).sum()
}

fn show(char: char) -> String {
    let mut shown = String::new();
    match char {
        '\t' => shown.push_str(TAB),
        char => push(&mut shown, char),
    }
    shown
}

/// As much of the text's beginning as fits, and whether some was cut.
fn first_columns(text: &str, room: usize) -> (String, bool) {
    let mut shown = String::new();
    let mut used = 0;
    for char in text.chars() {
        let next = show(char);
        used += columns(&next);
        if used > room {
            return (shown, true);
        }
        shown.push_str(&next);
    }
    (shown, false)
}

/// The text, or where it is wider than `room` its end in `cut` columns, and whether it was cut.
/// What ends the line may use the whole width.
fn last_columns(text: &str, room: usize, cut: usize, more: bool) -> (String, bool) {
    let room = if more { room } else { WIDTH };
    let mut pieces = Vec::new();
    let mut used = 0;
    let mut fits = true;
    for char in text.chars().rev() {
        let next = show(char);
        used += columns(&next);
        if used > room {
            fits = false;
            break;
        }
        pieces.push(next);
    }
    if !fits {
        let mut kept = 0;
        let count = pieces
            .iter()
            .take_while(|piece| {
                kept += columns(piece);
                kept <= cut
            })
            .count();
        pieces.truncate(count);
    }
    (pieces.into_iter().rev().collect(), !fits)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn excerpt(source: &str, part: &str) -> String {
        let start = source.find(part).unwrap();
        Lines::new(source).excerpt(Span { start, end: start + part.len() })
    }

    #[test]
    fn tabs_and_wide_characters_keep_their_columns() {
        assert_eq!(excerpt("a\n\tb = 界x\r\n", "x"), "  |\n2 |     b = 界x\n  |           ^\n");
        assert_eq!(Lines::new("a\n\tb = 界x\r\n").position(Span { start: 10, end: 11 }), (2, 7));
    }

    #[test]
    fn escapes_cannot_act() {
        let shown = excerpt("a = \"\u{1b}[2J\u{202e}\" # x", "x");
        assert!(shown.contains("\\u{1b}[2J\\u{202e}"), "{shown}");
        assert!(!shown.contains('\u{1b}'));
        let (line, carets) = (shown.lines().nth(1).unwrap(), shown.lines().nth(2).unwrap());
        assert_eq!(line.find('x'), carets.find('^'));
        assert_eq!(harmless("a\nb\u{7}"), "a\\u{a}b\\u{7}");
    }

    #[test]
    fn long_lines_are_cut_around_the_part() {
        let source = format!("{}NEEDLE{}", "a".repeat(5000), "b".repeat(5000));
        let shown = excerpt(&source, "NEEDLE");
        let (line, carets) = (shown.lines().nth(1).unwrap(), shown.lines().nth(2).unwrap());
        assert!(columns(line) < 110, "{line}");
        let at = carets.chars().take_while(|char| *char != '^').count();
        assert_eq!(line.chars().skip(at).take(6).collect::<String>(), "NEEDLE");
        assert_eq!(carets.matches('^').count(), 6);
    }

    #[test]
    fn any_span_of_any_text_is_shown() {
        for source in ["", "\n", "é", "a\r\n\r\nü\n"] {
            for start in 0..source.len() + 3 {
                for end in 0..source.len() + 3 {
                    let lines = Lines::new(source);
                    let span = Span { start, end };
                    assert_eq!(lines.excerpt(span).lines().count(), 3);
                    assert!(lines.position(span).0 > 0);
                }
            }
        }
    }
}
