//! Runs a workflow from Rust, shows its branches as they end, and prints what it yields:
//!
//! ```sh
//! cargo build --bins
//! FLOWHOST_PROGRAM=target/debug/flowhost cargo run --example embed -- examples/wordcount/workflow.toml
//! ```
//!
//! Arguments after the file are inputs, as `name=value`. The components have to be built already.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example tells people what it sees")]

use std::process::ExitCode;

use flowhost::embed::Run;
use flowhost::model::{Fact, Status};

#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    run().await.unwrap_or_else(|error| {
        eprintln!("{error}");
        ExitCode::FAILURE
    })
}

async fn run() -> Result<ExitCode, Box<dyn std::error::Error>> {
    let mut words = std::env::args().skip(1);
    let file = words.next().ok_or("which workflow? Give its file")?;
    let mut run = Run::file(file);
    for word in words {
        let (name, value) = word.split_once('=').ok_or("inputs are written name=value")?;
        run = run.input(name, value);
    }
    let mut running = run.start()?;
    while let Some(event) = running.event().await {
        let place = event.place.unwrap_or_default();
        if let (Fact::TaskEnded { ending, .. }, Some(task)) = (event.fact, place.task) {
            let index = place.index.map(|index| format!("[{index}]")).unwrap_or_default();
            eprintln!("{task}{index} {}", ending.name());
        }
    }
    let ended = running.finish().await?;
    for (name, value) in &ended.outputs.values {
        println!("{name} = {value}");
    }
    Ok(if ended.status == Status::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
