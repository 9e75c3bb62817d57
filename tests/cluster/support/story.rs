//! One test's corner of the cluster, and what is shown of it when the test fails.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use anyhow::{Context as _, Result};
use serde_json::json;
use testbed::{AuditEntry, Filter, Marker, TestNamespace, Testbed};

use super::{
    account::{self, Rights},
    daemon::Daemon,
    program::{self, Finished},
};

/// The name of the ServiceAccount that everything in a story runs as, unless it asks for another one.
pub(crate) const ACCOUNT: &str = "sidecar-drift";

/// These make a daemon quick where its patience is not the point.
const QUICK: [&str; 6] = ["--settle", "1s", "--render-spacing", "1s", "--min-pod-age", "1s"];

/// Runs a test in a namespace of its own, in which a ServiceAccount has these rights.
pub(crate) async fn story(name: &str, rights: Rights, test: impl AsyncFnOnce(&Story<'_>) -> Result<()>) -> Result<()> {
    story_on(Testbed::shared().await?, name, rights, test).await
}

/// The same on a control plane of the test's own, for what is not in a namespace.
pub(crate) async fn story_on(
    testbed: &Testbed,
    name: &str,
    rights: Rights,
    test: impl AsyncFnOnce(&Story<'_>) -> Result<()>,
) -> Result<()> {
    testbed
        .with_namespace(name, async |ns| {
            let kubeconfig = account::create(&ns, ACCOUNT, rights).await?;
            let story = Story { ns, kubeconfig, logs: Mutex::default() };
            let mut shown_if_it_fails = ShownOnDrop(Some(&story.logs));
            test(&story).await?;
            shown_if_it_fails.0 = None;
            Ok(())
        })
        .await
}

/// One test's corner of the cluster.
#[derive(Debug)]
pub(crate) struct Story<'t> {
    pub(crate) ns: TestNamespace<'t>,
    kubeconfig: PathBuf,
    logs: Mutex<Vec<PathBuf>>,
}

impl<'t> Story<'t> {
    /// The uids of a workload's Pods.
    pub(crate) async fn uids(&self, kind: &str, name: &str) -> Result<BTreeSet<String>> {
        let pods = self.ns.pods_of(kind, name).await?;
        pods.into_iter().map(|pod| pod.metadata.uid.context("a Pod without uid")).collect()
    }

    pub(crate) fn testbed(&self) -> &'t Testbed {
        self.ns.testbed()
    }

    /// The kubeconfig of the story's ServiceAccount.
    pub(crate) fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// A kubeconfig for one more ServiceAccount, whose requests can be told from the daemon's.
    pub(crate) async fn account(&self, name: &str, rights: Rights) -> Result<PathBuf> {
        account::create(&self.ns, name, rights).await
    }

    /// Starts a daemon that is quick and watches the story's namespace.
    pub(crate) fn daemon(&self, arguments: &[&str]) -> Result<Daemon<'t>> {
        self.daemon_as(&self.kubeconfig, arguments)
    }

    /// The same with these variables in its environment.
    pub(crate) fn daemon_in(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Daemon<'t>> {
        self.start_daemon(&self.kubeconfig, variables, arguments)
    }

    /// The same with another kubeconfig: another account, or by way of a proxy.
    pub(crate) fn daemon_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<Daemon<'t>> {
        self.start_daemon(kubeconfig, &[], arguments)
    }

    fn start_daemon(&self, kubeconfig: &Path, variables: &[(&str, &str)], arguments: &[&str]) -> Result<Daemon<'t>> {
        let number = self.lock_logs().len();
        let log = self.testbed().directory().join(format!("{}.{number}.log", self.ns.name()));
        self.lock_logs().push(log.clone());
        let namespace = self.ns.name();
        let always = ["run", "--log-format=json", "--namespace", namespace, "--state-namespace", namespace];
        let unless_given = |flag: &'static str| {
            let given = arguments.iter().any(|argument| argument.starts_with(flag.trim_end_matches("off")));
            (!given).then_some(flag)
        };
        let silent: Vec<&str> = ["--listen=off", "--api-listen=off"].into_iter().filter_map(unless_given).collect();
        let arguments = [&always[..], &QUICK, &silent, arguments].concat();
        Daemon::start(self.testbed(), kubeconfig, &log, variables, &arguments)
    }

    /// Runs a command that looks at the story's namespace, quickly, to its end.
    pub(crate) async fn run(&self, arguments: &[&str]) -> Result<Finished> {
        self.run_as(&self.kubeconfig, arguments).await
    }

    /// The same with another kubeconfig.
    pub(crate) async fn run_as(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<Finished> {
        let here = ["--namespace", self.ns.name()];
        self.run_anywhere(kubeconfig, &[arguments, &here, &QUICK].concat()).await
    }

    /// Runs a command that looks at nothing.
    pub(crate) async fn run_anywhere(&self, kubeconfig: &Path, arguments: &[&str]) -> Result<Finished> {
        program::run(self.testbed(), kubeconfig, arguments).await
    }

    /// Creates an empty state ConfigMap, as the chart does: without one, all rollouts are paused.
    pub(crate) async fn create_state(&self) -> Result<()> {
        let metadata = json!({"name": "sidecar-drift-state"});
        self.ns.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata})).await.map(drop)
    }

    /// The end of the audit log, or nothing on a cluster whose audit log cannot be read.
    pub(crate) fn marker(&self) -> Result<Option<Marker>> {
        self.testbed().audit().map(|audit| audit.marker()).transpose()
    }

    /// What one of the story's ServiceAccounts has asked for since.
    pub(crate) async fn asked_by(&self, account: &str, since: Marker) -> Result<Vec<AuditEntry>> {
        let audit = self.testbed().audit().context("this cluster's audit log cannot be read")?;
        audit.entries(&Filter::default().since(since).service_account(self.ns.name(), account)).await
    }

    /// What the story's ServiceAccount has asked for since.
    pub(crate) async fn asked(&self, since: Marker) -> Result<Vec<AuditEntry>> {
        self.asked_by(ACCOUNT, since).await
    }

    fn lock_logs(&self) -> std::sync::MutexGuard<'_, Vec<PathBuf>> {
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// By an error or by a panic, the test has failed when this is dropped and still holds something.
struct ShownOnDrop<'a>(Option<&'a Mutex<Vec<PathBuf>>>);

impl Drop for ShownOnDrop<'_> {
    #[expect(clippy::print_stderr, reason = "the test harness shows it with the test that failed")]
    fn drop(&mut self) {
        let Some(logs) = self.0 else { return };
        for log in logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            let text = std::fs::read_to_string(log).unwrap_or_else(|error| error.to_string());
            eprintln!("--- {} ---\n{text}--- end ---", log.display());
        }
    }
}
