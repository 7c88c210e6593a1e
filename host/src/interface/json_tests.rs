//! Values and JSON, both ways.

use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use proptest::prelude::*;
use serde_json::{Value as Json, json};

use super::testing::{any_type, any_typed_value, any_value};
use super::{encoded_size, from_json, skeleton, to_json, to_text, write_json};
use crate::model::{Case, Field, Named, Type, Value};

/// Whether two values are the same to the bit, except that all NaNs are one.
fn same(left: &Value, right: &Value) -> bool {
    let all = |left: &[Value], right: &[Value]| {
        left.len() == right.len() && left.iter().zip(right).all(|(left, right)| same(left, right))
    };
    let both = |left: &Option<Arc<Value>>, right: &Option<Arc<Value>>| match (left, right) {
        (Some(left), Some(right)) => same(left, right),
        (left, right) => left.is_none() && right.is_none(),
    };
    match (left, right) {
        (Value::F32(left), Value::F32(right)) => {
            left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan()
        }
        (Value::F64(left), Value::F64(right)) => {
            left.to_bits() == right.to_bits() || left.is_nan() && right.is_nan()
        }
        (Value::List(left), Value::List(right))
        | (Value::Tuple(left), Value::Tuple(right))
        | (Value::Record(left), Value::Record(right)) => all(left, right),
        (Value::Option(left), Value::Option(right)) => both(left, right),
        (Value::Result(Ok(left)), Value::Result(Ok(right)))
        | (Value::Result(Err(left)), Value::Result(Err(right))) => both(left, right),
        (Value::Variant(index, left), Value::Variant(other, right)) => index == other && both(left, right),
        (left, right) => left == right,
    }
}

fn any_json() -> BoxedStrategy<Json> {
    let key = prop_oneof![any::<String>(), "[a-c]|some|ok|err|n[0-9]{1,2}"];
    let leaf = prop_oneof![
        Just(Json::Null),
        any::<bool>().prop_map(Json::from),
        any::<i64>().prop_map(Json::from),
        any::<u64>().prop_map(Json::from),
        (-3_i64..300).prop_map(Json::from),
        any::<f64>().prop_map(Json::from),
        key.clone().prop_map(Json::from),
        Just(Json::from("AAEC")),
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4).prop_map(Json::from),
            proptest::collection::vec((key.clone(), inner), 0..4)
                .prop_map(|fields| Json::Object(fields.into_iter().collect())),
        ]
    })
    .boxed()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn every_value_survives_json((ty, value) in any_typed_value()) {
        let json = to_json(&value, &ty);
        let back = from_json(&json, &ty).unwrap();
        prop_assert!(same(&back, &value), "{ty}: {value:?} -> {json} -> {back:?}");
        let text = json.to_string();
        let json: Json = serde_json::from_str(&text).unwrap();
        let back = from_json(&json, &ty).unwrap();
        prop_assert!(same(&back, &value), "{ty}: {value:?} -> {text} -> {back:?}");
        prop_assert_eq!(to_json(&back, &ty).to_string(), text);
    }

    #[test]
    fn text_is_that_of_the_tree((ty, value) in any_typed_value()) {
        let mut text = Vec::new();
        write_json(&value, &ty, &mut text);
        prop_assert_eq!(String::from_utf8(text).unwrap(), to_json(&value, &ty).to_string(), "{}", ty);
    }

    #[test]
    fn garbage_is_an_error_or_a_value((ty, json) in (any_type(), any_json())) {
        if let Ok(value) = from_json(&json, &ty) {
            // What was read is written in one way only, and that way reads as the same value.
            let canonical = to_json(&value, &ty);
            prop_assert!(same(&from_json(&canonical, &ty).unwrap(), &value));
        }
    }

    #[test]
    fn a_damaged_value_is_refused_or_another((ty, value, other) in any_type().prop_flat_map(|ty| {
        let value = any_value(&ty);
        (Just(ty), value, any_type())
    })) {
        // Reading a value's JSON as another type must not panic, nor may its error be empty.
        if let Err(error) = from_json(&to_json(&value, &ty), &other) {
            prop_assert!(!error.to_string().is_empty());
        }
    }

    #[test]
    fn every_f32_survives(bits in any::<u32>()) {
        let value = Value::F32(f32::from_bits(bits));
        let text = to_json(&value, &Type::F32).to_string();
        let back = from_json(&serde_json::from_str(&text).unwrap(), &Type::F32).unwrap();
        prop_assert!(same(&back, &value), "{value:?} -> {text} -> {back:?}");
    }

    #[test]
    fn a_skeleton_is_an_example(ty in any_type()) {
        let text = skeleton(&ty);
        let json: Json = serde_json::from_str(&text).unwrap();
        // What is cut, and the empty string that stands for every string, show as an ellipsis.
        prop_assert!(from_json(&json, &ty).is_ok() || text.contains('…') || text.len() > 40, "{ty}: {text}");
    }

    #[test]
    fn sizes_hold_all_payload((ty, value) in any_typed_value()) {
        let size = encoded_size(&value, &ty);
        let bare = to_json(&value, &ty).to_string().len() as u64;
        // JSON writes no byte more than six times (an escape) and no scalar longer than 330 characters.
        prop_assert!(bare <= size * 400 + 60, "{ty}: {value:?} takes {size}");
    }
}

