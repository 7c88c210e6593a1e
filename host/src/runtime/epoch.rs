//! The clock that interrupts guests: one thread moves every engine's epoch on, so that a guest that
//! computes gives way to the others. Knows engines only, and keeps none of them alive.

use std::io;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use wasmtime::{Engine, EngineWeak};

/// The time between two ticks: how long a guest may compute before it gives way.
pub(super) const TICK: Duration = Duration::from_millis(10);

/// Moves the epochs of the engines that it watches. Its thread ends when the ticker and all of them
/// are gone.
#[derive(Clone)]
pub(super) struct Ticker(Arc<Mutex<Vec<EngineWeak>>>);

impl Ticker {
    /// Starts the thread.
    pub(super) fn start() -> io::Result<Self> {
        let ticker = Self::at_rest();
        ticker.run()?;
        Ok(ticker)
    }

    /// One whose thread is not started yet.
    pub(super) fn at_rest() -> Self {
        Self(Arc::default())
    }

    /// Starts the thread of one that was at rest.
    pub(super) fn run(&self) -> io::Result<()> {
        let engines = Arc::clone(&self.0);
        thread::Builder::new().name("flowhost-epoch".to_owned()).spawn(move || {
            loop {
                thread::sleep(TICK);
                let mut watched = engines.lock().unwrap_or_else(PoisonError::into_inner);
                watched.retain(|engine: &EngineWeak| {
                    engine.upgrade().inspect(Engine::increment_epoch).is_some()
                });
                if watched.is_empty() && Arc::strong_count(&engines) == 1 {
                    return;
                }
            }
        })?;
        Ok(())
    }

    /// Moves `engine`'s epoch from now on, as long as it lives.
    pub(super) fn watch(&self, engine: &Engine) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).push(engine.weak());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_thread_ends_with_the_engines() {
        let ticker = Ticker::start().unwrap();
        let engine = Engine::default();
        ticker.watch(&engine);
        let list = Arc::downgrade(&ticker.0);
        drop(ticker);
        // The engine alone keeps the thread going.
        thread::sleep(3 * TICK);
        assert!(list.upgrade().is_some());
        drop(engine);
        let patience = std::time::Instant::now();
        while list.upgrade().is_some() {
            assert!(patience.elapsed() < Duration::from_secs(10), "the thread goes on");
            thread::sleep(TICK);
        }
    }
}
