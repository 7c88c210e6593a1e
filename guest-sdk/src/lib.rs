//! What authors of flowhost tasks add to a Rust guest: safe functions over the host's interfaces,
//! failures that say whether another attempt could help, and doubles of the host, so that a task's
//! logic is tested by plain `cargo test`.
//!
//! Nothing here is required. Any exported function over WIT value types is a task, with or without
//! this crate. Nor does a guest have to mention `flowhost:task` in its own WIT: this crate brings
//! the imports along, and of those only what the guest calls ends up in the component.
//!
//! ```
//! use flowhost_guest::{Failure, OrFail, context, info, progress};
//!
//! fn total(lines: &[&str]) -> Result<u64, Failure> {
//!     let mut sum = 0;
//!     for (done, line) in (1..).zip(lines) {
//!         if context::cancelled() {
//!             return Err(Failure::retryable("stopped before the end"));
//!         }
//!         sum += line.trim().parse::<u64>().or_permanent()?;
//!         progress::report(done, lines.len() as u64, None);
//!     }
//!     info!("{} lines in attempt {}", lines.len(), context::current().attempt);
//!     Ok(sum)
//! }
//!
//! assert_eq!(total(&["1", "2"]), Ok(3));
//! assert!(total(&["one"]).unwrap_err().is_permanent());
//! ```
//!
//! # The failure of a guest's own world
//!
//! A function that returns `result<T, failure>` names the type in its own WIT, with `use
//! flowhost:task/types@0.1.0.{failure};`. Tell `wit_bindgen` that this type is [`Failure`]:
//!
//! ```text
//! wit_bindgen::generate!({
//!     path: ["../../../wit", "wit"],
//!     world: "…",
//!     with: { "flowhost:task/types@0.1.0": flowhost_guest::types },
//! });
//! ```

mod bindings;
pub mod channel;
pub mod context;
mod failure;
pub mod flow;
mod host;
pub mod log;
pub mod metrics;
pub mod progress;
#[cfg(not(target_family = "wasm"))]
pub mod testing;

pub use failure::{Failure, OrFail};

/// The types of `flowhost:task/types@0.1.0`, in the form that the `with` of
/// `wit_bindgen::generate!` wants.
pub mod types {
    pub use crate::failure::Failure;
}
