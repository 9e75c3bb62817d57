//! The daemon as a child process, followed by its log.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::{Child, ExitStatus, Stdio},
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::{Context as _, Result, anyhow, bail};
use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;
use testbed::{Testbed, eventually, give_up};

use super::{DEADLINE, program, web};

/// A running daemon. Dropping it kills it.
#[derive(Debug)]
pub(crate) struct Daemon<'t> {
    testbed: &'t Testbed,
    child: Mutex<Child>,
    log: PathBuf,
}

/// A line of its log.
#[derive(Clone, Debug)]
pub(crate) struct Line(Value);

impl<'t> Daemon<'t> {
    /// `variables` is all of its environment.
    pub(crate) fn start(
        testbed: &'t Testbed,
        kubeconfig: &Path,
        log: &Path,
        variables: &[(&str, &str)],
        arguments: &[&str],
    ) -> Result<Self> {
        let mut command = program::command(testbed, kubeconfig, arguments);
        command.envs(variables.iter().copied());
        command.stdout(Stdio::null()).stderr(File::create(log)?);
        let child = command.spawn()?;
        Ok(Self { testbed, child: Mutex::new(child), log: log.to_owned() })
    }

    /// What it has said so far. A last line that is being written is left out.
    pub(crate) fn lines(&self) -> Result<Vec<Line>> {
        let text = fs::read_to_string(&self.log)?;
        let lines = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines.map(|line| Ok(Line(serde_json::from_str(line).with_context(|| format!("not JSON: {line}"))?))).collect()
    }

    /// Waits until it has said something.
    pub(crate) async fn until_it_says(&self, what: &str, is_it: impl Fn(&Line) -> bool) -> Result<Line> {
        eventually(format_args!("the daemon says: {what}"), DEADLINE, async || {
            let found = self.lines()?.into_iter().find(&is_it);
            if found.is_none() {
                self.check()?;
            }
            Ok(found)
        })
        .await
    }

    /// Waits until it says how a rollout ended.
    pub(crate) async fn until_it_ends_a_rollout_of(&self, kind: &str, name: &str) -> Result<Line> {
        let is_it = |line: &Line| !line.text("outcome").is_empty() && line.is_about(kind, name);
        self.until_it_says(&format!("a rollout of {kind} {name} ended"), is_it).await
    }

    /// Waits until its last word on a workload, named `Deployment/web`, is this verdict; for this change, if one is given.
    pub(crate) async fn until_verdict(&self, workload: &str, verdict: &str, change: Option<&str>) -> Result<()> {
        let (kind, name) = workload.split_once('/').context("a workload is named KIND/NAME")?;
        let what = format!("{workload} is {verdict} {}", change.unwrap_or_default());
        eventually(what, DEADLINE, async || {
            let lines = self.lines()?;
            let last = lines.iter().rfind(|line| line.is("verdict changed") && line.is_about(kind, name));
            let found = last.is_some_and(|l| l.text("to") == verdict && change.is_none_or(|c| l.text("change") == c));
            if !found {
                self.check()?;
            }
            Ok(found.then_some(()))
        })
        .await
    }

    /// Kills it, as the kernel does when memory runs out.
    pub(crate) fn kill9(self) {
        drop(self);
    }

    /// Asks it to stop, as Kubernetes does.
    pub(crate) fn ask_to_stop(&self) -> Result<()> {
        self.send(Signal::TERM)
    }

    /// Lets it do nothing at all, as a node that hangs does.
    pub(crate) fn freeze(&self) -> Result<()> {
        self.send(Signal::STOP)
    }

    /// Lets it go on.
    pub(crate) fn thaw(&self) -> Result<()> {
        self.send(Signal::CONT)
    }

    fn send(&self, signal: Signal) -> Result<()> {
        let pid = i32::try_from(self.child().id()).ok().and_then(Pid::from_raw).context("not a process")?;
        Ok(kill_process(pid, signal)?)
    }

    /// What it serves there, head and body; it must have been told to listen.
    pub(crate) async fn fetch(&self, path: &str) -> Result<String> {
        let serving = self.until_it_says("where it listens", |line| !line.text("address").is_empty()).await?;
        web::get(serving.text("address"), path).await
    }

    /// Waits until its metrics have all of these lines.
    pub(crate) async fn until_metrics_say(&self, lines: &[&str]) -> Result<()> {
        eventually(format_args!("the metrics say {lines:?}"), DEADLINE, async || {
            let text = self.fetch("/metrics").await?;
            Ok(lines.iter().all(|line| text.lines().any(|found| found == *line)).then_some(()))
        })
        .await
    }

    /// Where it serves what this line of its log says.
    pub(crate) async fn address_of(&self, what: &str) -> Result<String> {
        let serving = self.until_it_says("where it listens", |line| line.text("message").contains(what)).await?;
        Ok(serving.text("address").to_owned())
    }

    /// Waits until it ends.
    pub(crate) async fn end(self) -> Result<ExitStatus> {
        eventually("the daemon ends", DEADLINE, async || Ok(self.child().try_wait()?)).await
    }

    /// Asks it to stop and waits until it does.
    pub(crate) async fn terminate(self) -> Result<ExitStatus> {
        self.ask_to_stop()?;
        self.end().await
    }

    /// An error that ends all waiting, if it has ended by itself.
    fn check(&self) -> Result<()> {
        match self.child().try_wait()? {
            Some(status) => bail!(give_up(anyhow!("the daemon ended by itself: {status}"))),
            None => Ok(()),
        }
    }

    fn child(&self) -> MutexGuard<'_, Child> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Daemon<'_> {
    fn drop(&mut self) {
        let mut child = self.child();
        // Both fail only if it has ended and was waited for.
        let _ = child.kill();
        let _ = child.wait();
        self.testbed.forget(child.id());
    }
}

impl Line {
    /// Whether this is its message.
    pub(crate) fn is(&self, message: &str) -> bool {
        self.text("message") == message
    }

    /// Whether it is about this workload.
    pub(crate) fn is_about(&self, kind: &str, name: &str) -> bool {
        let whole = self.text("workload");
        whole.starts_with(&format!("{kind}/")) && whole.ends_with(&format!("/{name}"))
    }

    /// A field; empty if it is not there.
    pub(crate) fn text(&self, field: &str) -> &str {
        self.0[field].as_str().unwrap_or_default()
    }
}
