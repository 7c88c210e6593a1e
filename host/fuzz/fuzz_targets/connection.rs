//! Whatever a peer sends, from its first byte on or after a good opening, both sides end with a message or an
//! error. `host/fuzz/run connection` runs it.

#![no_main]

use flowhost::wire::{Hello, Receiver, answer, greet};
use libfuzzer_sys::fuzz_target;

/// As the one message of a connection: nothing but a head, in a whole frame.
fn framed(head: &[u8]) -> Vec<u8> {
    let length = |bytes: usize| u32::try_from(bytes).expect("inputs are short").to_le_bytes();
    [&length(head.len() + 5)[..], &[1], &length(head.len()), head].concat()
}

async fn read(bytes: &[u8]) {
    let mut receiver = Receiver::new(bytes);
    while let Ok(Some(_)) = receiver.of_worker().await {}
    let mut receiver = Receiver::new(bytes);
    while let Ok(Some(_)) = receiver.of_client().await {}
}

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        read(bytes).await;
        read(&framed(bytes)).await;
        let ours = Hello::of("any");
        drop(answer(bytes, tokio::io::sink(), &ours).await);
        drop(greet(Receiver::new(bytes), tokio::io::sink(), &ours).await);
    });
});
