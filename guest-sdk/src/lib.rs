//! What authors of flowhost tasks add to a Rust guest.
