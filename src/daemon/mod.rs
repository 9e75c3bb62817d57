//! Wires the core to the cluster: one task that owns all state, and the workers that carry out its effects.

pub mod clock;
mod engine;
mod events;
mod leadership;
mod listen;
pub mod recording;
mod reload;
mod signals;
mod workers;

use std::sync::Arc;

use crate::{
    config::{Config, StopWhen},
    core::{io::Notice, report::Report},
};
use anyhow::Context as _;

/// Is called whenever there is something to tell: with the newest report, and what happened since the last call.
pub type Progress<'a> = dyn FnMut(&Report, &[Notice]) + Send + 'a;

/// How a run came to its end.
#[derive(Clone, Debug)]
pub struct RunResult {
    /// What was known at the end.
    pub report: Arc<Report>,
    /// The signal that ended it before its time, if one did.
    pub stopped: Option<Stopped>,
}

/// A run that a signal ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stopped {
    /// The signal.
    pub by: StopSignal,
    /// It came twice, and we left what was under way.
    pub at_once: bool,
}

/// The signals that stop us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// By SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// By SIGTERM: Kubernetes, or a service manager.
    Terminate,
}

/// Connects, works until `stop` says so, and returns the last report.
pub fn run(config: Config, stop: StopWhen, progress: &mut Progress<'_>) -> anyhow::Result<RunResult> {
    let runtime = runtime()?;
    let ended = runtime.block_on(engine::run(config, stop, progress));
    // A name that is being looked up, or a login plugin that waits for somebody, must not keep us.
    runtime.shutdown_background();
    ended
}

/// What the tasks of one process run on.
pub fn runtime() -> anyhow::Result<tokio::runtime::Runtime> {
    // One task decides, on a thread of its own, and the others wait for answers nearly all the time: one worker is plenty, and
    // each more costs an arena of the allocator.
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .context("cannot start the runtime")
}
