//! A TOML document as data with spans: what stands in the file, not what it means. The only file
//! that knows the TOML parser.

use toml::Spanned;
use toml::de::{DeInteger, DeTable, DeValue};

use super::diagnostics::{Findings, Place};
use super::span::Span;

/// A value and where it stands. A table under a header such as `[tasks.count]` stands at the header.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Tree {
    pub(super) span: Span,
    pub(super) data: Data,
}

#[derive(Clone, PartialEq, Debug)]
pub(super) enum Data {
    String(String),
    Integer(i64),
    Float(f64),
    Bool(bool),
    Array(Vec<Tree>),
    Table(Vec<Entry>),
    /// What has no place in a workflow file and was reported already.
    Refused,
}

/// A key with its value.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Entry {
    pub(super) key: String,
    pub(super) span: Span,
    pub(super) value: Tree,
}

impl Tree {
    /// What stands here, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match &self.data {
            Data::String(_) => "a string",
            Data::Integer(_) => "an integer",
            Data::Float(_) => "a float",
            Data::Bool(_) => "a boolean",
            Data::Array(_) => "an array",
            Data::Table(_) => "a table",
            Data::Refused => "what TOML cannot say",
        }
    }
}

/// Deeper than this is refused, so that whoever follows may recurse.
const DEEPEST: u32 = 80;
/// Of the thread that parses. The parser bounds inline tables and dotted keys each at 80, but not
/// the two in each other, so a document may be 6,400 deep before it is looked at.
const STACK: usize = 64 << 20;

/// Reads a document. None when its syntax is so broken that going on would find problems that are
/// not there.
pub(super) fn parse(source: &str, findings: &Findings) -> Option<Vec<Entry>> {
    let read = || {
        let findings = Findings::default();
        (parse_here(source, &findings), findings)
    };
    let read = std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().name("toml".to_owned()).stack_size(STACK);
        thread.spawn_scoped(scope, read).map(std::thread::ScopedJoinHandle::join)
    });
    let problem = match read {
        Ok(Ok((document, found))) => {
            findings.absorb(found);
            return document;
        }
        Ok(Err(_)) => "the TOML parser gave up on it".to_owned(),
        Err(error) => format!("no thread could be started to read it: {error}"),
    };
    findings.add(Place::File, problem, None);
    None
}

fn parse_here(source: &str, findings: &Findings) -> Option<Vec<Entry>> {
    let (document, errors) = DeTable::parse_recoverable(source);
    let mut usable = true;
    for error in errors {
        // The parser keeps the first of two equal keys, so the rest can be checked.
        usable &= error.message() == "duplicate key";
        let place = match error.span() {
            Some(span) => Place::At(visible(source, span.into())),
            // Of its own limit the parser says only that it was met.
            None => too_deep_at(source).map_or(Place::File, Place::At),
        };
        let (message, help) = explain(source, &error);
        findings.add(place, message, help);
    }
    usable.then(|| entries(document.into_inner(), 0, findings))
}

/// At a line's end there is nothing to point at; what stands before it is what is incomplete.
fn visible(source: &str, span: Span) -> Span {
    match source.get(span.start..span.end) {
        Some("\n" | "\r\n" | "\r") => Span { start: span.start, end: span.start },
        _ => span,
    }
}

fn explain(source: &str, error: &toml::de::Error) -> (String, Option<String>) {
    let found = error.span().and_then(|span| source.get(span)).unwrap_or_default();
    match error.message() {
        "duplicate key" => {
            (format!("`{found}` is set twice in the same table"), Some("keep one of the two".to_owned()))
        }
        "recursion limit" | "cannot recurse further; max recursion depth met" => (too_deep(), None),
        "string values must be quoted, expected literal string" => {
            ("a string needs quotes".to_owned(), Some(format!("write \"{found}\"")))
        }
        message
            if message.starts_with("invalid basic string, expected")
                || message.starts_with("invalid literal string, expected") =>
        {
            (
                "the string is not closed".to_owned(),
                Some(
                    "a string ends on its line, with the quote that it began with; \"\"\" spans lines"
                        .to_owned(),
                ),
            )
        }
        message => (format!("not valid TOML: {message}"), None),
    }
}

