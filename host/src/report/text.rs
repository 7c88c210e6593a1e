//! Makes text that a guest wrote harmless for a terminal. It must not know what the text is about:
//! names, lines and errors are all treated alike.

use std::borrow::Cow;
use std::fmt::Write;

/// So many characters of a line are shown at most.
const MAX_LINE: usize = 2_000;

/// So many lines of one text are shown at most.
const MAX_LINES: usize = 40;

/// One line that no terminal takes for anything but text. Control characters, line ends among
/// them, and characters that are invisible or reorder others are shown as `\u{1b}`; tabs stay.
/// What is beyond the bound is left out, with a mark that says how much.
pub(crate) fn line(text: &str) -> Cow<'_, str> {
    // A byte is at most a character, so that short lines need no counting.
    if text.len() <= MAX_LINE && text.chars().all(is_harmless) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len().min(MAX_LINE) + 32);
    for (taken, (at, char)) in text.char_indices().enumerate() {
        if taken == MAX_LINE {
            let _infallible = write!(shown, "… ({} more bytes)", text.len() - at);
            break;
        }
        if is_harmless(char) {
            shown.push(char);
        } else {
            let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(char));
        }
    }
    Cow::Owned(shown)
}

/// A text of any length as it stands, but for what a terminal would obey: that is shown as in
/// [`line()`]. Line ends stay.
pub(crate) fn harmless(text: &str) -> Cow<'_, str> {
    let keeps = |char: char| char == '\n' || is_harmless(char);
    if text.chars().all(keeps) {
        return Cow::Borrowed(text);
    }
    let mut shown = String::with_capacity(text.len() + 32);
    for char in text.chars() {
        if keeps(char) {
            shown.push(char);
        } else {
            let _infallible = write!(shown, "\\u{{{:x}}}", u32::from(char));
        }
    }
    Cow::Owned(shown)
}

/// A text line by line, each as [`line()`] shows it. Beyond the bound one line says how many more there
/// are. A text without lines is one empty line.
pub(crate) fn lines(text: &str) -> impl Iterator<Item = Cow<'_, str>> {
    let total = text.lines().count();
    let empty = (total == 0).then_some(Cow::Borrowed(""));
    let rest = total.saturating_sub(MAX_LINES);
    let mark = (rest > 0).then(|| Cow::Owned(format!("… ({rest} more lines)")));
    empty.into_iter().chain(text.lines().take(MAX_LINES).map(line)).chain(mark)
}

/// The first line of a text, with a mark if there are more.
pub(crate) fn first_line(text: &str) -> Cow<'_, str> {
    let text = text.trim_end();
    match text.split_once('\n') {
        Some((first, _)) => Cow::Owned(format!("{} …", line(first.trim_end_matches('\r')))),
        None => line(text),
    }
}

/// Whether a terminal shows the character as itself and nothing else.
pub(crate) fn is_harmless(char: char) -> bool {
    match char {
        '\t' => true,
        _ if char.is_control() => false,
        // Marks that reorder or hide text, line and paragraph ends, tags, annotations.
        '\u{ad}'
        | '\u{61c}'
        | '\u{180e}'
        | '\u{200b}'
        | '\u{200e}'..='\u{200f}'
        | '\u{2028}'..='\u{202e}'
        | '\u{2060}'..='\u{206f}'
        | '\u{feff}'
        | '\u{fff9}'..='\u{fffb}'
        | '\u{e0000}'..='\u{e0fff}' => false,
        // The last two of every plane, and 32 more, are no characters.
        '\u{fdd0}'..='\u{fdef}' => false,
        _ => u32::from(char) & 0xfffe != 0xfffe,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn p5_escape_sequences_are_shown_and_not_obeyed() {
        assert_eq!(line("\x1b[2J\x1b]0;title\x07 red"), "\\u{1b}[2J\\u{1b}]0;title\\u{7} red");
        assert_eq!(line("\u{9b}31m\u{7f}\r\n"), "\\u{9b}31m\\u{7f}\\u{d}\\u{a}");
    }

    #[test]
    fn p5_text_cannot_be_reordered_or_hidden() {
        assert_eq!(line("a\u{202e}b\u{2066}c\u{200b}"), "a\\u{202e}b\\u{2066}c\\u{200b}");
        assert_eq!(line("\u{fffe}\u{1ffff}\u{2028}"), "\\u{fffe}\\u{1ffff}\\u{2028}");
    }

    #[test]
    fn ordinary_text_stays_as_it_is() {
        for text in ["", "a\tb", "C:\\dir\\u{1b}", "naïve 日本語 👩\u{200d}👩 e\u{301} \u{5d0}"] {
            assert!(matches!(line(text), Cow::Borrowed(same) if same == text), "{text}");
        }
    }

    #[test]
    fn long_lines_are_cut_with_a_mark() {
        let text = "é".repeat(MAX_LINE + 3);
        assert_eq!(line(&text), format!("{}… (6 more bytes)", "é".repeat(MAX_LINE)));
        let just = "é".repeat(MAX_LINE);
        assert_eq!(line(&just), just);
    }

    #[test]
    fn many_lines_are_cut_with_a_mark() {
        let text = "x\r\n".repeat(MAX_LINES + 2);
        let shown: Vec<_> = lines(&text).collect();
        assert_eq!(shown.len(), MAX_LINES + 1);
        assert_eq!((&*shown[0], &*shown[MAX_LINES]), ("x", "… (2 more lines)"));
        assert_eq!(lines("").collect::<Vec<_>>(), [""]);
    }

    #[test]
    fn a_first_line_says_that_there_are_more() {
        assert_eq!(first_line("boom\r\n  at f\n"), "boom …");
        assert_eq!(first_line("boom\n"), "boom");
    }

    proptest! {
        #[test]
        fn p5_whatever_comes_in_nothing_harmful_comes_out(text: String) {
            prop_assert!(line(&text).chars().all(is_harmless));
            prop_assert!(first_line(&text).chars().all(is_harmless));
            prop_assert!(lines(&text).all(|line| line.chars().all(is_harmless)));
        }
    }
}
