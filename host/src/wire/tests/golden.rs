//! Every message's bytes, as docs/protocol.md has them. Whoever changes one changes the protocol, and
//! its number with it.

use std::fmt::Write;

use super::*;

fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, byte) in bytes.iter().enumerate() {
        let space = if at > 0 && at % 32 == 0 { "\n    " } else { "" };
        let _ = write!(text, "{space}{byte:02x}");
    }
    text
}

#[test]
fn messages_have_their_bytes() {
    let mut all = format!("protocol {PROTOCOL}\n");
    for (name, message) in to_worker() {
        let _ = writeln!(all, "to worker: {name}\n    {}", hex(&frames(message)));
    }
    for (name, message) in from_worker() {
        let _ = writeln!(all, "from worker: {name}\n    {}", hex(&frames(message)));
    }
    insta::assert_snapshot!("messages", all);
}

#[test]
fn types_and_values_have_their_bytes() {
    let ty = every_type();
    let values = [
        Value::Bool(true),
        Value::S8(-1),
        Value::U8(2),
        Value::S16(-2),
        Value::U16(258),
        Value::S32(-3),
        Value::U32(3),
        Value::S64(-4),
        Value::U64(4),
        Value::F32(1.0),
        Value::F64(f64::from_bits(0x7ff8_0000_0000_0001)),
        Value::Char('é'),
        Value::string("text"),
        Value::Bytes(Bytes::from_static(b"bytes")),
        Value::List([Value::List([Value::U16(1)].into()), Value::List([].into())].into()),
        Value::Option(Some(Arc::new(Value::Option(None)))),
        Value::Result(Ok(Some(Arc::new(Value::U8(9))))),
        Value::Result(Err(Some(Arc::new(Value::string("e"))))),
        Value::unit(),
        Value::Variant(0, Some(Arc::new(Value::U32(1)))),
        Value::Enum(2),
        Value::Flags([2].into()),
        Value::Flags([1, 128].into()),
    ];
    let value = Value::Record(values.into());
    let bytes = encode(std::slice::from_ref(&value), [&ty]).unwrap().into_bytes();
    let all = format!("type\n    {}\nvalue\n    {}\n", hex(&ty.to_bytes().unwrap()), hex(&bytes));
    insta::assert_snapshot!("types-and-values", all);
    let mut back = decode(&bytes, [&ty]).unwrap();
    // NaN is not equal to itself; its bytes are.
    assert_eq!(encode(&[back.pop().unwrap()], [&ty]).unwrap().into_bytes(), bytes);
}

#[tokio::test]
async fn the_opening_has_its_bytes() {
    let (mut client, worker) = tokio::io::duplex(4096);
    let hello = Hello {
        flowhost: "0.1.0".to_owned(),
        target: "x86_64-unknown-linux-gnu".to_owned(),
        capacity: Some((1, 64)),
        ..Hello::of("wasmtime 48.0.8")
    };
    let (from, to) = tokio::io::split(worker);
    let greeting = tokio::spawn(async move { greet(Receiver::new(from), to, &hello).await.map(drop) });
    let said = br#"{"protocol":1,"flowhost":"0.1.0","engine":"wasmtime 48.0.8","target":"x86_64-unknown-linux-gnu","capacity":[1,64]}"#;
    let mut heard = vec![0; MAGIC.len() + 4 + said.len()];
    tokio::io::AsyncReadExt::read_exact(&mut client, &mut heard).await.unwrap();
    let length = u32::try_from(said.len()).unwrap().to_le_bytes();
    assert_eq!(heard, [&MAGIC[..], &length, said].concat());
    let ours = serde_json::to_vec(&Hello::of("wasmtime 48.0.8")).unwrap();
    let length = u32::try_from(ours.len()).unwrap().to_le_bytes();
    tokio::io::AsyncWriteExt::write_all(&mut client, &[&length[..], &ours].concat()).await.unwrap();
    greeting.await.unwrap().unwrap();
}
