//! `wasi:logging`, which some guests use already: the same as our own log.

use wasmtime::component::{HasSelf, Linker};

use super::super::sandbox::State;
use crate::model::Level;

mod bindings {
    wasmtime::component::bindgen!({
        inline: "
            package wasi:logging@0.1.0-draft;

            interface logging {
                enum level { trace, debug, info, warn, error, critical }
                log: func(level: level, context: string, message: string);
            }

            world host {
                import logging;
            }
        ",
        world: "wasi:logging/host",
    });
}

use bindings::wasi::logging::logging;

pub(super) fn add_to_linker(linker: &mut Linker<State>) -> wasmtime::Result<()> {
    logging::add_to_linker::<_, HasSelf<State>>(linker, |state| state)
}

impl logging::Host for State {
    fn log(&mut self, level: logging::Level, context: String, message: String) {
        let level = match level {
            logging::Level::Trace => Level::Trace,
            logging::Level::Debug => Level::Debug,
            logging::Level::Info => Level::Info,
            logging::Level::Warn => Level::Warn,
            logging::Level::Error | logging::Level::Critical => Level::Error,
        };
        if context.is_empty() {
            self.speech().say(level, &message);
        } else {
            self.speech().say(level, &format!("{context}: {message}"));
        }
    }
}
