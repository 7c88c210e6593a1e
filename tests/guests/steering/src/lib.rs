//! Asks for what its workflow file allows, and for what it does not.

use flowhost_guest::{channel, context, flow};

wit_bindgen::generate!({
    path: ["../../../wit", "wit"],
    world: "example:steering/steering",
    with: { "flowhost:task/types@0.1.0": flowhost_guest::types },
});

struct Component;

fn told(error: &flow::Error) -> String {
    match error {
        flow::Error::TooManyIterations => "too-many-iterations".to_owned(),
        flow::Error::AlreadyDecided => "already-decided".to_owned(),
        flow::Error::TooManyRequests => "too-many-requests".to_owned(),
        flow::Error::NotAllowed(reason) => format!("not-allowed: {reason}"),
        flow::Error::InvalidArguments(reason) => format!("invalid-arguments: {reason}"),
    }
}

fn ask(what: &str, text: &str) -> Result<(), flow::Error> {
    let (verb, rest) = what.split_once(' ').unwrap_or((what, ""));
    match verb {
        "next" => {
            let (task, arguments) = rest.split_once(' ').unwrap_or((rest, "{}"));
            flow::next(task, arguments)
        }
        "hand" => flow::next(rest, format!("{{\"text\": \"{text}\"}}")),
        "iterate" => flow::iterate(rest),
        "goto" => flow::goto(rest),
        "finish" => flow::finish(),
        "abort" => flow::abort(rest),
        other => panic!("nobody asks for {other}"),
    }
}

impl Guest for Component {
    fn act(text: String, asks: Vec<String>) -> Result<String, Failure> {
        let mut said = text.clone();
        for one in asks {
            if one == "fails" {
                return Err(Failure::retryable("fails after all"));
            }
            if let Err(error) = ask(&one, &text) {
                said.push_str(&format!(" [{}]", told(&error)));
            }
        }
        Ok(said)
    }

    fn split(low: u32, high: u32) -> Result<Option<u32>, Failure> {
        if high - low == 1 {
            return Ok(Some(low));
        }
        let middle = low + (high - low) / 2;
        for (low, high) in [(low, middle), (middle, high)] {
            flow::next("split", format!(r#"{{"low": {low}, "high": {high}}}"#))?;
        }
        Ok(None)
    }

    fn count_down(number: u32) -> Result<u32, Failure> {
        let key = format!("tried/{}/{number}", context::current().index);
        if channel::increment(&key, 1)? == 1 {
            return Err(Failure::retryable("the first attempt fails"));
        }
        if number > 0 {
            flow::iterate(format!(r#"{{"number": {}}}"#, number - 1))?;
        }
        Ok(number)
    }

    fn flood(task: String, arguments: String) -> (u32, String) {
        let mut count = 0;
        loop {
            match flow::next(&task, &arguments) {
                Ok(()) => count += 1,
                Err(error) => return (count, told(&error)),
            }
        }
    }

    fn join(texts: Vec<String>) -> String {
        texts.join(",")
    }

    fn spin() -> String {
        loop {
            std::hint::spin_loop();
        }
    }
}

export!(Component);