fn names(names: &[&str]) -> Arc<Named<Arc<str>>> {
    Arc::new(Named { name: None, members: names.iter().map(|name| Arc::from(*name)).collect() })
}

fn counts() -> Type {
    let fields = [("word", Type::String), ("count", Type::U32), ("note", Type::option(Type::String))];
    let members = fields.into_iter().map(|(name, ty)| Field { name: Arc::from(name), ty }).collect();
    Type::Record(Arc::new(Named { name: Some(Arc::from("counts")), members }))
}

fn shape() -> Type {
    let cases = [("circle", Some(Type::F64)), ("nothing", None), ("maybe", Some(Type::option(Type::U8)))];
    let members = cases.into_iter().map(|(name, ty)| Case { name: Arc::from(name), ty }).collect();
    Type::Variant(Arc::new(Named { name: Some(Arc::from("shape")), members }))
}

#[test]
fn the_form_is_as_documented() {
    let some = |value| Value::Option(Some(Arc::new(value)));
    let result = |ok: Option<Type>| Type::Result { ok: ok.map(Arc::new), err: Some(Arc::new(Type::String)) };
    let nested = Type::option(Type::option(Type::U8));
    let colours = Type::Enum(names(&["red", "dark-green"]));
    let access = Type::Flags(names(&["read", "write", "run"]));
    let record = |note| Value::Record([Value::string("a"), Value::U32(2), Value::Option(note)].into());
    for (ty, value, json) in [
        (Type::U64, Value::U64(u64::MAX), json!(18_446_744_073_709_551_615_u64)),
        (Type::S64, Value::S64(i64::MIN), json!(-9_223_372_036_854_775_808_i64)),
        (Type::F32, Value::F32(0.1), json!(0.1)),
        (Type::F64, Value::F64(0.1), json!(0.1)),
        (Type::F64, Value::F64(f64::NAN), json!("nan")),
        (Type::F32, Value::F32(f32::NEG_INFINITY), json!("-inf")),
        (Type::F64, Value::F64(f64::INFINITY), json!("inf")),
        (Type::Char, Value::Char('é'), json!("é")),
        (Type::bytes(), Value::Bytes(Bytes::from_static(b"\0\x01\xff")), json!("AAH/")),
        (Type::list(Type::U16), Value::List([Value::U16(1)].into()), json!([1])),
        (Type::option(Type::U8), Value::Option(None), json!(null)),
        (Type::option(Type::U8), some(Value::U8(1)), json!(1)),
        (nested.clone(), Value::Option(None), json!(null)),
        (nested.clone(), some(Value::Option(None)), json!({"some": null})),
        (nested, some(some(Value::U8(1))), json!({"some": 1})),
        (result(None), Value::Result(Ok(None)), json!({"ok": null})),
        (result(Some(Type::Bool)), Value::Result(Ok(Some(Arc::new(Value::Bool(true))))), json!({"ok": true})),
        (result(None), Value::Result(Err(Some(Arc::new(Value::string("e"))))), json!({"err": "e"})),
        (
            Type::Tuple([Type::U8, Type::String].into()),
            Value::Tuple([Value::U8(1), Value::string("b")].into()),
            json!([1, "b"]),
        ),
        (counts(), record(None), json!({"word": "a", "count": 2, "note": null})),
        (counts(), record(Some(Arc::new(Value::string("n")))), json!({"word": "a", "count": 2, "note": "n"})),
        (shape(), Value::Variant(0, Some(Arc::new(Value::F64(1.5)))), json!({"circle": 1.5})),
        (shape(), Value::Variant(1, None), json!("nothing")),
        (shape(), Value::Variant(2, Some(Arc::new(Value::Option(None)))), json!({"maybe": null})),
        (colours, Value::Enum(1), json!("dark-green")),
        (access.clone(), Value::Flags([0b101].into()), json!(["read", "run"])),
        (access, Value::Flags([0].into()), json!([])),
        (Type::unit(), Value::unit(), json!(null)),
    ] {
        assert_eq!(to_json(&value, &ty), json, "{ty}");
        assert!(same(&from_json(&json, &ty).unwrap(), &value), "{ty}");
    }
}

