//! sidecar-drift.
pub mod cli;
pub mod config;
pub mod core;
pub mod http;
pub mod metrics;
