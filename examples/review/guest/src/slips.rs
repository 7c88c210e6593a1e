//! Slips that leave no doubt: what is there once too often. A slip is the part of the text that has to go.

use std::ops::Range;

use crate::words::{word, words};
use crate::{Finding, Rule, Text};

/// The rules that this finds breaches of, in the order in which they are mended.
pub(crate) const RULES: [Rule; 4] =
    [Rule::DoubledWord, Rule::StrayBlank, Rule::InnerBlanks, Rule::TrailingBlank];

/// Words that may well stand twice.
const TWICE: [&str; 2] = ["had", "that"];

/// What breaks one of [`RULES`], in order.
pub(crate) fn slips(rule: Rule, text: &str) -> Vec<Range<usize>> {
    match rule {
        Rule::DoubledWord => doubled(text),
        Rule::StrayBlank => blanks(text, |before, length, after| {
            length > 0 && !before.is_empty() && after.starts_with([',', ';', ':', '!', '?'])
        }),
        Rule::InnerBlanks => {
            blanks(text, |before, length, after| length > 1 && !before.is_empty() && !after.is_empty())
                .into_iter()
                .map(|blanks| blanks.start + 1..blanks.end)
                .collect()
        }
        Rule::TrailingBlank => blanks(text, |_, _, after| after.is_empty()),
        Rule::LongLine | Rule::MisreadWord | Rule::HardToRead => Vec::new(),
    }
}

/// The text without them.
pub(crate) fn without(text: &str, slips: &[Range<usize>]) -> String {
    let mut kept = String::with_capacity(text.len());
    let mut from = 0;
    for slip in slips {
        kept.push_str(text.get(from..slip.start).unwrap_or_default());
        from = slip.end;
    }
    kept.push_str(text.get(from..).unwrap_or_default());
    kept
}

/// What breaks these rules.
pub(crate) fn findings(text: &Text, rules: &[Rule]) -> Vec<Finding> {
    let of_rule = |rule: &Rule| {
        let rule = *rule;
        slips(rule, &text.content).into_iter().map(move |slip| {
            let message = match rule {
                Rule::DoubledWord => {
                    format!("`{}` once more", text.content.get(slip.clone()).unwrap_or_default().trim())
                }
                Rule::StrayBlank => "a blank before punctuation".to_owned(),
                Rule::InnerBlanks => "more than one blank".to_owned(),
                _ => "blanks at the end of the line".to_owned(),
            };
            text.finding(slip.start, rule, message)
        })
    };
    rules.iter().flat_map(of_rule).collect()
}

/// Runs of blanks of which `slip` says that they are one: it is told what stands before them in the line, how
/// many they are and what follows.
fn blanks(text: &str, slip: impl Fn(&str, usize, &str) -> bool) -> Vec<Range<usize>> {
    let mut found = Vec::new();
    let mut start = 0;
    for line in text.split_inclusive('\n') {
        let content = line.trim_end_matches(['\n', '\r']);
        let mut at = 0;
        while let Some(length) = content.get(at..).and_then(|rest| rest.find([' ', '\t'])) {
            let from = at + length;
            let (before, rest) = content.split_at(from);
            let after = rest.trim_start_matches([' ', '\t']);
            at = content.len() - after.len();
            if slip(before, at - from, after) {
                found.push(start + from..start + at);
            }
        }
        start += line.len();
    }
    found
}

/// Words that follow themselves, with blanks or the end of a line between them.
fn doubled(text: &str) -> Vec<Range<usize>> {
    let words = words(text);
    let pairs = words.iter().zip(words.iter().skip(1));
    pairs
        .filter_map(|(first, second)| {
            let gap = text.get(first.end..second.start)?;
            let said = word(text, second);
            let apart = gap.trim_matches([' ', '\t', '\r']);
            let twice = word(text, first) == said && !TWICE.contains(&said.as_str());
            match apart {
                "" if twice => Some(first.end..second.end),
                "\n" if twice => {
                    let rest = text.get(second.end..)?;
                    let behind = rest.trim_start_matches([' ', '\t', '\r']);
                    // An emptied line would end the paragraph.
                    let behind = behind.strip_prefix('\n').unwrap_or(behind);
                    Some(second.start..text.len() - behind.len())
                }
                _ => None,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mended(rule: Rule, text: &str) -> String {
        without(text, &slips(rule, text))
    }

    #[test]
    fn blanks_go_where_none_belong() {
        let text = "  one  two , three \t\nfour ; five\n \t\nsix  \r\n";
        assert_eq!(mended(Rule::InnerBlanks, text), "  one two , three \t\nfour ; five\n \t\nsix  \r\n");
        assert_eq!(mended(Rule::StrayBlank, text), "  one  two, three \t\nfour; five\n \t\nsix  \r\n");
        assert_eq!(mended(Rule::TrailingBlank, text), "  one  two , three\nfour ; five\n\nsix\r\n");
    }

    #[test]
    fn doubled_words_go_and_paragraphs_stay() {
        for (text, expected) in [
            ("the the cat", "the cat"),
            ("The the  the cat", "The cat"),
            ("into the\nthe cat", "into the\ncat"),
            ("into the\nthe\ncat", "into the\ncat"),
            ("the.\n\nThe cat", "the.\n\nThe cat"),
            ("the, the cat had had", "the, the cat had had"),
        ] {
            assert_eq!(mended(Rule::DoubledWord, text), expected);
        }
    }

    #[test]
    fn findings_say_where() {
        let text = Text { path: "a.txt".to_owned(), content: "of\nthe the\n".to_owned() };
        let finding = Finding {
            path: "a.txt".to_owned(),
            line: 2,
            column: 4,
            rule: Rule::DoubledWord,
            message: "`the` once more".to_owned(),
        };
        assert_eq!(findings(&text, &RULES), [finding]);
    }
}
