//! What is sent arrives, however it is cut.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

/// A connection in memory over which so many bytes fit at once.
fn pair(room: usize) -> (Receiver<tokio::io::DuplexStream>, tokio::io::DuplexStream) {
    let (from, to) = tokio::io::duplex(room);
    (Receiver::new(from), to)
}

#[tokio::test]
async fn every_message_arrives() {
    let (mut receiver, mut to) = pair(64 << 10);
    for (name, message) in to_worker() {
        to.write_all(&frames(message.clone())).await.unwrap();
        assert_eq!(receiver.of_client().await.unwrap(), Some(message), "{name}");
    }
    drop(to);
    assert_eq!(receiver.of_client().await.unwrap(), None);
    let (mut receiver, mut to) = pair(64 << 10);
    for (name, message) in from_worker() {
        to.write_all(&frames(message.clone())).await.unwrap();
        assert_eq!(receiver.of_worker().await.unwrap(), Some(message), "{name}");
    }
}

#[tokio::test]
async fn long_messages_travel_in_parts_and_short_ones_keep_their_place() {
    let outbox = Arc::new(Outbox::default());
    let component = |length: usize| {
        let wasm = Bytes::from((0..length).map(|at| (at % 251) as u8).collect::<Vec<_>>());
        ToWorker::Component { component: Digest::of(&wasm), wasm: Payload::of(vec![wasm]), packed: None }
    };
    let sizes = [0, 1, PART - 200, PART, PART + 1, 3 * PART, 5 << 20, 7];
    for size in sizes {
        outbox.to_worker(component(size)).unwrap();
        outbox.to_worker(ToWorker::Drain).unwrap();
    }
    let longest = {
        let (mut receiver, to) = pair(100_000);
        let sent = Arc::clone(&outbox);
        let pumping = tokio::spawn(async move { pump(to, &sent).await });
        for size in sizes {
            assert_eq!(receiver.of_client().await.unwrap(), Some(component(size)), "{size}");
            assert_eq!(receiver.of_client().await.unwrap(), Some(ToWorker::Drain));
        }
        outbox.finish();
        pumping.await.unwrap().unwrap();
        assert_eq!(receiver.of_client().await.unwrap(), None);
        frames(component(5 << 20))
    };
    // No frame is longer than a part, so that no heartbeat waits behind one.
    let mut rest = &longest[..];
    while let Some((length, body)) = rest.split_first_chunk::<4>() {
        let length = u32::from_le_bytes(*length) as usize;
        assert!(length <= PART + 16, "{length}");
        rest = &body[length..];
    }
}

#[tokio::test]
async fn parts_arrive_however_they_are_cut_and_whatever_comes_between_and_behind_them() {
    let message = || from_worker().swap_remove(0).1;
    let whole = frames(message()).split_off(parts::LENGTH + 1);
    let beat = &parts::header(parts::HEARTBEAT, 0)[..];
    let (first, rest) = whole.split_at(whole.len() / 3);
    let (second, third) = rest.split_at(1);
    let long = [
        beat,
        &parts::header(parts::FIRST, 8 + first.len()),
        &(whole.len() as u64).to_le_bytes(),
        first,
        beat,
        beat,
        &parts::header(parts::FURTHER, second.len()),
        second,
        &parts::header(parts::FURTHER, third.len()),
        third,
    ]
    .concat();
    let all = [&long[..], &frames(message()), &long, beat].concat();
    for room in 1..=all.len() {
        let (mut receiver, mut to) = pair(room);
        let bytes = all.clone();
        let sending = tokio::spawn(async move { to.write_all(&bytes).await });
        for _ in 0..3 {
            assert_eq!(receiver.of_worker().await.unwrap(), Some(message()), "{room}");
        }
        assert_eq!(receiver.of_worker().await.unwrap(), None, "{room}");
        sending.await.unwrap().unwrap();
    }
}

#[tokio::test]
async fn an_idle_connection_beats_and_a_silent_one_is_lost() {
    let (mut receiver, to) = pair(1024);
    let (mut deaf, _silent) = pair(1024);
    let outbox = Outbox::default();
    let began = std::time::Instant::now();
    tokio::select! {
        ended = pump(to, &outbox) => panic!("{ended:?}"),
        heard = receiver.of_client() => panic!("{heard:?}"),
        // Lost, while the other heard enough to go on for another while.
        lost = deaf.of_client() => assert!(matches!(lost, Err(WireError::Silent)), "{lost:?}"),
    }
    let lost = began.elapsed();
    assert!((LOST..LOST + HEARTBEAT).contains(&lost), "{lost:?}");
}

#[tokio::test]
async fn who_asks_for_room_waits_until_there_is_some() {
    let outbox = Arc::new(Outbox::default());
    let wasm = Payload::of(vec![Bytes::from(vec![0; 9 << 20])]);
    outbox.to_worker(ToWorker::Component { component: Digest::of(b""), wasm, packed: None }).unwrap();
    let (_receiver, to) = pair(16 << 20);
    let sent = Arc::clone(&outbox);
    {
        let room = std::pin::pin!(outbox.room());
        let waiting = tokio::time::timeout(Duration::from_millis(10), room).await;
        assert!(waiting.is_err(), "there is no room");
    }
    let pumping = tokio::spawn(async move { pump(to, &sent).await });
    outbox.room().await;
    pumping.abort();
}

