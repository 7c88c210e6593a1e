//! `flowhost:task`: where an attempt stands, its log, its progress and its figures.

use std::sync::Arc;
use std::time::Instant;

use wasmtime::component::{HasSelf, Linker};

use super::super::sandbox::State;
use crate::model::{Entry, Level, MetricError};

pub(super) mod bindings {
    wasmtime::component::bindgen!({
        path: "../wit",
        world: "flowhost:task/imports",
        imports: { "flowhost:task/channel": async },
    });
}

use bindings::flowhost::task::{context, log, metrics, progress, types};

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    types::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    context::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    log::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    progress::add_to_linker::<_, HasSelf<State>>(linker, |state| state)?;
    metrics::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl metrics::Host for State {
    fn add(&mut self, name: String, amount: f64) -> Result<(), metrics::Error> {
        self.metrics.add(&name, amount).map_err(|error| match error {
            MetricError::InvalidName => metrics::Error::InvalidName,
            MetricError::NotFinite => metrics::Error::NotFinite,
            MetricError::TooManyNames => metrics::Error::TooManyNames,
        })
    }
}

impl types::Host for State {}

impl context::Host for State {
    fn current(&mut self) -> context::Place {
        let call = &self.prepared.call;
        if call.deterministic.is_some() {
            let task = match &call.entry {
                Entry::Function { name, .. } => name.to_string(),
                Entry::Command { .. } => "run".to_owned(),
            };
            return context::Place { run: String::new(), task, group: None, index: 0, count: 1, attempt: 1 };
        }
        context::Place {
            run: call.run.to_string(),
            task: call.task.to_string(),
            group: call.group.as_deref().map(str::to_owned),
            index: u64::from(self.id.branch.index),
            count: call.count,
            attempt: self.id.number,
        }
    }

    fn time_left(&mut self) -> Option<u64> {
        if self.prepared.call.deterministic.is_some() {
            return None;
        }
        let left = self.deadline?.saturating_duration_since(Instant::now());
        Some(u64::try_from(left.as_nanos()).unwrap_or(u64::MAX))
    }

    fn cancelled(&mut self) -> bool {
        self.prepared.call.deterministic.is_none() && self.observer.cancelling()
    }
}

impl log::Host for State {
    fn log(&mut self, level: log::Level, message: String) {
        let level = match level {
            log::Level::Trace => Level::Trace,
            log::Level::Debug => Level::Debug,
            log::Level::Info => Level::Info,
            log::Level::Warn => Level::Warn,
            log::Level::Error => Level::Error,
        };
        self.speech().say(level, &message);
    }
}

impl progress::Host for State {
    fn report(&mut self, done: u64, total: Option<u64>, message: Option<String>) {
        State::progress(self, done, total, message.map(Arc::from));
    }
}
