//! The fault catalogue, on the real command: what hostile guests, files and bytes do, and what must
//! become of it. Each test bears the id of its fault.

pub(crate) mod beside;
mod bytes;
pub(crate) use bytes::next;
mod children;
mod compiling;
mod deterministic;
mod files;
mod flood;
mod killed;
mod many;
mod memory;
mod network;
mod outcomes;
mod random;
mod shown;
mod stack;
mod state;
mod tampering;
mod time;
mod wire;
