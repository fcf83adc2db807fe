//! The `mta-seal` program.

fn main() {}
