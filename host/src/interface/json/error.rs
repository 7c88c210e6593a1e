//! Why JSON is no value of a type: where, what was expected, and what was found.

use std::fmt;
use std::sync::Arc;

use serde_json::Value as Json;

use super::{ERR, OK, SOME};
use crate::interface::suggest::{hint, listed, shorten};
use crate::model::Type;

/// Why JSON is no value of the type, and where in the JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct JsonError(Box<Located>);

#[derive(Clone, PartialEq, Eq, Debug)]
struct Located {
    /// Innermost first, since it is known on the way out.
    path: Vec<Segment>,
    problem: JsonProblem,
}

/// One step into JSON.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(super) enum Segment {
    Field(Arc<str>),
    Index(usize),
}

/// Why JSON is no value of the type.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum JsonProblem {
    /// Something else altogether.
    #[error("expected {expected}, found {found}")]
    Mismatch {
        /// What was expected.
        expected: String,
        /// What was found, shortened.
        found: String,
    },
    /// A whole number that the integer type does not hold.
    #[error("{found} is out of range for {ty}, which goes from {min} to {max}")]
    OutOfRange {
        /// The type.
        ty: String,
        /// The number.
        found: String,
        /// The smallest that fits.
        min: String,
        /// The largest that fits.
        max: String,
    },
    /// A number that a float type does not hold.
    #[error("{found} is no {ty}: the nearest is {nearest}")]
    Inexact {
        /// The type.
        ty: String,
        /// The number.
        found: String,
        /// What the type would make of it.
        nearest: String,
    },
    /// No base64.
    #[error("expected bytes in base64 (RFC 4648, with padding), found {found}: {reason}")]
    Base64 {
        /// The text, shortened.
        found: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A number of elements that the tuple does not have.
    #[error("expected {expected} values, found {found}")]
    Length {
        /// How many the tuple has.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// A record without one of its fields.
    #[error("the field `{field}` ({ty}) is missing")]
    MissingField {
        /// The field.
        field: Arc<str>,
        /// Its type, shortened.
        ty: String,
    },
    /// A field that the record does not have.
    #[error("unknown field `{}`{}; the fields are {}", shorten(.field), hint(.suggestion.as_deref()), listed(.known.iter().map(|name| &**name)))]
    UnknownField {
        /// The field, as found.
        field: String,
        /// What was probably meant.
        suggestion: Option<String>,
        /// The record's fields.
        known: Vec<Arc<str>>,
    },
    /// A case or flag that the type does not have.
    #[error("unknown {what} `{}`{}; there are {}", shorten(.name), hint(.suggestion.as_deref()), listed(.known.iter().map(|name| &**name)))]
    UnknownName {
        /// A case or a flag.
        what: &'static str,
        /// The name, as found.
        name: String,
        /// What was probably meant.
        suggestion: Option<String>,
        /// The names of the type.
        known: Vec<Arc<str>>,
    },
    /// The same flag twice.
    #[error("the flag `{0}` is there twice")]
    DuplicateFlag(Arc<str>),
    /// A case without the value that it carries.
    #[error("the case `{case}` carries a value ({ty}): write {{\"{case}\": …}}")]
    MissingPayload {
        /// The case.
        case: Arc<str>,
        /// The payload's type, shortened.
        ty: String,
    },
    /// A case with a value that it does not carry.
    #[error("the case `{0}` carries no value: write \"{0}\"")]
    UnexpectedPayload(Arc<str>),
}

impl JsonError {
    /// Where in the JSON, such as `.words[3].count`; empty for the whole.
    #[must_use]
    pub fn path(&self) -> String {
        let mut path = String::new();
        for segment in self.0.path.iter().rev() {
            match segment {
                Segment::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Segment::Index(index) => path.push_str(&format!("[{index}]")),
            }
        }
        path
    }

    /// What is wrong there.
    #[must_use]
    pub fn problem(&self) -> &JsonProblem {
        &self.0.problem
    }

    /// The same problem, seen from one level further out.
    pub(super) fn inside(mut self, segment: Segment) -> Self {
        self.0.path.push(segment);
        self
    }

    pub(super) fn mismatch(ty: &Type, found: &Json) -> Self {
        JsonProblem::Mismatch { expected: expected(ty), found: describe(found) }.into()
    }
}

impl From<JsonProblem> for JsonError {
    fn from(problem: JsonProblem) -> Self {
        Self(Box::new(Located { path: Vec::new(), problem }))
    }
}

impl fmt::Display for JsonError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = self.path();
        if !path.is_empty() {
            write!(f, "`{path}`: ")?;
        }
        self.0.problem.fmt(f)
    }
}

impl std::error::Error for JsonError {}

/// A type's WIT text, shortened.
pub(super) fn type_text(ty: &Type) -> String {
    shorten(&ty.to_string())
}

/// JSON, shortened.
pub(super) fn describe(json: &Json) -> String {
    match json {
        Json::Null => "null".to_owned(),
        Json::Bool(value) => value.to_string(),
        Json::Number(number) => number.to_string(),
        Json::String(text) => format!("\"{}\"", shorten(text)),
        Json::Array(elements) => format!("an array of {}", elements.len()),
        Json::Object(fields) if fields.is_empty() => "an empty object".to_owned(),
        Json::Object(fields) => {
            let mut keys: Vec<_> = fields.keys().take(4).map(|key| format!("`{}`", shorten(key))).collect();
            if fields.len() > keys.len() {
                keys.push("…".to_owned());
            }
            format!("an object with {}", keys.join(", "))
        }
    }
}

/// How the type is written in JSON, in words.
fn expected(ty: &Type) -> String {
    match ty {
        Type::Bool => "true or false".to_owned(),
        Type::S8 | Type::U8 | Type::S16 | Type::U16 | Type::S32 | Type::U32 | Type::S64 | Type::U64 => {
            format!("a whole number ({ty})")
        }
        Type::F32 | Type::F64 => format!("a number ({ty})"),
        Type::Char => "a string of one character (char)".to_owned(),
        Type::String => "a string".to_owned(),
        Type::List(_) if ty.is_bytes() => "a base64 string (list<u8>)".to_owned(),
        Type::List(_) => format!("an array ({})", type_text(ty)),
        Type::Option(inner) if super::is_nullable(inner) => {
            format!("null or {{\"{SOME}\": …}} ({})", type_text(ty))
        }
        Type::Option(inner) => format!("null or {}", expected(inner)),
        Type::Result { .. } => format!("{{\"{OK}\": …}} or {{\"{ERR}\": …}} ({})", type_text(ty)),
        Type::Tuple(types) if types.is_empty() => "null".to_owned(),
        Type::Tuple(types) => format!("an array of {} ({})", types.len(), type_text(ty)),
        Type::Record(_) => format!("an object ({})", type_text(ty)),
        Type::Variant(variant) => {
            let names = variant.members.iter().map(|case| &*case.name);
            format!("a case, \"case\" or {{\"case\": …}}, of {}", listed(names))
        }
        Type::Enum(names) => format!("one of {}", listed(names.members.iter().map(|name| &**name))),
        Type::Flags(names) => format!("an array of {}", listed(names.members.iter().map(|name| &**name))),
    }
}
