//! `flowhost:task/flow`: what guests ask for, held against what they may and written down. It must not
//! know what becomes of it: that is decided when the attempt has succeeded.

use std::sync::Arc;

use wasmtime::component::{HasSelf, Linker};

use super::super::sandbox::State;
use super::task::bindings::flowhost::task::flow::{self, Error};
use crate::interface;
use crate::model::{Allowed, MOST_REQUESTS, Parameter, REQUESTS_TEXT, Start, Startable, Then};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    flow::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

/// What one attempt asked for, and how much of it there is.
#[derive(Default)]
pub(in crate::runtime) struct Asked {
    pub(in crate::runtime) requests: crate::model::Requests,
    text: usize,
    count: usize,
}

impl Asked {
    /// Takes a request that holds so much text, if there is room.
    fn take(&mut self, text: usize) -> Result<(), Error> {
        let more = self.text.saturating_add(text);
        if self.count >= MOST_REQUESTS || more > REQUESTS_TEXT {
            return Err(Error::TooManyRequests);
        }
        (self.count, self.text) = (self.count + 1, more);
        Ok(())
    }

    /// Takes how the branch goes on, if that is not decided.
    fn decide(&mut self, then: Then, text: usize) -> Result<(), Error> {
        if self.requests.then != Then::Ends {
            return Err(Error::AlreadyDecided);
        }
        self.take(text)?;
        self.requests.then = then;
        Ok(())
    }
}

impl State {
    fn allowed(&self) -> Option<Arc<Allowed>> {
        self.prepared.call.allowed.clone()
    }

    fn asked(&mut self) -> &mut Asked {
        self.asked.get_or_insert_default()
    }

    fn task(&self) -> &str {
        &self.prepared.call.task
    }

    fn may_not_start(&self, task: &str) -> Error {
        let me = self.task();
        Error::NotAllowed(format!("`may-start` of task `{me}` does not list `{task}`"))
    }

    fn may_not_end(&self) -> Error {
        let me = self.task();
        Error::NotAllowed(format!("task `{me}` may end the run only with `may-end = true`"))
    }
}

impl flow::Host for State {
    fn next(&mut self, task: String, arguments: String) -> Result<(), Error> {
        let allowed = self.allowed();
        let Some(target) = allowed.as_deref().and_then(|allowed| find(allowed, &task)) else {
            return Err(self.may_not_start(&task));
        };
        check(&arguments, &target.parameters, &target.task)?;
        let asked = self.asked();
        asked.take(task.len().saturating_add(arguments.len()))?;
        let (task, arguments) = (Arc::clone(&target.task), arguments.into());
        asked.requests.next.push(Start { task, arguments });
        Ok(())
    }

    fn iterate(&mut self, arguments: String) -> Result<(), Error> {
        let allowed = self.allowed().unwrap_or_default();
        if allowed.iterations <= 1 {
            let reason = format!("task `{}` may run again only with `max-iterations`", self.task());
            return Err(Error::NotAllowed(reason));
        }
        if self.iteration >= allowed.iterations {
            return Err(Error::TooManyIterations);
        }
        check(&arguments, &allowed.itself, self.task())?;
        let text = arguments.len();
        self.asked().decide(Then::Iterates(arguments.into()), text)
    }

    fn goto(&mut self, task: String) -> Result<(), Error> {
        let allowed = self.allowed();
        let Some((allowed, target)) =
            allowed.as_deref().and_then(|allowed| Some((allowed, find(allowed, &task)?)))
        else {
            return Err(self.may_not_start(&task));
        };
        if !allowed.leave {
            let reason = "a branch of a group cannot go elsewhere: `next` starts another task".to_owned();
            return Err(Error::NotAllowed(reason));
        }
        check("{}", &target.parameters, &target.task)?;
        let then = Then::GoesTo(Arc::clone(&target.task));
        self.asked().decide(then, task.len())
    }

    fn finish(&mut self) -> Result<(), Error> {
        if !self.allowed().is_some_and(|allowed| allowed.end) {
            return Err(self.may_not_end());
        }
        self.asked().decide(Then::Finishes, 0)
    }

    fn abort(&mut self, reason: String) -> Result<(), Error> {
        if !self.allowed().is_some_and(|allowed| allowed.end) {
            return Err(self.may_not_end());
        }
        let text = reason.len();
        self.asked().decide(Then::Aborts(reason.into()), text)
    }
}

fn find<'a>(allowed: &'a Allowed, task: &str) -> Option<&'a Startable> {
    allowed.start.iter().find(|startable| *startable.task == *task)
}

/// Whether these are arguments for what takes these parameters.
fn check(arguments: &str, parameters: &[Parameter], task: &str) -> Result<(), Error> {
    interface::given(
        arguments,
        parameters.iter().map(|parameter| (&parameter.name, &parameter.ty, parameter.known)),
    )
    .map(drop)
    .map_err(|error| Error::InvalidArguments(format!("arguments for task `{task}`: {error}")))
}
