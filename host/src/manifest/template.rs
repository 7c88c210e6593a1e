//! `${…}` in strings: where references stand and what they name. Does not look anything up.

use std::ops::Range;

/// A piece of a string.
#[derive(Clone, PartialEq, Debug)]
pub(super) enum Piece {
    /// As it stands, with `$${` already read as `${`.
    Text(String),
    /// `${name.path}`.
    Reference(Reference),
}

/// `${name.path}`, and where it stands in the string, in bytes.
#[derive(Clone, PartialEq, Debug)]
pub(super) struct Reference {
    pub(super) name: String,
    pub(super) path: Vec<String>,
    pub(super) range: Range<usize>,
}

/// What is wrong with a string's references, and where, in bytes of the string.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(super) enum TemplateError {
    #[error("`${{` without `}}`")]
    Open(Range<usize>),
    #[error("`{text}` is not a reference")]
    NoName { text: String, range: Range<usize> },
}

impl TemplateError {
    pub(super) fn range(&self) -> Range<usize> {
        match self {
            Self::Open(range) | Self::NoName { range, .. } => range.clone(),
        }
    }
}

/// What to do about any [`TemplateError`].
pub(super) const HELP: &str = "a reference is `${name}` or `${name.field.0}`; write `$${` for a literal `${`";

/// Splits a string at its references.
pub(super) fn parse(text: &str) -> Result<Vec<Piece>, Vec<TemplateError>> {
    let mut pieces = Vec::new();
    let mut errors = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(found) = text.get(at..).and_then(|rest| rest.find("${")) {
        let open = at + found;
        let before = text.get(at..open).unwrap_or_default();
        if let Some(before) = before.strip_suffix('$') {
            plain.push_str(before);
            plain.push_str("${");
            at = open + 2;
            continue;
        }
        plain.push_str(before);
        let rest = text.get(open + 2..).unwrap_or_default();
        let Some(length) = rest.find('}') else {
            errors.push(TemplateError::Open(open..text.len()));
            break;
        };
        let inside = rest.get(..length).unwrap_or_default();
        let range = open..open + 2 + length + 1;
        let mut segments = inside.split('.').map(str::to_owned);
        if !inside.split('.').all(is_segment) {
            let text = text.get(range.clone()).unwrap_or_default().to_owned();
            at = range.end;
            errors.push(TemplateError::NoName { text, range });
            continue;
        }
        if !plain.is_empty() {
            pieces.push(Piece::Text(std::mem::take(&mut plain)));
        }
        at = range.end;
        let name = segments.next().unwrap_or_default();
        pieces.push(Piece::Reference(Reference { name, path: segments.collect(), range }));
    }
    if !errors.is_empty() {
        return Err(errors);
    }
    plain.push_str(text.get(at..).unwrap_or_default());
    if !plain.is_empty() || pieces.is_empty() {
        pieces.push(Piece::Text(plain));
    }
    Ok(pieces)
}

fn is_segment(segment: &str) -> bool {
    !segment.is_empty()
        && segment.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-' || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(text: &str) -> Piece {
        Piece::Text(text.to_owned())
    }

    fn reference(name: &str, path: &[&str], range: Range<usize>) -> Piece {
        let path = path.iter().map(|&segment| segment.to_owned()).collect();
        Piece::Reference(Reference { name: name.to_owned(), path, range })
    }

    #[test]
    fn splits_text_and_references() {
        assert_eq!(parse(""), Ok(vec![text("")]));
        assert_eq!(parse("${a}"), Ok(vec![reference("a", &[], 0..4)]));
        assert_eq!(
            parse("é ${a.b-c.0}${d}!"),
            Ok(vec![
                text("é "),
                reference("a", &["b-c", "0"], 3..13),
                reference("d", &[], 13..17),
                text("!")
            ])
        );
        assert_eq!(parse("$5 $${a} $$ ${b}"), Ok(vec![text("$5 ${a} $$ "), reference("b", &[], 12..16)]));
        assert_eq!(parse("$$${a}"), Ok(vec![text("$${a}")]));
    }

    #[test]
    fn says_where_it_is_broken() {
        assert_eq!(parse("${} ${a} ${").unwrap_err().len(), 2);
        assert_eq!(parse("a ${b"), Err(vec![TemplateError::Open(2..5)]));
        for broken in ["${}", "${ a }", "${a..b}", "${a[0]}", "${.}", "${${a}}"] {
            let errors = parse(broken).unwrap_err();
            assert!(matches!(errors.as_slice(), [TemplateError::NoName { .. }]), "{broken}");
        }
    }
}
