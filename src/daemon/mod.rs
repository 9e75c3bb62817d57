//! Wires the core to the cluster: one task that owns all state, and the workers that carry out its effects.

mod engine;
mod events;
mod leadership;
mod listen;
pub mod recording;
mod reload;
mod signals;
mod workers;

use std::sync::Arc;

pub use crate::{cluster::client::Place, platform::signals::StopSignal};
use crate::{
    config::{Config, StopWhen},
    core::{io::Notice, report::Report},
};
use anyhow::Context as _;

/// What is told while a run goes on.
#[derive(Clone, Copy, Debug)]
pub enum Told<'a> {
    /// Where it leads; nothing was asked there yet.
    Connected(&'a Place),
    /// The newest report, and the notices since the last one.
    Moved(&'a Report, &'a [Notice]),
}

/// A callback for progress.
pub type Progress<'a> = dyn FnMut(Told<'_>) + Send + 'a;

/// The result of a run.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// The last report.
    pub report: Arc<Report>,
    /// The signal that ended it early, if one did.
    pub stopped: Option<Stopped>,
}

/// A run that a signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The signal.
    pub by: StopSignal,
    /// It came twice: work in flight was abandoned.
    pub at_once: bool,
}

/// Connects, works until `stop` says so, and returns the last report.
pub fn run(config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<RunResult> {
    let runtime = runtime()?;
    let ended = runtime.block_on(engine::run(config, stop, progress));
    // A DNS lookup or a login plugin that blocks must not delay the exit.
    runtime.shutdown_background();
    ended
}

/// The runtime of the process.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One task decides, on a thread of its own, and the others mostly wait for answers: one worker is enough, and each more
    // costs an arena of the allocator.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
