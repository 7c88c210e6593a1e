//! Whatever a peer sends, both receivers end with a message or an error.
//! `cargo +nightly fuzz run connection` in `host`.

#![no_main]

use flowhost::wire::Receiver;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|bytes: &[u8]| {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(async {
        let mut receiver = Receiver::new(bytes);
        while let Ok(Some(_)) = receiver.of_worker().await {}
        let mut receiver = Receiver::new(bytes);
        while let Ok(Some(_)) = receiver.of_client().await {}
    });
});
