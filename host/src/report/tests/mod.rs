//! Tests of what people and programs see: a script of events, and the exact text that comes of it.

mod bars;
mod events;
mod lines;
mod plain;
mod summary;
