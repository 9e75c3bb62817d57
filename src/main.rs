//! sidecar-drift.
fn main() {}
