//! Attempts of components that are written as text here, so that no guest need be built.

mod calls;
mod channel;
mod features;
mod files;
mod host;
mod limits;
mod loading;
