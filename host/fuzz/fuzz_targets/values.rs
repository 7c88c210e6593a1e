//! A type, and values of it: what is read is written back as the same bytes' worth.
//! `host/fuzz/run values` runs it.

#![no_main]

use bytes::Bytes;
use flowhost::model::Type;
use flowhost::wire::{decode, encode};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let Some((length, rest)) = bytes.split_first() else { return };
    let (ty, value) = rest.split_at(usize::from(*length).min(rest.len()));
    let Ok(ty) = Type::from_bytes(ty) else { return };
    if let Ok(values) = decode(&Bytes::copy_from_slice(value), [&ty]) {
        let again = encode(&values, [&ty]).expect("what was read is of its type").into_bytes();
        let twice = decode(&again, [&ty]).expect("what was written can be read");
        assert_eq!(encode(&twice, [&ty]).expect("as before").into_bytes(), again);
    }
});
