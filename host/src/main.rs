//! The command `flowhost`.

fn main() {}
