//! Workers: flowhost processes that execute attempts for another. A wire server in front of an
//! in-process executor, for children of our own and for those that somebody starts, and what a worker
//! that takes attempts from Redis tells those who run it. Knows nothing of workflows and runs.

mod beneath;
mod ceiling;
mod channel;
mod child;
mod confine;
mod consume;
mod figures;
mod kept;
mod log;
mod notify;
mod serve;
mod settings;
mod shared;
mod spans;
mod standard;
mod supply;
mod tidy;
mod web;

pub use ceiling::{Allow, AllowError, Bound, Ceiling, CeilingError, Limits};
pub use child::child;
pub use consume::{ConsumeError, consume};
pub use figures::Figures;
pub use kept::Kept;
pub use log::{Format, Level, Log, without_passwords};
pub use notify::{Notify, NotifyError};
pub use serve::{ServeError, Worker, serve};
pub use settings::{ConsumerSettings, Stopping};
pub use shared::SharedError;
pub use standard::{Stdin, Stdout, standard};
pub use tidy::hold_program;
pub use web::serve as serve_figures;
