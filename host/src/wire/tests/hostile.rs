//! P1 and P2: bytes that are no frame, no message, no value; another protocol; talk before the opening.

use proptest::prelude::*;
use tokio::io::AsyncWriteExt;

use super::*;

/// What a receiver makes of bytes, up to the first error.
async fn received(bytes: &[u8]) -> (Vec<FromWorker>, Option<WireError>) {
    let (from, mut to) = tokio::io::duplex(bytes.len().max(1));
    to.write_all(bytes).await.unwrap();
    drop(to);
    let mut receiver = Receiver::new(from);
    let mut messages = Vec::new();
    loop {
        match receiver.of_worker().await {
            Ok(Some(message)) => messages.push(message),
            Ok(None) => return (messages, None),
            Err(error) => return (messages, Some(error)),
        }
    }
}

/// Runs what has to wait for nothing but bytes that are there.
fn now<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap().block_on(future)
}

/// What the fuzz targets of `host/fuzz` do as well.
fn survives(bytes: &[u8]) {
    drop(now(received(bytes)));
    let ty = every_type();
    drop(decode(&Bytes::copy_from_slice(bytes), [&ty]));
    drop(Type::from_bytes(bytes));
}

#[test]
fn p1_a_frame_that_claims_too_much_is_refused_before_anything_is_made_for_it() {
    for claimed in [FRAME as u32 + 1, u32::MAX] {
        let (messages, error) = now(received(&[&claimed.to_le_bytes()[..], &[1; 100]].concat()));
        assert!(messages.is_empty());
        assert!(matches!(error, Some(WireError::FrameTooLarge(found)) if found == u64::from(claimed)));
    }
    let first = [&parts::header(parts::FIRST, 9)[..], &u64::MAX.to_le_bytes(), &[0]].concat();
    assert!(matches!(now(received(&first)).1, Some(WireError::MessageTooLarge(u64::MAX))));
}

#[test]
fn p1_truncated_messages_and_bytes_left_over_end_the_connection() {
    let all: Vec<u8> = from_worker().into_iter().flat_map(|(_, message)| frames(message)).collect();
    let whole = from_worker().len();
    for length in 0..all.len() {
        let (messages, error) = now(received(&all[..length]));
        assert!(messages.len() < whole);
        assert!(matches!(error, None | Some(WireError::Cut)), "{length}: {error:?}");
    }
    for (name, message) in from_worker() {
        let mut frame = frames(message);
        frame.push(0);
        let length = u32::try_from(frame.len() - 4).unwrap();
        frame[..4].copy_from_slice(&length.to_le_bytes());
        let (messages, error) = now(received(&frame));
        assert!(messages.is_empty() && error.is_some(), "{name}: {messages:?}");
    }
}

#[test]
fn p1_parts_out_of_place_end_the_connection() {
    let frame = |kind, body: &[u8]| [&parts::header(kind, body.len())[..], body].concat();
    let first = frame(parts::FIRST, &[&8_u64.to_le_bytes()[..], &[0; 4]].concat());
    for wrong in [
        frame(parts::FURTHER, &[0; 4]),
        frame(9, &[]),
        frame(parts::HEARTBEAT, &[0]),
        [first.clone(), frame(parts::FIRST, &[0; 12])].concat(),
        [first.clone(), frame(parts::WHOLE, &[0; 4])].concat(),
        [first.clone(), frame(parts::FURTHER, &[0; 5])].concat(),
        [first.clone(), frame(parts::FURTHER, &[])].concat(),
        [first, frame(parts::HEARTBEAT, &[])].concat(),
    ] {
        let (messages, error) = now(received(&wrong));
        assert!(messages.is_empty() && error.is_some(), "{wrong:?}");
    }
}

#[test]
fn p1_a_list_that_claims_more_than_there_is_is_refused() {
    for ty in [Type::bytes(), Type::String, Type::list(Type::unit()), Type::list(Type::U64)] {
        let mut bytes = Vec::new();
        crate::compact::number(&mut bytes, u64::MAX >> 1);
        bytes.push(0);
        assert_eq!(decode(&bytes.into(), [&ty]), Err(ValueError::Bytes(CompactError::Short)), "{ty}");
    }
}