fn types() -> impl Strategy<Value = Type> {
    let leaf = prop_oneof![
        Just(Type::Bool),
        Just(Type::S8),
        Just(Type::U8),
        Just(Type::S64),
        Just(Type::F32),
        Just(Type::F64),
        Just(Type::Char),
        Just(Type::String),
        Just(Type::bytes()),
        Just(Type::unit()),
        (1_usize..5).prop_map(|count| Type::Enum(named((0..count).map(|at| Arc::from(format!("c{at}")))))),
        (0_usize..70).prop_map(|count| Type::Flags(named((0..count).map(|at| Arc::from(format!("f{at}")))))),
    ];
    leaf.prop_recursive(4, 24, 4, |inner| {
        let maybe = proptest::option::of(inner.clone());
        prop_oneof![
            inner.clone().prop_map(Type::list),
            inner.clone().prop_map(Type::option),
            (maybe.clone(), maybe.clone())
                .prop_map(|(ok, err)| Type::Result { ok: ok.map(Arc::new), err: err.map(Arc::new) }),
            proptest::collection::vec(inner.clone(), 0..4).prop_map(|types| Type::Tuple(types.into())),
            proptest::collection::vec(inner, 0..4).prop_map(|types| {
                let field = |(at, ty)| Field { name: format!("m{at}").into(), ty };
                Type::Record(named(types.into_iter().enumerate().map(field)))
            }),
            proptest::collection::vec(maybe, 1..4).prop_map(|types| {
                let case = |(at, ty)| Case { name: format!("c{at}").into(), ty };
                Type::Variant(named(types.into_iter().enumerate().map(case)))
            }),
        ]
    })
}

/// A value of a type, made of numbers that say what to choose.
fn value(ty: &Type, choices: &mut impl Iterator<Item = u64>) -> Value {
    let next = choices.next().unwrap_or_default();
    let payload = |ty: Option<&Type>, choices: &mut _| ty.map(|ty| Arc::new(value(ty, choices)));
    match ty {
        Type::Bool => Value::Bool(next % 2 == 1),
        Type::S8 => Value::S8(next as i8),
        Type::U8 => Value::U8(next as u8),
        Type::S16 => Value::S16(next as i16),
        Type::U16 => Value::U16(next as u16),
        Type::S32 => Value::S32(next as i32),
        Type::U32 => Value::U32(next as u32),
        Type::S64 => Value::S64(next as i64),
        Type::U64 => Value::U64(next),
        // Compared by their bytes, which NaN would spoil.
        Type::F32 => Value::F32(next as u32 as f32),
        Type::F64 => Value::F64(next as f64),
        Type::Char => Value::Char(char::from_u32((next % 0x11_0000) as u32).unwrap_or('x')),
        Type::String => Value::String("é".repeat((next % 40_000) as usize).into()),
        Type::List(_) if ty.is_bytes() => Value::Bytes(vec![next as u8; (next % 70_000) as usize].into()),
        Type::List(element) => Value::List((0..next % 4).map(|_| value(element, choices)).collect()),
        Type::Option(some) => Value::Option(payload((next % 2 == 1).then_some(some), choices)),
        Type::Result { ok, err } => Value::Result(if next.is_multiple_of(2) {
            Ok(payload(ok.as_deref(), choices))
        } else {
            Err(payload(err.as_deref(), choices))
        }),
        Type::Tuple(types) => Value::Tuple(types.iter().map(|ty| value(ty, choices)).collect()),
        Type::Record(record) => {
            Value::Record(record.members.iter().map(|field| value(&field.ty, choices)).collect())
        }
        Type::Variant(variant) => {
            let case = next % variant.members.len() as u64;
            let ty = variant.members[case as usize].ty.as_ref();
            Value::Variant(case as u32, payload(ty, choices))
        }
        Type::Enum(cases) => Value::Enum((next % cases.members.len() as u64) as u32),
        Type::Flags(flags) => {
            let count = flags.members.len();
            let words = (0..count.div_ceil(32)).map(|at| match count - at * 32 {
                used @ 0..32 => next as u32 & ((1 << used) - 1),
                _ => next as u32,
            });
            Value::Flags(words.collect())
        }
    }
}

proptest! {
    #[test]
    fn types_and_values_come_back(ty in types(), choices: Vec<u64>) {
        prop_assert_eq!(&Type::from_bytes(&ty.to_bytes().unwrap()).unwrap(), &ty);
        let all = [value(&ty, &mut choices.iter().copied()), value(&ty, &mut choices.iter().rev().copied())];
        let bytes = encode(&all, [&ty, &ty]).unwrap().into_bytes();
        prop_assert_eq!(decode(&bytes, [&ty, &ty]).unwrap(), all);
        prop_assert!(decode(&bytes, [&ty]).is_err());
    }
}

#[test]
fn values_that_are_not_of_their_type_do_not_travel() {
    let wrong = [
        (Value::U8(1), Type::U16),
        (Value::Enum(3), Type::Enum(named(["a".into(), "b".into(), "c".into()]))),
        (Value::List([Value::U8(1)].into()), Type::bytes()),
        (Value::Tuple([].into()), Type::Tuple([Type::U8].into())),
        (Value::Flags([0, 0].into()), Type::Flags(named(["a".into()]))),
        (Value::Result(Ok(Some(Arc::new(Value::U8(1))))), Type::Result { ok: None, err: None }),
    ];
    for (value, ty) in wrong {
        assert_eq!(encode(&[value], [&ty]), Err(ValueError::Type(ty)));
    }
    assert!(matches!(encode(&[], [&Type::U8]), Err(ValueError::Count { found: 0, wanted: 1 })));
    assert!(matches!(encode(&[Value::U8(0)], []), Err(ValueError::Count { found: 1, wanted: 0 })));
}
