//! The program under test.

use std::{
    path::Path,
    process::{Command, ExitStatus, Output, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::Testbed;

use super::DEADLINE;

/// The program, dying with this process, and free of what is set in this process's environment.
pub(crate) fn command(testbed: &Testbed, kubeconfig: &Path, arguments: &[&str]) -> Command {
    let mut command = testbed.command(Path::new(env!("CARGO_BIN_EXE_sidecar-drift")));
    // kwok's Pods are well at once; a story about how long they stay says so by its flag, which overrules this.
    command.env_clear().env("SIDECAR_DRIFT_MIN_READY", "1s");
    command.args(arguments).arg("--kubeconfig").arg(kubeconfig).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) async fn run(testbed: &Testbed, kubeconfig: &Path, arguments: &[&str]) -> Result<Finished> {
    let mut command = tokio::process::Command::from(command(testbed, kubeconfig, arguments));
    let child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true).spawn()?;
    let pid = child.id();
    let ran = tokio::time::timeout(2 * DEADLINE, child.wait_with_output()).await;
    pid.inspect(|pid| testbed.forget(*pid));
    let Output { status, stdout, stderr } = ran.with_context(|| format!("{arguments:?} did not end"))??;
    Ok(Finished { status, out: String::from_utf8(stdout)?, err: String::from_utf8(stderr)? })
}

/// A command that has ended.
#[derive(Debug)]
pub(crate) struct Finished {
    pub(crate) status: ExitStatus,
    pub(crate) out: String,
    pub(crate) err: String,
}

impl Finished {
    /// What it wrote, if it ended well.
    pub(crate) fn success(self) -> Result<Self> {
        ensure!(self.status.success(), "{}: {}{}", self.status, self.out, self.err);
        Ok(self)
    }

    /// The document that it wrote, if it ended well.
    pub(crate) fn document(self) -> Result<Document> {
        let finished = self.success()?;
        Ok(Document(serde_json::from_str(&finished.out).with_context(|| format!("not JSON: {}", finished.out))?))
    }
}

/// What `--output json` writes.
#[derive(Debug)]
pub(crate) struct Document(pub(crate) Value);

impl Document {
    /// One workload, named `Deployment/web`.
    pub(crate) fn workload(&self, name: &str) -> Result<&Value> {
        let workloads = self.0["workloads"].as_array().context("no workloads")?;
        let found = workloads.iter().find(|one| id(one).as_deref() == Some(name));
        found.with_context(|| format!("{name} is not among {:?}", self.names()))
    }

    /// All workloads, as `Deployment/web`.
    pub(crate) fn names(&self) -> Vec<String> {
        self.0["workloads"].as_array().into_iter().flatten().filter_map(id).collect()
    }
}

fn id(workload: &Value) -> Option<String> {
    Some(format!("{}/{}", workload["kind"].as_str()?, workload["name"].as_str()?))
}
