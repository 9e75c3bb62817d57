//! Ctrl-C and SIGTERM: the demo ends, and with it all that it has started.

use anyhow::{Result, bail};
use tokio::signal::unix::{Signal, SignalKind, signal};

/// What asks us to end.
#[derive(Debug)]
pub(super) struct Signals {
    interrupt: Signal,
    terminate: Signal,
    asked: bool,
}

impl Signals {
    pub(super) fn new() -> Result<Self> {
        let (interrupt, terminate) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
        Ok(Self { interrupt, terminate, asked: false })
    }

    /// Waits until somebody asks us to end.
    pub(super) async fn wait(&mut self) {
        tokio::select! {
            _ = self.interrupt.recv() => {}
            _ = self.terminate.recv() => {}
        }
        self.asked = true;
    }

    /// Works until it is done, or drops the work when somebody asks us to end.
    pub(super) async fn unless_asked<T>(&mut self, work: impl Future<Output = Result<T>>) -> Result<T> {
        tokio::select! {
            done = work => done,
            () = self.wait() => bail!("stopped before the end; all that was started ends, too"),
        }
    }

    /// Whether somebody has asked us to end.
    pub(super) fn asked(&self) -> bool {
        self.asked
    }
}