#[test]
fn other_ways_to_write_are_read_too() {
    for (ty, json, value) in [
        (Type::U64, json!("18446744073709551615"), Value::U64(u64::MAX)),
        (Type::F64, json!(3), Value::F64(3.0)),
        (Type::F32, json!(16_777_216), Value::F32(16_777_216.0)),
        (Type::S8, serde_json::from_str("-0").unwrap(), Value::S8(0)),
        (Type::F64, serde_json::from_str("-0").unwrap(), Value::F64(-0.0)),
        (Type::F64, serde_json::from_str("-0.0").unwrap(), Value::F64(-0.0)),
        (Type::bytes(), json!([0, 255]), Value::Bytes(Bytes::from_static(b"\0\xff"))),
        (Type::Flags(names(&["a", "b"])), json!(["b", "a"]), Value::Flags([3].into())),
        (Type::unit(), json!([]), Value::unit()),
        (
            counts(),
            json!({"count": 2, "word": "a"}),
            Value::Record([Value::string("a"), Value::U32(2), Value::Option(None)].into()),
        ),
    ] {
        assert!(same(&from_json(&json, &ty).unwrap(), &value), "{ty}: {json}");
    }
}

#[test]
fn errors_name_the_place_and_the_thing() {
    let list = Type::record([(Arc::from("words"), Type::list(counts()))]);
    let words = |word: Json| json!({"words": [{"word": "a", "count": 1}, word]});
    let access = Type::Flags(names(&["read", "write"]));
    let result = Type::Result { ok: None, err: Some(Arc::new(Type::U8)) };
    for (ty, json, message) in [
        (Type::U8, json!(256), "256 is out of range for u8, which goes from 0 to 255"),
        (Type::S8, json!(-129), "-129 is out of range for s8, which goes from -128 to 127"),
        (
            Type::S64,
            json!(u64::MAX),
            "18446744073709551615 is out of range for s64, which goes from -9223372036854775808 to 9223372036854775807",
        ),
        (Type::U32, json!(1.0), "expected a whole number (u32), found 1.0"),
        (Type::U32, json!("1"), "expected a whole number (u32), found \"1\""),
        (Type::U64, json!("+1"), "expected a whole number (u64), found \"+1\""),
        (Type::U64, json!(""), "expected a whole number (u64), found \"\""),
        (Type::F32, json!(16_777_217), "16777217 is no f32: the nearest is 16777216"),
        (Type::F64, json!(u64::MAX), "18446744073709551615 is no f64: the nearest is 18446744073709552000"),
        (Type::F32, json!(1e300), "1e+300 is no f32: the nearest is inf"),
        (Type::F64, json!("NaN"), "expected a number (f64), found \"NaN\""),
        (Type::Bool, json!("true"), "expected true or false, found \"true\""),
        (Type::Char, json!("ab"), "expected a string of one character (char), found \"ab\""),
        (Type::String, json!({"text": 1}), "expected a string, found an object with `text`"),
        (
            Type::bytes(),
            json!("é"),
            "expected bytes in base64 (RFC 4648, with padding), found \"é\": invalid symbol 195, offset 0.",
        ),
        (Type::bytes(), json!([1, 256]), "`[1]`: 256 is out of range for u8, which goes from 0 to 255"),
        (
            list.clone(),
            words(json!({"word": "b", "count": -1})),
            "`.words[1].count`: -1 is out of range for u32, which goes from 0 to 4294967295",
        ),
        (list.clone(), words(json!({"word": "b"})), "`.words[1]`: the field `count` (u32) is missing"),
        (
            list.clone(),
            words(json!({"word": "b", "cuont": 1})),
            "`.words[1]`: unknown field `cuont`; did you mean `count`?; the fields are `word`, `count`, `note`",
        ),
        (
            list.clone(),
            words(json!({"word": "b", "count": 1, "x": 1})),
            "`.words[1]`: unknown field `x`; the fields are `word`, `count`, `note`",
        ),
        (list, json!({"words": "a"}), "`.words`: expected an array (list<counts>), found \"a\""),
        (Type::Tuple([Type::U8, Type::U8].into()), json!([1]), "expected 2 values, found 1"),
        (
            shape(),
            json!("circel"),
            "unknown case `circel`; did you mean `circle`?; there are `circle`, `nothing`, `maybe`",
        ),
        (shape(), json!("circle"), "the case `circle` carries a value (f64): write {\"circle\": …}"),
        (shape(), json!({"nothing": null}), "the case `nothing` carries no value: write \"nothing\""),
        (shape(), json!({"circle": "x"}), "`.circle`: expected a number (f64), found \"x\""),
        (
            shape(),
            json!({}),
            "expected a case, \"case\" or {\"case\": …}, of `circle`, `nothing`, `maybe`, found an empty object",
        ),
        (access.clone(), json!(["read", "read"]), "`[1]`: the flag `read` is there twice"),
        (access, json!(["run"]), "`[0]`: unknown flag `run`; there are `read`, `write`"),
        (result.clone(), json!({"ok": 1}), "`.ok`: expected null, found 1"),
        (result, json!(1), "expected {\"ok\": …} or {\"err\": …} (result<_, u8>), found 1"),
        (
            Type::option(Type::option(Type::U8)),
            json!(1),
            "expected null or {\"some\": …} (option<option<u8>>), found 1",
        ),
        (Type::option(Type::U8), json!("a"), "expected a whole number (u8), found \"a\""),
        (Type::String, json!([1, 2]), "expected a string, found an array of 2"),
    ] {
        assert_eq!(from_json(&json, &ty).unwrap_err().to_string(), message, "{ty}: {json}");
    }
}

