//! How easy a text is to read: Flesch's formula of 1948, and Amstad's of 1978 for German.

use crate::words::{word, words};
use crate::{Finding, Language, Rule, Text};

/// The text's reading ease, if it has at least so many words: from 0, which is hard, to 100, more or less.
/// `Err` has how many words there are.
pub(crate) fn check(text: &Text, language: Language, easy: u32, least: u32) -> Result<Vec<Finding>, usize> {
    let words = words(&text.content);
    if words.len() < usize::try_from(least).unwrap_or(usize::MAX).max(1) {
        return Err(words.len());
    }
    let syllables = words.iter().map(|place| syllables(&word(&text.content, place), language)).sum();
    let ease = ease(words.len(), sentences(&text.content), syllables, language);
    let message = format!("its reading ease is {ease:.0}, and {easy} is easy");
    Ok(if ease < f64::from(easy) { vec![text.finding(0, Rule::HardToRead, message)] } else { Vec::new() })
}

fn ease(words: usize, sentences: usize, syllables: usize, language: Language) -> f64 {
    // No text has as many words as a float cannot tell apart.
    let sentence = words as f64 / sentences as f64;
    let word = syllables as f64 / words as f64;
    match language {
        Language::English => 206.835 - 1.015 * sentence - 84.6 * word,
        Language::German => 180.0 - sentence - 58.5 * word,
    }
}

/// How many sentences there are: runs of `.`, `!` and `?` with words before them, and what comes after the last.
fn sentences(text: &str) -> usize {
    text.split(['.', '!', '?']).filter(|part| part.contains(char::is_alphanumeric)).count().max(1)
}

/// Vowels in a row are a syllable; in English, a last `e` is mute behind another one.
fn syllables(word: &str, language: Language) -> usize {
    let word = match language {
        Language::English => word.strip_suffix('e').unwrap_or(word),
        Language::German => word,
    };
    let parts = word.split(|letter| !"aeiouyäöü".contains(letter));
    parts.filter(|vowels| !vowels.is_empty()).count().max(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn syllables_are_counted_by_their_vowels() {
        for (word, english, german) in
            [("the", 1, 1), ("rabbit", 2, 2), ("time", 1, 2), ("grün", 1, 1), ("hm", 1, 1)]
        {
            assert_eq!(syllables(word, Language::English), english, "{word}");
            assert_eq!(syllables(word, Language::German), german, "{word}");
        }
    }

    #[test]
    fn sentences_end_in_a_mark_or_with_the_text() {
        assert_eq!(sentences("One... Two?! \"Three\" and no end"), 3);
        assert_eq!(sentences(""), 1);
    }

    #[test]
    fn only_what_is_hard_is_found_and_only_where_there_is_enough_of_it() {
        let text = |content: &str| Text { path: "a.txt".to_owned(), content: content.to_owned() };
        let easy = text("The cat sat on the mat. The dog did not.");
        assert_eq!(check(&easy, Language::English, 60, 10), Ok(Vec::new()));
        assert_eq!(check(&easy, Language::English, 60, 11), Err(10));
        let hard = text("Incomprehensible considerations necessitate interdisciplinary investigations");
        let found = check(&hard, Language::English, 60, 1).unwrap();
        assert_eq!(found.len(), 1);
        assert!(found[0].message.ends_with("and 60 is easy"), "{}", found[0].message);
    }
}
