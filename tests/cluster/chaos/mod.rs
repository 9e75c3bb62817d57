//! Thirty workloads drift, and everything goes wrong while they are rolled out, three at a time. Each is rolled exactly once
//! all the same, never are more than three under way, and all converge.

mod control_plane;
mod daemons;
mod ledger;

use anyhow::{Context as _, Result};
use testbed::{TestNamespace, workload::deployment};

use ledger::Ledger;

/// How many may be rolled at once.
const CAP: usize = 3;
const FINGERPRINT: &str = "sidecarRollout.rollout.fingerprint";

/// Cool-down and daily cap are out of the way: not they must prevent a second rollout. What fails is tried again soon.
const ENFORCE: [&str; 9] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=0",
    "--cooldown=0s",
    "--daily-cap=100",
    "--parallel-rollouts=3",
    "--parallel-per-namespace=3",
    "--max-renders-per-second=50",
];

fn names() -> impl Iterator<Item = String> {
    (1..=30).map(|number| format!("app-{number:02}"))
}

/// Thirty workloads with the sidecar as it is now.
async fn fleet(ns: &TestNamespace<'_>, label: &(&'static str, String)) -> Result<()> {
    let all = names().map(|name| {
        let label = label.clone();
        async move { ns.deploy(deployment(&name, 1).pod_label(label)).await }
    });
    futures::future::try_join_all(all).await.map(drop)
}

/// Whatever happened: each has two revisions, of which one has our stamp; and the cap held. Returns how many were under way
/// at most.
async fn each_was_rolled_exactly_once(ns: &TestNamespace<'_>, ledger: &Ledger) -> Result<usize> {
    for name in names() {
        ns.wait_for_rollout("Deployment", &name).await?;
        let revisions = ns.revisions_of("Deployment", &name).await?;
        let stamps = revisions.iter().filter(|revision| revision.annotations.contains_key(FINGERPRINT));
        assert_eq!((revisions.len(), stamps.count()), (2, 1), "{name}: {revisions:#?}");
    }
    let most = ledger.most_in_flight();
    assert!((1..=CAP).contains(&most), "{most} were rolled at once");
    Ok(most)
}

/// Runs `body` while a ledger is kept of what is in flight.
async fn with_ledger(ns: &TestNamespace<'_>, body: impl AsyncFnOnce(&Ledger) -> Result<()>) -> Result<()> {
    let ledger = Ledger::default();
    tokio::select! {
        ended = ledger.keep(ns) => ended.context("the ledger is not kept any more"),
        ended = body(&ledger) => ended,
    }
}
