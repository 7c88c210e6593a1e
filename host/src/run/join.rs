//! What becomes of the values of a group's branches: joined to one, or the best of them. Knows values
//! and nothing of how they came to be.

use std::sync::Arc;

use bytes::Bytes;

use crate::model::Value;

/// Why there is no best value.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub(super) enum NoBest {
    #[error("there is no best value: no branch has a value")]
    Nothing,
    #[error("there is no best value: `{0}` is NaN in every value")]
    AllNan(Arc<str>),
}

/// Values as a list; bytes where they are of type `u8`.
pub(super) fn list(values: impl IntoIterator<Item = Value>, bytes: bool) -> Option<Value> {
    if !bytes {
        return Some(Value::List(values.into_iter().collect()));
    }
    let byte = |value| if let Value::U8(byte) = value { Some(byte) } else { None };
    Some(Value::Bytes(values.into_iter().map(byte).collect::<Option<Vec<u8>>>()?.into()))
}

/// What `joined` shall be: text, bytes, or another list.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Joined {
    Text,
    Bytes,
    List,
}

/// Strings, bytes or lists, one after the other. None where a value is none of that kind.
pub(super) fn concat(values: impl IntoIterator<Item = Value>, joined: Joined) -> Option<Value> {
    let values = values.into_iter();
    Some(match joined {
        Joined::Text => {
            let mut all = String::new();
            for value in values {
                let Value::String(text) = value else { return None };
                all.push_str(&text);
            }
            Value::String(all.into())
        }
        Joined::Bytes => {
            let mut all = Vec::new();
            for value in values {
                let Value::Bytes(bytes) = value else { return None };
                all.extend_from_slice(&bytes);
            }
            Value::Bytes(Bytes::from(all))
        }
        Joined::List => {
            let mut all = Vec::new();
            for value in values {
                let Value::List(items) = value else { return None };
                all.extend_from_slice(&items);
            }
            Value::List(all.into())
        }
    })
}

/// A number, to be compared with those of its own kind. No integer goes through a float.
#[derive(Clone, Copy, PartialEq, PartialOrd, Debug)]
enum Score {
    Integer(i128),
    Float(f64),
}

/// The number in a record's field; none where it is NaN, or no number.
fn score(value: &Value, field: u32) -> Option<Score> {
    let Value::Record(fields) = value else { return None };
    Some(match fields.get(field as usize)? {
        Value::U8(number) => Score::Integer((*number).into()),
        Value::S8(number) => Score::Integer((*number).into()),
        Value::U16(number) => Score::Integer((*number).into()),
        Value::S16(number) => Score::Integer((*number).into()),
        Value::U32(number) => Score::Integer((*number).into()),
        Value::S32(number) => Score::Integer((*number).into()),
        Value::U64(number) => Score::Integer((*number).into()),
        Value::S64(number) => Score::Integer((*number).into()),
        Value::F32(number) if !number.is_nan() => Score::Float((*number).into()),
        Value::F64(number) if !number.is_nan() => Score::Float(*number),
        _ => return None,
    })
}

/// The record whose field at position `field` is the largest number, the earlier on a tie.
pub(super) fn best(values: &[Value], field: u32, name: &Arc<str>) -> Result<Value, NoBest> {
    let mut best: Option<(Score, &Value)> = None;
    for value in values {
        let Some(score) = score(value, field) else { continue };
        if best.is_none_or(|(largest, _)| score > largest) {
            best = Some((score, value));
        }
    }
    match best {
        Some((_, value)) => Ok(value.clone()),
        None if values.is_empty() => Err(NoBest::Nothing),
        None => Err(NoBest::AllNan(Arc::clone(name))),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn record(number: Value, index: usize) -> Value {
        Value::Record(Arc::new([Value::U32(index as u32), number]))
    }

    /// The position of the best of `numbers`.
    fn chosen(numbers: impl IntoIterator<Item = Value>) -> Result<usize, NoBest> {
        let records: Vec<Value> =
            numbers.into_iter().enumerate().map(|(at, number)| record(number, at)).collect();
        let Value::Record(fields) = best(&records, 1, &"score".into())? else { panic!() };
        let Value::U32(at) = fields[0] else { panic!() };
        Ok(at as usize)
    }

    #[test]
    fn large_integers_are_told_apart() {
        let numbers = [u64::MAX - 1, u64::MAX, u64::MAX - 2];
        assert_eq!(chosen(numbers.map(Value::U64)), Ok(1));
        assert_eq!(chosen([i64::MIN, i64::MIN + 1].map(Value::S64)), Ok(1));
    }

    #[test]
    fn what_is_not_a_number_never_wins() {
        let nan = f64::NAN;
        assert_eq!(chosen([nan, f64::NEG_INFINITY, nan].map(Value::F64)), Ok(1));
        assert_eq!(chosen([-0.0, 0.0].map(Value::F64)), Ok(0), "the same number is a tie");
        let error = chosen([f32::NAN, -f32::NAN].map(Value::F32)).unwrap_err().to_string();
        assert_eq!(error, "there is no best value: `score` is NaN in every value");
        assert_eq!(chosen([]), Err(NoBest::Nothing));
    }

    proptest! {
        #[test]
        fn the_best_float_is_the_first_that_none_exceeds(
            numbers in prop::collection::vec(prop_oneof![
                any::<f64>(), (-3_i8..3).prop_map(f64::from), Just(f64::NAN), Just(f64::INFINITY)
            ], 0..20),
        ) {
            let oracle = (0..numbers.len()).find(|at| {
                !numbers[*at].is_nan() && !numbers.iter().any(|other| *other > numbers[*at])
            });
            prop_assert_eq!(chosen(numbers.iter().copied().map(Value::F64)).ok(), oracle);
        }

        #[test]
        fn the_best_integer_is_the_first_that_none_exceeds(
            numbers in prop::collection::vec(prop_oneof![any::<i64>(), -3_i64..3], 0..20),
        ) {
            let oracle = (0..numbers.len()).find(|at| !numbers.iter().any(|other| *other > numbers[*at]));
            prop_assert_eq!(chosen(numbers.iter().copied().map(Value::S64)).ok(), oracle);
            let unsigned = |number: &i64| Value::U64(number.wrapping_sub(i64::MIN) as u64);
            prop_assert_eq!(chosen(numbers.iter().map(unsigned)).ok(), oracle);
        }

        #[test]
        fn strings_bytes_and_lists_are_joined_in_order(parts in prop::collection::vec(".{0,6}", 0..8)) {
            let all = parts.concat();
            let strings = parts.iter().map(|part| Value::string(part));
            prop_assert_eq!(concat(strings, Joined::Text), Some(Value::string(&all)));
            let bytes = parts.iter().map(|part| Value::Bytes(part.clone().into_bytes().into()));
            prop_assert_eq!(concat(bytes, Joined::Bytes), Some(Value::Bytes(all.clone().into_bytes().into())));
            let chars = |text: &str| Value::List(text.chars().map(Value::Char).collect());
            let lists = parts.iter().map(|part| chars(part));
            prop_assert_eq!(concat(lists, Joined::List), Some(chars(&all)));
        }

        #[test]
        fn a_list_keeps_order_and_takes_bytes_together(numbers: Vec<u8>) {
            let values = || numbers.iter().copied().map(Value::U8);
            prop_assert_eq!(list(values(), true), Some(Value::Bytes(numbers.clone().into())));
            prop_assert_eq!(list(values(), false), Some(Value::List(values().collect())));
        }
    }
}