#[test]
fn p1_metrics_that_no_guest_could_report_are_refused() {
    let usage = |amount: f64, name: &str| {
        let head = (Duration::ZERO, 0_u64, None::<u64>, vec![(name, amount)], None::<()>);
        let mut bytes = Vec::new();
        codec::encode(&head, &mut bytes).unwrap();
        codec::decode::<Usage>(&bytes)
    };
    assert!(usage(1.0, "fine").is_ok());
    assert!(usage(f64::NAN, "fine").is_err() && usage(1.0, "\x1b[2J").is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn p1_random_bytes_are_survived(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
        survives(&bytes);
        // As the body of a frame, and as the head of a message.
        let length = bytes.len() as u32;
        survives(&[&parts::header(parts::WHOLE, bytes.len())[..], &bytes].concat());
        let head = [&length.to_le_bytes()[..], &bytes].concat();
        survives(&[&parts::header(parts::WHOLE, head.len())[..], &head].concat());
    }

    #[test]
    fn p1_flipped_bits_are_survived(which: prop::sample::Index, at: prop::sample::Index, bit in 0_u8..8) {
        let all = from_worker();
        let mut frame = frames(all[which.index(all.len())].1.clone());
        let at = at.index(frame.len());
        frame[at] ^= 1 << bit;
        survives(&frame);
        let all = to_worker();
        let mut frame = frames(all[which.index(all.len())].1.clone());
        let at = at % frame.len();
        frame[at] ^= 1 << bit;
        let (from, mut to) = tokio::io::duplex(frame.len());
        now(async {
            to.write_all(&frame).await.unwrap();
            drop(to);
            let mut receiver = Receiver::new(from);
            while let Ok(Some(_)) = receiver.of_client().await {}
        });
    }
}

/// What a client makes of a worker that writes `said` and ends.
fn opened(said: &[u8]) -> Result<Hello, WireError> {
    now(async {
        let (worker, client) = tokio::io::duplex(1 << 20);
        let (from, to) = tokio::io::split(client);
        let (rest, mut write) = tokio::io::split(worker);
        write.write_all(said).await.unwrap();
        write.shutdown().await.unwrap();
        let answered = answer(from, to, &Hello::of("engine")).await.map(|(_, hello)| hello);
        drop(rest);
        answered
    })
}

fn greeting(hello: &Hello) -> Vec<u8> {
    let json = serde_json::to_vec(hello).unwrap();
    [&MAGIC[..], &u32::try_from(json.len()).unwrap().to_le_bytes(), &json].concat()
}

#[test]
fn what_a_shell_says_before_is_skipped_and_quoted_where_nothing_follows() {
    let hello = Hello::of("engine");
    let talk = "Welcome!\n".repeat(1000);
    assert_eq!(opened(&[talk.as_bytes(), &greeting(&hello)].concat()).unwrap(), hello);
    let error = opened(b"flowhost: command not found \x1b[31m\n").unwrap_err().to_string();
    assert!(error.contains("command not found \\u{1b}[31m"), "{error}");
    let error = opened(&vec![b'x'; 70 << 10]).unwrap_err().to_string();
    assert!(error.contains("xxx") && error.len() < 1000, "{error}");
    assert!(matches!(opened(&[&MAGIC[..], &[0xff; 8]].concat()), Err(WireError::FrameTooLarge(_))));
    assert!(matches!(opened(&[&MAGIC[..], &[2, 0, 0, 0], b"no"].concat()), Err(WireError::Hello(_))));
}

#[test]
fn p2_another_protocol_is_refused_with_both_versions_named() {
    let theirs =
        Hello { protocol: PROTOCOL + 1, flowhost: "9.9.9\x1b".to_owned(), ..Hello::of("wasmtime 99") };
    let error = opened(&greeting(&theirs)).unwrap_err();
    assert!(matches!(error, WireError::Refused(_)));
    let said = error.to_string();
    for part in ["flowhost 9.9.9 with wasmtime 99", "protocol 2", "protocol 1", env!("CARGO_PKG_VERSION")] {
        assert!(said.contains(part), "{said}");
    }
    // Anything else may differ.
    opened(&greeting(&Hello { flowhost: "9.9.9".to_owned(), ..Hello::of("another") })).unwrap();
}
