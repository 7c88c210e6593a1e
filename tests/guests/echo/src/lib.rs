//! Returns what it is given, in every WIT value type.

#![expect(
    clippy::too_many_arguments,
    reason = "the generated export of `echo-person` takes its fields one by one"
)]

wit_bindgen::generate!({ world: "echo" });

use exports::example::echo::{extra, plain};

struct Component;

impl Guest for Component {
    fn echo_bool(value: bool) -> bool {
        value
    }

    fn echo_s8(value: i8) -> i8 {
        value
    }

    fn echo_u8(value: u8) -> u8 {
        value
    }

    fn echo_s16(value: i16) -> i16 {
        value
    }

    fn echo_u16(value: u16) -> u16 {
        value
    }

    fn echo_s32(value: i32) -> i32 {
        value
    }

    fn echo_u32(value: u32) -> u32 {
        value
    }

    fn echo_s64(value: i64) -> i64 {
        value
    }

    fn echo_u64(value: u64) -> u64 {
        value
    }

    fn echo_f32(value: f32) -> f32 {
        value
    }

    fn echo_f64(value: f64) -> f64 {
        value
    }

    fn echo_char(value: char) -> char {
        value
    }

    fn echo_string(value: String) -> String {
        value
    }

    fn echo_bytes(value: Vec<u8>) -> Vec<u8> {
        value
    }

    fn echo_strings(value: Vec<String>) -> Vec<String> {
        value
    }

    fn echo_blobs(value: Vec<Vec<u8>>) -> Vec<Vec<u8>> {
        value
    }

    fn echo_longs(value: Vec<u64>) -> Vec<u64> {
        value
    }

    fn echo_point(value: Point) -> Point {
        value
    }

    fn echo_person(value: Person) -> Person {
        value
    }

    fn echo_sample(value: Sample) -> Sample {
        value
    }

    fn echo_people(value: Vec<Person>) -> Vec<Person> {
        value
    }

    fn echo_shape(value: Shape) -> Shape {
        value
    }

    fn echo_season(value: Season) -> Season {
        value
    }

    fn echo_access(value: Access) -> Access {
        value
    }

    fn echo_many(value: Many) -> Many {
        value
    }

    fn echo_tuple(value: (u32, String, bool)) -> (u32, String, bool) {
        value
    }

    fn echo_option(value: Option<String>) -> Option<String> {
        value
    }

    fn echo_nested_option(value: Option<Option<u32>>) -> Option<Option<u32>> {
        value
    }

    fn echo_results(value: Vec<Result<u32, String>>) -> Vec<Result<u32, String>> {
        value
    }

    fn echo_bare_results(value: Vec<Result<(), ()>>) -> Vec<Result<(), ()>> {
        value
    }

    fn echo_result(value: Result<u32, String>) -> Result<u32, String> {
        value
    }

    fn echo_bare_result(value: Result<(), ()>) -> Result<(), ()> {
        value
    }

    fn add(a: u32, b: u32) -> u32 {
        a.wrapping_add(b)
    }

    fn sum(values: Vec<u32>) -> u32 {
        values.into_iter().fold(0, u32::wrapping_add)
    }

    fn answer() -> u32 {
        42
    }

    fn swallow(_value: String) {}

    fn nothing() {}

    fn join(parts: Vec<String>, separator: String) -> String {
        parts.join(&separator)
    }

    fn weigh(unit: String, samples: Vec<Sample>) -> Result<(String, u64), String> {
        if samples.iter().any(|sample| sample.name == "bad") {
            return Err("a sample is bad".to_owned());
        }
        let names: Vec<&str> = samples.iter().map(|sample| sample.name.as_str()).collect();
        let weight = samples.iter().map(|sample| sample.weight).fold(0, u64::wrapping_add);
        Ok((format!("{} in {unit}", names.join(", ")), weight))
    }

    fn cut(values: Vec<u32>) -> Vec<Vec<u32>> {
        values.split_inclusive(|value| *value == 0).map(<[u32]>::to_vec).collect()
    }

    fn count_to(end: u32) -> Vec<u32> {
        (0..end).collect()
    }
}

impl extra::Guest for Component {
    fn mirror(point: Point) -> Point {
        Point { x: point.x.wrapping_neg(), y: point.y.wrapping_neg() }
    }

    fn shout(text: String) -> String {
        text + "!"
    }
}

impl plain::Guest for Component {
    fn shout(text: String) -> String {
        text.to_uppercase()
    }

    fn reverse(text: String) -> String {
        text.chars().rev().collect()
    }
}

export!(Component);
