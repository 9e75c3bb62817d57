//! sidecar-drift.
pub mod cluster;
pub mod core;
