//! What asks the process to stop.

use std::io;

/// How it is asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopSignal {
    /// By SIGINT: somebody pressed Ctrl-C.
    Interrupt,
    /// By SIGTERM: Kubernetes, or a service manager. On Windows: the console is closed, or the machine is shut down.
    Terminate,
}

/// Catches them from its creation on.
#[cfg(unix)]
#[derive(Debug)]
pub struct Signals {
    terminate: tokio::signal::unix::Signal,
    interrupt: tokio::signal::unix::Signal,
}

#[cfg(unix)]
impl Signals {
    /// Begins to catch them.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    /// Waits for one.
    pub async fn received(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.terminate.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}

/// Catches them from its creation on.
#[cfg(windows)]
#[derive(Debug)]
pub struct Signals {
    close: tokio::signal::windows::CtrlClose,
    shutdown: tokio::signal::windows::CtrlShutdown,
    interrupt: tokio::signal::windows::CtrlC,
}

#[cfg(windows)]
impl Signals {
    /// Begins to catch them.
    pub fn listen() -> io::Result<Self> {
        use tokio::signal::windows::{ctrl_c, ctrl_close, ctrl_shutdown};

        Ok(Self { close: ctrl_close()?, shutdown: ctrl_shutdown()?, interrupt: ctrl_c()? })
    }

    /// Waits for one.
    pub async fn received(&mut self) -> StopSignal {
        tokio::select! {
            _ = self.close.recv() => StopSignal::Terminate,
            _ = self.shutdown.recv() => StopSignal::Terminate,
            _ = self.interrupt.recv() => StopSignal::Interrupt,
        }
    }
}
