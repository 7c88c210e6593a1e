//! The guest's exports: what the world promises, and what the findings of all checks have in common.

mod ease;
mod misread;
mod slips;
mod words;

use flowhost_guest::flow;

use crate::words::{number, position};

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:review/review",
    additional_derives: [PartialEq],
    with: { "flowhost:task/types@0.1.0": flowhost_guest::types },
});

use exports::example::review::proofreading::{
    Book, Count, Failure, Finding, Guest, Language, Mended, Mending, Report, Rule, Text,
};

/// One word in so many has to be common in a language.
const COMMON: usize = 8;

/// Rules in the order of the report.
const RULES: [Rule; 7] = [
    Rule::TrailingBlank,
    Rule::InnerBlanks,
    Rule::StrayBlank,
    Rule::LongLine,
    Rule::DoubledWord,
    Rule::MisreadWord,
    Rule::HardToRead,
];

struct Component;

impl Guest for Component {
    fn read(path: String, bytes: Vec<u8>) -> Result<Text, Failure> {
        let content = match String::from_utf8(bytes) {
            Ok(content) => content,
            Err(other) => other.as_bytes().iter().copied().map(char::from).collect(),
        };
        if content.contains(|letter: char| letter.is_control() && !"\n\r\t\u{c}".contains(letter)) {
            return Err(Failure::permanent(format!("{path} is no text")));
        }
        misread::note(&content)?;
        Ok(Text { path, content })
    }

    fn recognise(texts: Vec<Text>, language: Language, common: Vec<String>) -> Result<Language, Failure> {
        let all = texts.iter().flat_map(|Text { content, .. }| {
            words::words(content).into_iter().map(move |place| words::word(content, &place))
        });
        let (known, other): (Vec<String>, Vec<String>) = all.partition(|word| common.contains(word));
        let all = known.len() + other.len();
        if known.len() * COMMON < all.max(1) {
            return Err(Failure::permanent(format!("{} of {all} words are common ones", known.len())));
        }
        Ok(language)
    }

    fn check_layout(text: Text, width: u32) -> Vec<Finding> {
        let mut findings =
            slips::findings(&text, &[Rule::TrailingBlank, Rule::InnerBlanks, Rule::StrayBlank]);
        for (line, content) in (1..).zip(text.content.lines()) {
            let length = number(content.chars().count());
            if length > width {
                let (path, rule) = (text.path.clone(), Rule::LongLine);
                let message = format!("{length} characters");
                findings.push(Finding { path, line, column: width + 1, rule, message });
            }
        }
        findings
    }

    fn check_doubled(text: Text) -> Vec<Finding> {
        slips::findings(&text, &[Rule::DoubledWord])
    }

    fn check_misread(text: Text) -> Result<Vec<Finding>, Failure> {
        misread::check(&text)
    }

    fn check_ease(text: Text, language: Language, easy: u32, least: u32) -> Result<Vec<Finding>, Failure> {
        let told = ease::check(&text, language, easy, least);
        told.map_err(|words| Failure::permanent(format!("{} has {words} words, too few to tell", text.path)))
    }

    fn sum_up(findings: Vec<Vec<Finding>>) -> Report {
        let mut all = findings.concat();
        let place = |it: &Finding| (it.path.clone(), it.line, it.column, it.rule as u8);
        all.sort_by_key(place);
        let lines = all.iter().map(|Finding { path, line, column, message, .. }| {
            format!("{path}:{line}:{column}: {message}\n")
        });
        let counts = RULES.map(|rule| Count {
            rule,
            findings: number(all.iter().filter(|finding| finding.rule == rule).count()),
        });
        let counts = counts.into_iter().filter(|count| count.findings > 0).collect();
        Report { lines: lines.collect(), counts }
    }

    fn mend(text: Text, mends: u32, rounds: u32) -> Result<Mended, Failure> {
        let next = slips::RULES.into_iter().map(|rule| slips::slips(rule, &text.content));
        let Some(found) = next.into_iter().find(|slips| !slips.is_empty()) else {
            return Ok(Mended { text, mends, rounds, left: false });
        };
        let content = slips::without(&text.content, &found);
        let (mends, rounds) = (mends + number(found.len()), rounds + 1);
        let text = Text { content, ..text };
        let again = serde_json::json!({
            "text": { "path": text.path, "content": text.content }, "mends": mends, "rounds": rounds,
        });
        let left = match flow::iterate(again) {
            // What follows is not this iteration's business: its value is dropped.
            Ok(()) => true,
            Err(flow::Error::TooManyIterations) => {
                slips::RULES.iter().any(|rule| !slips::slips(*rule, &text.content).is_empty())
            }
            Err(other) => return Err(other.into()),
        };
        Ok(Mended { text, mends, rounds, left })
    }

