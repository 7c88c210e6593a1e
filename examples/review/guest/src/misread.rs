//! Words that a scanner got wrong, told by the words of the other texts, which all note theirs on the channel.

use std::collections::{BTreeMap, BTreeSet};

use flowhost_guest::{Failure, channel, context};

use crate::words::{word, words};
use crate::{Finding, Rule, Text};

/// What a scanner writes, and what stands there.
const LOOK_ALIKES: [(&str, &str); 8] =
    [("rn", "m"), ("m", "rn"), ("li", "h"), ("tb", "th"), ("sb", "sh"), ("1", "l"), ("0", "o"), ("vv", "w")];

/// No word is longer, and no key of the channel needs to be.
const LONGEST: usize = 64;

/// As many other texts have to have a word.
const VOUCHERS: usize = 2;

/// Notes the text's words. To note them again, as a second attempt would, changes nothing.
pub(crate) fn note(text: &str) -> Result<(), Failure> {
    let index = context::current().index;
    let all: BTreeSet<String> = words(text).iter().map(|place| word(text, place)).collect();
    for word in all.iter().filter(|word| word.len() <= LONGEST) {
        channel::set(&format!("{word}/{index}"), "")?;
    }
    Ok(())
}

/// Words that no other text has, in place of one that others have.
pub(crate) fn check(text: &Text) -> Result<Vec<Finding>, Failure> {
    let mut meant: BTreeMap<String, Option<String>> = BTreeMap::new();
    let mut findings = Vec::new();
    for place in words(&text.content) {
        let word = word(&text.content, &place);
        let meant = match meant.get(&word) {
            Some(known) => known,
            None => meant.entry(word.clone()).or_insert(instead_of(&word)?),
        };
        if let Some(meant) = meant {
            let message = format!("`{word}` may be a misread `{meant}`");
            findings.push(text.finding(place.start, Rule::MisreadWord, message));
        }
    }
    Ok(findings)
}

/// The word that was meant, if this one is likely to be misread.
fn instead_of(word: &str) -> Result<Option<String>, Failure> {
    if word.len() > LONGEST || texts_with(word)? > 1 {
        return Ok(None);
    }
    for (read, meant) in LOOK_ALIKES {
        for (at, _) in word.match_indices(read) {
            let (before, rest) = word.split_at(at);
            let other = format!("{before}{meant}{}", rest.strip_prefix(read).unwrap_or(rest));
            if texts_with(&other)? >= VOUCHERS {
                return Ok(Some(other));
            }
        }
    }
    Ok(None)
}

fn texts_with(word: &str) -> Result<usize, Failure> {
    Ok(channel::keys(&format!("{word}/"))?.len())
}

#[cfg(test)]
mod tests {
    use flowhost_guest::testing::Host;

    use super::*;

    fn noted(host: &Host, texts: &[&str]) {
        for (index, text) in (0..).zip(texts) {
            host.set_place(context::Place { index, ..host.place() });
            note(text).unwrap();
            note(text).unwrap();
        }
    }

    fn checked(content: &str) -> Vec<String> {
        let text = Text { path: "a.txt".to_owned(), content: content.to_owned() };
        check(&text).unwrap().into_iter().map(|finding| finding.message).collect()
    }

    #[test]
    fn a_word_that_only_one_text_has_may_be_one_that_two_have() {
        let host = Host::start();
        noted(&host, &["Modern times", "modern burns", "a modem, rnodern; tirnes"]);
        let misread = ["`modem` may be a misread `modern`", "`rnodern` may be a misread `modern`"];
        assert_eq!(checked("a modem, rnodern; tirnes"), misread);
    }

    #[test]
    fn a_word_that_others_have_is_right() {
        let host = Host::start();
        noted(&host, &["modern modem", "modern", "modem"]);
        assert_eq!(checked("modem"), Vec::<String>::new());
    }

    #[test]
    fn without_the_channel_there_is_no_judgement() {
        let host = Host::start();
        host.fail_channel(channel::Error::Unavailable("gone".to_owned()));
        let text = Text { path: "a.txt".to_owned(), content: "word".to_owned() };
        assert_eq!(check(&text), Err(Failure::retryable("channel: the store did not answer: gone")));
    }
}