#[test]
fn found_text_is_short_and_harmless() {
    let long = json!("\u{1b}[31m".repeat(100_000));
    let message = from_json(&long, &Type::U8).unwrap_err().to_string();
    assert!(message.len() < 500 && !message.contains('\u{1b}'), "{message}");
    let keys = (0..1000).map(|number| (format!("\u{1b}{number}"), json!(1)));
    let message = from_json(&Json::Object(keys.collect()), &Type::U8).unwrap_err().to_string();
    assert!(message.len() < 500 && !message.contains('\u{1b}'), "{message}");
    let key = json!({"\u{1b}".repeat(1000): 1});
    let message = from_json(&key, &counts()).unwrap_err().to_string();
    assert!(message.len() < 500 && !message.contains('\u{1b}'), "{message}");
}

#[test]
fn scalars_have_a_text() {
    for (ty, value, text) in [
        (Type::String, Value::string("a \"b\""), Some("a \"b\"")),
        (Type::Char, Value::Char('c'), Some("c")),
        (Type::Bool, Value::Bool(true), Some("true")),
        (Type::U64, Value::U64(u64::MAX), Some("18446744073709551615")),
        (Type::F64, Value::F64(1.0), Some("1.0")),
        (Type::F32, Value::F32(0.1), Some("0.1")),
        (Type::F64, Value::F64(f64::NAN), Some("nan")),
        (Type::bytes(), Value::Bytes(Bytes::new()), None),
        (Type::Enum(names(&["a"])), Value::Enum(0), None),
    ] {
        assert_eq!(to_text(&value, &ty).as_deref(), text, "{ty}");
    }
}

#[test]
fn sizes_are_as_documented() {
    let some = |value| Value::Option(Some(Arc::new(value)));
    for (ty, value, size) in [
        (Type::Char, Value::Char('c'), 4),
        (Type::F64, Value::F64(0.0), 8),
        (Type::String, Value::string("é"), 10),
        (Type::bytes(), Value::Bytes(Bytes::from_static(b"abc")), 11),
        (Type::list(Type::U16), Value::List([Value::U16(1), Value::U16(2)].into()), 12),
        (Type::option(Type::U64), Value::Option(None), 1),
        (Type::option(Type::U64), some(Value::U64(1)), 9),
        (shape(), Value::Variant(0, Some(Arc::new(Value::F64(0.0)))), 9),
        (shape(), Value::Variant(1, None), 1),
        (Type::Flags(names(&["a"; 9])), Value::Flags([0].into()), 2),
        (Type::Flags(names(&["a"; 33])), Value::Flags([0, 0].into()), 8),
        (Type::Enum(names(&["a"; 257])), Value::Enum(0), 2),
        (counts(), Value::Record([Value::string("a"), Value::U32(1), Value::Option(None)].into()), 14),
        (Type::unit(), Value::unit(), 0),
    ] {
        assert_eq!(encoded_size(&value, &ty), size, "{ty}");
    }
}

#[test]
fn a_hundred_thousand_records_take_no_time() {
    let json: Json = (0..100_000).map(|count| json!({"word": format!("w{count}"), "count": count})).collect();
    let ty = Type::list(counts());
    let start = Instant::now();
    let value = from_json(&json, &ty).unwrap();
    let back = to_json(&value, &ty);
    let elapsed = start.elapsed();
    assert_eq!(back.as_array().unwrap().len(), 100_000);
    // Far above what it takes, so that a busy machine passes and a quadratic reader does not.
    assert!(elapsed < Duration::from_secs(10), "{elapsed:?}");
    println!("100,000 records there and back: {elapsed:?}");
}
