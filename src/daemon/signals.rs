//! The signals that stop the process.

use anyhow::Context as _;
use tokio::task::JoinSet;

use super::StopSignal;
use crate::platform;

/// Catches what asks the process to stop from its creation on.
///
/// The kernel delivers no unhandled signal to the first process of a container, so create it before anything that takes
/// time.
#[derive(Debug)]
pub(super) struct Signals(platform::signals::Signals);

impl Signals {
    pub(super) fn listen() -> anyhow::Result<Self> {
        platform::signals::Signals::listen().map(Self).context("cannot listen for signals that stop the process")
    }

    /// Waits for a signal.
    pub(super) async fn received(&mut self) -> StopSignal {
        self.0.received().await
    }

    /// The result of `work`, or the signal that came before. `work` has a task of its own, so that a signal stops it while a
    /// server or a login plugin blocks.
    pub(super) async fn unless_stopped<T: Send + 'static>(
        &mut self,
        work: impl Future<Output = anyhow::Result<T>> + Send + 'static,
    ) -> anyhow::Result<Result<T, StopSignal>> {
        let mut working = JoinSet::new();
        working.spawn(work);
        tokio::select! {
            biased;
            by = self.received() => Ok(Err(by)),
            Some(done) = working.join_next() => Ok(Ok(done.context("cannot begin")??)),
        }
    }
}
