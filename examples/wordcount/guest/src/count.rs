//! What a word is, how words are counted, and how counts add up.

use std::cmp::Reverse;
use std::collections::BTreeMap;

use crate::exports::example::text::counting::{Counts, File, Word};

/// Counts one file.
pub fn count(path: String, text: &str) -> Counts {
    let mut frequencies = BTreeMap::new();
    for word in text.split(|c: char| !c.is_ascii_alphabetic()).filter(|word| !word.is_empty()) {
        *frequencies.entry(word.to_ascii_lowercase()).or_default() += 1;
    }
    let words = text.split_whitespace().count() as u64;
    Counts {
        files: 1,
        bytes: text.len() as u64,
        lines: text.bytes().filter(|&byte| byte == b'\n').count() as u64,
        words,
        longest: Some(File { path, words }),
        frequencies: list(frequencies),
    }
}

/// Adds counts up.
pub fn merge(parts: Vec<Counts>) -> Counts {
    let mut sum = Counts { files: 0, bytes: 0, lines: 0, words: 0, longest: None, frequencies: Vec::new() };
    let mut frequencies = BTreeMap::new();
    for part in parts {
        sum.files += part.files;
        sum.bytes += part.bytes;
        sum.lines += part.lines;
        sum.words += part.words;
        sum.longest = longer(sum.longest, part.longest);
        for word in part.frequencies {
            *frequencies.entry(word.text).or_default() += word.count;
        }
    }
    sum.frequencies = list(frequencies);
    sum
}

/// The `limit` most frequent words.
pub fn top(mut words: Vec<Word>, limit: usize) -> Vec<Word> {
    words.sort_by(|a, b| Reverse(a.count).cmp(&Reverse(b.count)).then_with(|| a.text.cmp(&b.text)));
    words.truncate(limit);
    words
}

fn longer(a: Option<File>, b: Option<File>) -> Option<File> {
    match (a, b) {
        (Some(a), Some(b)) => {
            let first = (Reverse(a.words), &a.path) <= (Reverse(b.words), &b.path);
            Some(if first { a } else { b })
        }
        (a, b) => a.or(b),
    }
}

fn list(frequencies: BTreeMap<String, u64>) -> Vec<Word> {
    frequencies.into_iter().map(|(text, count)| Word { text, count }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(list: &[(&str, u64)]) -> Vec<Word> {
        list.iter().map(|&(text, count)| Word { text: text.to_owned(), count }).collect()
    }

    #[test]
    fn counts_as_wc_and_tr_do() {
        let counts = count("a.md".to_owned(), "The cat's 2 cats —\nTHE  end\tof\u{a0}it");
        assert_eq!(counts.files, 1);
        assert_eq!(counts.bytes, 36);
        assert_eq!(counts.lines, 1);
        assert_eq!(counts.words, 9);
        assert_eq!(counts.longest, Some(File { path: "a.md".to_owned(), words: 9 }));
        let expected = [("cat", 1), ("cats", 1), ("end", 1), ("it", 1), ("of", 1), ("s", 1), ("the", 2)];
        assert_eq!(counts.frequencies, words(&expected));
    }

    #[test]
    fn an_empty_file_has_nothing() {
        let counts = count(String::new(), "");
        assert_eq!((counts.bytes, counts.lines, counts.words), (0, 0, 0));
        assert!(counts.frequencies.is_empty());
    }

    #[test]
    fn the_order_of_the_parts_does_not_matter() {
        let parts = || {
            ["one two", "two three\n", "", "three three"]
                .iter()
                .zip(["a", "b", "c", "d"])
                .map(|(text, path)| count(path.to_owned(), text))
        };
        let sum = merge(parts().collect());
        assert_eq!(sum, merge(parts().rev().collect()));
        let (left, right) = (parts().take(1).collect(), parts().skip(1).collect());
        assert_eq!(sum, merge(vec![merge(right), merge(left)]));
        assert_eq!((sum.files, sum.bytes, sum.lines, sum.words), (4, 28, 1, 6));
        assert_eq!(sum.longest, Some(File { path: "a".to_owned(), words: 2 }));
        assert_eq!(sum.frequencies, words(&[("one", 1), ("three", 3), ("two", 2)]));
    }

    #[test]
    fn nothing_merged_is_nothing() {
        let sum = merge(Vec::new());
        assert_eq!((sum.files, sum.words, sum.longest), (0, 0, None));
    }

    #[test]
    fn the_most_frequent_come_first() {
        let list = words(&[("a", 1), ("b", 3), ("c", 2), ("d", 3)]);
        assert_eq!(top(list.clone(), 3), words(&[("b", 3), ("d", 3), ("c", 2)]));
        assert_eq!(top(list.clone(), 0), []);
        assert_eq!(top(list, 9).len(), 4);
    }
}
