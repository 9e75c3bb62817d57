//! The narrow seam between the commands and the engine, so that commands are tested with reports made by hand.

use std::sync::Arc;

use crate::{
    config::{Config, StopWhen},
    core::report::Report,
    daemon,
};

pub use crate::daemon::Progress;

/// What commands ask of the engine.
pub trait Engine {
    /// Connects, works until `stop` says so, and returns the last report.
    fn run(&self, config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<Arc<Report>>;

    /// Writes into the state ConfigMap that all rollouts are paused, and why.
    fn pause(&self, config: &Config, reason: &str) -> anyhow::Result<()>;

    /// Lifts the pause and closes the breaker; creates the state ConfigMap if it is missing.
    fn resume(&self, config: &Config) -> anyhow::Result<()>;
}

/// The real one.
#[derive(Clone, Copy, Debug)]
pub struct Daemon;

impl Engine for Daemon {
    fn run(&self, config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<Arc<Report>> {
        daemon::run(config, stop, progress)
    }

    fn pause(&self, config: &Config, reason: &str) -> anyhow::Result<()> {
        daemon::pause(config, reason)
    }

    fn resume(&self, config: &Config) -> anyhow::Result<()> {
        daemon::resume(config)
    }
}
