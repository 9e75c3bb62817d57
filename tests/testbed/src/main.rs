//! The testbed for people.
fn main() {}
