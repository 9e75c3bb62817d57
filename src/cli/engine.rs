//! The narrow seam between the commands and the engine, so that commands are tested with reports made by hand.

use std::sync::Arc;

use crate::{
    config::{Config, StopWhen},
    core::{io::Notice, report::Report},
};

/// Is called whenever there is something to tell: with the newest report, and what happened since the last call.
pub type Progress<'a> = dyn FnMut(&Report, &[Notice]) + Send + 'a;

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
    fn run(&self, _config: Config, _stop: StopWhen, _progress: &mut Progress<'_>) -> anyhow::Result<Arc<Report>> {
        // Here `crate::daemon` is wired in.
        anyhow::bail!("this build has no engine")
    }

    fn pause(&self, _config: &Config, _reason: &str) -> anyhow::Result<()> {
        anyhow::bail!("this build has no engine")
    }

    fn resume(&self, _config: &Config) -> anyhow::Result<()> {
        anyhow::bail!("this build has no engine")
    }
}
