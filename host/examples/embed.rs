//! Runs a workflow from Rust with a journal, shows its branches as they end, prints what it yields, and
//! lists the runs that are kept:
//!
//! ```sh
//! cargo build --bins
//! FLOWHOST_PROGRAM=target/debug/flowhost cargo run --example embed -- examples/wordcount/workflow.toml
//! ```
//!
//! Arguments after the file are inputs, as `name=value`, or `resume`, which goes on with the newest run
//! of the file that is unfinished or failed. The components have to be built already.

#![expect(clippy::print_stdout, clippy::print_stderr, reason = "an example tells people what it sees")]

use std::path::Path;
use std::process::ExitCode;

use flowhost::embed::{Resume, Run};
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
    let kept = Path::new(&file).with_file_name(".flowhost");
    let mut run = Run::file(&file).journal();
    for word in words {
        run = match word.split_once('=') {
            Some((name, value)) => run.input(name, value),
            None if word == "resume" => run.resume(Resume::newest().retry_failed()),
            None => return Err("inputs are written name=value".into()),
        };
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
    for past in flowhost::embed::runs(&kept)? {
        eprintln!("{}: {} succeeded, {} failed", past.run, past.counts.succeeded, past.counts.failed);
    }
    Ok(if ended.status == Status::Succeeded { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
