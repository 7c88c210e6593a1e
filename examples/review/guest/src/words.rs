//! Words, and where they stand in a text.

use std::ops::Range;

/// The words of a text in order: letters and digits, with apostrophes between them.
pub(crate) fn words(text: &str) -> Vec<Range<usize>> {
    let mut words: Vec<Range<usize>> = Vec::new();
    for (at, letter) in text.char_indices().filter(|(_, letter)| letter.is_alphanumeric()) {
        let end = at + letter.len_utf8();
        match words.last_mut() {
            Some(word) if matches!(text.get(word.end..at), Some("" | "'" | "’")) => word.end = end,
            _ => words.push(at..end),
        }
    }
    words
}

/// The word there, in lower case.
pub(crate) fn word(text: &str, place: &Range<usize>) -> String {
    text.get(place.clone()).unwrap_or_default().to_lowercase()
}

/// Line and column of a byte of the text, from 1; columns are characters.
pub(crate) fn position(text: &str, at: usize) -> (u32, u32) {
    let before = text.get(..at).unwrap_or(text);
    let line = before.rsplit('\n').next().unwrap_or(before);
    (number(before.matches('\n').count()) + 1, number(line.chars().count()) + 1)
}

/// How many there are. No file has more than a `u32` holds.
pub(crate) fn number(count: usize) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_keep_their_apostrophes_and_nothing_else() {
        let text = "'They'll all' think--\"Größe\" 4th";
        let found: Vec<String> = words(text).iter().map(|place| word(text, place)).collect();
        assert_eq!(found, ["they'll", "all", "think", "größe", "4th"]);
    }

    #[test]
    fn places_are_counted_as_people_do() {
        assert_eq!(position("ä b\nc", 0), (1, 1));
        assert_eq!(position("ä b\nc", 3), (1, 3));
        assert_eq!(position("ä b\nc", 5), (2, 1));
    }
}
