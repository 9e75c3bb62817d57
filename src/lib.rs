//! sidecar-drift.
pub mod core;