fn too_deep() -> String {
    format!("the nesting is deeper than {DEEPEST} levels")
}

/// Where brackets or dotted keys are nested deeper than is allowed. Those in strings count, too: it
/// only points.
fn too_deep_at(source: &str) -> Option<Span> {
    let (mut depth, mut dots) = (0_u32, 0_u32);
    let start = source.bytes().position(|byte| {
        match byte {
            b'[' | b'{' => depth += 1,
            b']' | b'}' => depth = depth.saturating_sub(1),
            b'.' => dots += 1,
            b'=' | b'\n' => dots = 0,
            _ => {}
        }
        depth + dots > DEEPEST
    })?;
    Some(Span { start, end: start + 1 })
}

fn entries(table: DeTable<'_>, depth: u32, findings: &Findings) -> Vec<Entry> {
    table
        .into_iter()
        .map(|(key, value)| Entry {
            span: key.span().into(),
            key: key.into_inner().into_owned(),
            value: tree(value, depth + 1, findings),
        })
        .collect()
}

fn tree(value: Spanned<DeValue<'_>>, depth: u32, findings: &Findings) -> Tree {
    let span = Span::from(value.span());
    if depth > DEEPEST {
        findings.at(span, too_deep());
        return Tree { span, data: Data::Refused };
    }
    let data = match value.into_inner() {
        DeValue::String(text) => Data::String(text.into_owned()),
        DeValue::Integer(number) => integer(&number, span, findings),
        DeValue::Float(number) => float(number.as_str(), span, findings),
        DeValue::Boolean(value) => Data::Bool(value),
        DeValue::Datetime(date) => {
            findings.at_with_help(
                span,
                "WIT has no dates or times, so a workflow file has none either",
                format!("write it as a string: \"{date}\""),
            );
            Data::Refused
        }
        DeValue::Array(items) => {
            Data::Array(items.into_iter().map(|item| tree(item, depth + 1, findings)).collect())
        }
        DeValue::Table(table) => Data::Table(entries(table, depth, findings)),
    };
    Tree { span, data }
}

fn integer(number: &DeInteger<'_>, span: Span, findings: &Findings) -> Data {
    match i64::from_str_radix(number.as_str(), number.radix()) {
        Ok(number) => Data::Integer(number),
        Err(_) => {
            findings.at_with_help(
                span,
                format!("{number} is beyond the integers of TOML, which end at {}", i64::MAX),
                "where a u64 is wanted, write it as a string of digits, in quotes",
            );
            Data::Refused
        }
    }
}

fn float(text: &str, span: Span, findings: &Findings) -> Data {
    match text.parse::<f64>() {
        Ok(number) if number.is_finite() || text.contains("inf") || text.contains("nan") => {
            Data::Float(number)
        }
        _ => {
            findings.at(span, format!("{text} is beyond the floats of TOML"));
            Data::Refused
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(source: &str) -> String {
        let findings = Findings::default();
        parse(source, &findings);
        findings.into_problems("w".to_owned(), source.into()).to_string()
    }

    #[test]
    fn several_mistakes_are_found_at_once() {
        let shown = problems("a = \nb = hello\n[c\nd = 1\n");
        for line in ["w:1:", "w:2:", "w:3:"] {
            assert!(shown.contains(line), "{shown}");
        }
        let shown = problems("a = 1\na = 2\nb = 1979-05-27\nc = 99999999999999999999\n");
        for line in
            ["w:2:1: `a` is set twice", "w:3:5: WIT has no dates", "w:4:5: 99999999999999999999 is beyond"]
        {
            assert!(shown.contains(line), "{shown}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        for source in [
            format!("a = {}", "[".repeat(1_000_000)),
            format!("a = {}", "{a=".repeat(300_000)),
            format!("a{} = 1", ".a".repeat(1_000_000)),
            format!("[a{}]", ".a".repeat(1_000_000)),
        ] {
            assert!(problems(&source).contains("deeper than 80 levels"), "{}", problems(&source));
        }
    }
}