    fn bind(texts: Vec<Mended>) -> Book {
        let contents: Vec<&str> = texts.iter().map(|mended| mended.text.content.trim_end()).collect();
        let text = contents.join("\n\n\n") + "\n";
        let mendings = texts.into_iter().map(|Mended { text, mends, rounds, left }| Mending {
            path: text.path,
            mends,
            rounds,
            left,
        });
        Book { text, mendings: mendings.collect() }
    }
}

impl Text {
    /// Something wrong at this byte.
    fn finding(&self, at: usize, rule: Rule, message: String) -> Finding {
        let (line, column) = position(&self.content, at);
        Finding { path: self.path.clone(), line, column, rule, message }
    }
}

export!(Component);

#[cfg(test)]
mod tests {
    use flowhost_guest::testing::{Host, Request};

    use super::*;

    fn text(content: &str) -> Text {
        Text { path: "a.txt".to_owned(), content: content.to_owned() }
    }

    #[test]
    fn old_files_are_read_and_others_refused() {
        let host = Host::start();
        let read = |bytes: &[u8]| Component::read("a.txt".to_owned(), bytes.to_vec());
        assert_eq!(read("Größe".as_bytes()), Ok(text("Größe")));
        assert_eq!(read(b"Gr\xf6\xdfe"), Ok(text("Größe")));
        assert_eq!(read(b"\x7fELF\x02"), Err(Failure::permanent("a.txt is no text")));
        assert_eq!(host.requests(), []);
    }

    #[test]
    fn a_language_is_known_by_its_common_words() {
        let told = |language, common: &str| {
            Component::recognise(vec![text("Das ist es. That is it.")], language, vec![common.to_owned()])
        };
        assert_eq!(told(Language::German, "das"), Ok(Language::German));
        assert_eq!(told(Language::English, "of"), Err(Failure::permanent("0 of 6 words are common ones")));
    }

    #[test]
    fn long_lines_are_found_where_they_become_so() {
        let found = Component::check_layout(text("short\nlöng line\n"), 8);
        assert_eq!(found.len(), 1);
        assert_eq!((found[0].line, found[0].column, &*found[0].message), (2, 9, "9 characters"));
    }

    #[test]
    fn a_report_is_in_order_whatever_came_first() {
        let finding = |path: &str, line, rule| {
            let path = path.to_owned();
            Finding { path, line, column: 1, rule, message: "m".to_owned() }
        };
        let last = vec![finding("b", 1, Rule::LongLine)];
        let first = vec![finding("a", 2, Rule::LongLine), finding("a", 1, Rule::DoubledWord)];
        let report = Component::sum_up(vec![last, first]);
        assert_eq!(report.lines, "a:1:1: m\na:2:1: m\nb:1:1: m\n");
        let counts =
            [Count { rule: Rule::LongLine, findings: 2 }, Count { rule: Rule::DoubledWord, findings: 1 }];
        assert_eq!(report.counts, counts);
    }

    #[test]
    fn a_round_mends_one_rule_and_asks_for_the_next() {
        let host = Host::start();
        let mended = Component::mend(text("the  the , cat the the"), 3, 1).unwrap();
        assert_eq!((&*mended.text.content, mended.mends, mended.rounds), ("the , cat the", 5, 2));
        let Some(Request::Iterate { arguments }) = host.requests().pop() else { panic!("no iteration") };
        let arguments: serde_json::Value = serde_json::from_str(&arguments).unwrap();
        let text = serde_json::json!({ "path": "a.txt", "content": "the , cat the" });
        assert_eq!(arguments, serde_json::json!({ "text": text, "mends": 5, "rounds": 2 }));
    }

    #[test]
    fn a_text_without_slips_is_done() {
        let host = Host::start();
        let mended = Component::mend(text("the cat"), 5, 2).unwrap();
        assert_eq!(mended, Mended { text: text("the cat"), mends: 5, rounds: 2, left: false });
        assert_eq!(host.requests(), []);
    }

    #[test]
    fn the_last_round_says_whether_anything_is_left() {
        let host = Host::start();
        host.fail_flow(flow::Error::TooManyIterations);
        assert!(Component::mend(text("the the , cat"), 0, 0).unwrap().left);
        assert!(!Component::mend(text("the the cat"), 0, 0).unwrap().left);
    }

    #[test]
    fn a_book_has_all_texts_in_order() {
        let mended = |content, left| Mended { text: text(content), mends: 1, rounds: 1, left };
        let book = Component::bind(vec![mended("one\n", false), mended("two\n", true)]);
        assert_eq!(book.text, "one\n\n\ntwo\n");
        assert!(!book.mendings[0].left && book.mendings[1].left);
    }
}
