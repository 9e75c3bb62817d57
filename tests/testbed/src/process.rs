//! One supervised child process with a log file.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::{ExitStatus, Stdio};

use anyhow::{Context as _, Result, bail};
use tokio::sync::{mpsc, watch};

use crate::background;
use crate::run_directory::RunDirectory;

/// How a program is started; kept, so that it can be started again.
#[derive(Debug, Clone)]
pub(crate) struct Program {
    pub(crate) name: &'static str,
    pub(crate) binary: PathBuf,
    pub(crate) arguments: Vec<String>,
}

/// A running [`Program`].
#[derive(Debug)]
pub(crate) struct Process {
    name: &'static str,
    log: PathBuf,
    kill: mpsc::Sender<()>,
    exited: watch::Receiver<Option<ExitStatus>>,
}

impl Process {
    /// Starts it in a run directory; its output goes to `logs/<name>.log` there.
    pub(crate) fn start(program: &Program, directory: &Path) -> Result<Self> {
        let log = directory.join("logs").join(format!("{}.log", program.name));
        let output = OpenOptions::new().create(true).append(true).open(&log)?;
        let mut command = RunDirectory::command_in(directory, &program.binary);
        command.args(&program.arguments).stdin(Stdio::null()).stdout(output.try_clone()?).stderr(output);

        let background = background::enter()?;
        let mut child = tokio::process::Command::from(command)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {} ({})", program.name, program.binary.display()))?;
        drop(background);

        let (kill, mut killed) = mpsc::channel(1);
        let (exit, exited) = watch::channel(None);
        let path = directory.to_owned();
        let pid = child.id();
        background::spawn(async move {
            tokio::select! {
                _ = child.wait() => {}
                _ = killed.recv() => { let _ = child.start_kill(); }
            }
            if let Ok(status) = child.wait().await {
                pid.inspect(|pid| RunDirectory::forget(&path, *pid));
                let _ = exit.send(Some(status));
            }
        })?;
        Ok(Self { name: program.name, log, kill, exited })
    }

    /// An error if the process has ended by itself.
    pub(crate) fn check(&self) -> Result<()> {
        match *self.exited.borrow() {
            Some(status) => bail!("{} ended by itself ({status})", self.name),
            None => Ok(()),
        }
    }

    /// Kills it without a chance to say goodbye, and waits until it is gone.
    pub(crate) async fn kill(&self) {
        let _ = self.kill.try_send(());
        let mut exited = self.exited.clone();
        let _ = exited.wait_for(Option::is_some).await;
    }

    /// Whether the log says that somebody else has the port.
    pub(crate) fn lost_its_port(&self) -> bool {
        self.log_tail().contains("address already in use")
    }

    /// The last lines of the log, under the name of the program.
    pub(crate) fn log_tail(&self) -> String {
        format!("the end of the log of {}:\n{}", self.name, tail(&self.log))
    }
}

fn tail(path: &Path) -> String {
    const LINES: usize = 25;
    let bytes = fs::read(path).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let from = lines.len().saturating_sub(LINES);
    let mut end = lines.get(from..).unwrap_or_default().join("\n  ");
    end.insert_str(0, "  ");
    end.push('\n');
    end
}
