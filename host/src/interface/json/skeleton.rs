//! An example of a type's JSON, for messages and for `inspect`.

use serde_json::{Map, Value as Json};

use super::{OK, SOME, is_nullable};
use crate::model::Type;

/// Deeper than this, `"…"` stands for what is there.
const DEPTH: u32 = 4;
/// So many parts are shown; `"…"` stands for the others, and members of records and tuples are left
/// out.
const PARTS: u32 = 24;

/// An example of the JSON of a type, on one line, such as `{"word": "…", "count": 0}`. Short: what is
/// nested deep, and the last members of large types, are left out.
#[must_use]
pub fn skeleton(ty: &Type) -> String {
    let mut text = String::new();
    let mut parts = PARTS;
    write(&mut text, &example(ty, DEPTH, &mut parts));
    text
}

fn example(ty: &Type, depth: u32, parts: &mut u32) -> Json {
    let (Some(depth), Some(left)) = (depth.checked_sub(1), parts.checked_sub(1)) else { return "…".into() };
    *parts = left;
    match ty {
        Type::Bool => false.into(),
        Type::S8 | Type::U8 | Type::S16 | Type::U16 | Type::S32 | Type::U32 | Type::S64 | Type::U64 => {
            0.into()
        }
        Type::F32 | Type::F64 => 0.5.into(),
        Type::Char => "c".into(),
        Type::String => "…".into(),
        Type::List(_) if ty.is_bytes() => "YmFzZTY0".into(),
        Type::List(element) => Json::Array(vec![example(element, depth, parts)]),
        Type::Option(some) if is_nullable(some) => single(SOME, example(some, depth, parts)),
        Type::Option(some) => example(some, depth, parts),
        Type::Result { ok, .. } => single(OK, ok.as_ref().map_or(Json::Null, |ok| example(ok, depth, parts))),
        Type::Tuple(types) if types.is_empty() => Json::Null,
        Type::Tuple(types) => {
            let mut elements = Vec::new();
            for ty in types.iter() {
                if *parts > 0 {
                    elements.push(example(ty, depth, parts));
                }
            }
            Json::Array(elements)
        }
        Type::Record(record) => {
            let mut fields = Map::new();
            for field in &record.members {
                if *parts > 0 {
                    fields.insert(field.name.to_string(), example(&field.ty, depth, parts));
                }
            }
            Json::Object(fields)
        }
        Type::Variant(variant) => match variant.members.first() {
            Some(case) => match &case.ty {
                Some(ty) => single(&case.name, example(ty, depth, parts)),
                None => (*case.name).into(),
            },
            None => Json::Null,
        },
        Type::Enum(names) => names.members.first().map_or(Json::Null, |name| (**name).into()),
        Type::Flags(names) => names.members.iter().take(1).map(|name| &**name).collect(),
    }
}

fn single(key: &str, json: Json) -> Json {
    Json::Object(Map::from_iter([(key.to_owned(), json)]))
}

/// On one line, with a space after each colon and comma.
fn write(text: &mut String, json: &Json) {
    let separate = |text: &mut String, index: usize| {
        if index > 0 {
            text.push_str(", ");
        }
    };
    match json {
        Json::Array(elements) => {
            text.push('[');
            for (index, element) in elements.iter().enumerate() {
                separate(text, index);
                write(text, element);
            }
            text.push(']');
        }
        Json::Object(fields) => {
            text.push('{');
            for (index, (key, field)) in fields.iter().enumerate() {
                separate(text, index);
                text.push_str(&Json::from(key.as_str()).to_string());
                text.push_str(": ");
                write(text, field);
            }
            text.push('}');
        }
        scalar => text.push_str(&scalar.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    #[test]
    fn shows_the_form() {
        let counts = Type::record([
            (Arc::from("word"), Type::String),
            (Arc::from("positions"), Type::list(Type::U32)),
            (Arc::from("note"), Type::option(Type::option(Type::bytes()))),
        ]);
        assert_eq!(skeleton(&counts), r#"{"word": "…", "positions": [0], "note": {"some": "YmFzZTY0"}}"#);
        let deep = (0..60).fold(Type::U8, |ty, _| Type::Tuple([ty.clone(), ty].into()));
        assert_eq!(skeleton(&deep).matches('…').count(), 16);
        let wide = Type::Tuple(vec![Type::list(Type::Tuple(vec![Type::U8; 1000].into())); 1000].into());
        assert!(skeleton(&wide).len() < 200);
    }
}
