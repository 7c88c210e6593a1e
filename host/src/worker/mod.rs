//! Workers: flowhost processes that execute attempts for another. A wire server in front of an
//! in-process executor, for children of our own and for those that somebody starts. Knows nothing of
//! workflows and runs.

mod beneath;
mod ceiling;
mod channel;
mod child;
mod confine;
mod serve;
mod standard;
mod supply;

pub use ceiling::{Allow, AllowError, Bound, Ceiling, CeilingError, Limits};
pub use child::child;
pub use serve::{ServeError, Worker, serve};
pub use standard::{Stdin, Stdout, standard};
