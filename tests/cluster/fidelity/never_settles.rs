//! Where a rollout cannot be known to be in vain before it is made: it is made once, and never again.

use std::time::Duration;

use anyhow::{Result, ensure};
use k8s_openapi::api::{apps::v1::Deployment, core::v1::ConfigMap};
use kube::api::{Patch, PatchParams};
use serde_json::json;
use testbed::injector::Sidecar;

use super::bystanders::{BY_URL, Bystanders, beside_genuine_drift};
use crate::support::Line;

const UNDETERMINED: (&str, &str) = ("undetermined", "");

#[tokio::test]
async fn r12_an_injector_that_secretly_treats_dry_runs_differently_costs_one_canary() -> Result<()> {
    beside_genuine_drift("hazard-secret", 20, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.in_dry_run = Some(Sidecar::new("proxy").version("v2")));
        fleet.until_the_injector_counts_as_settled().await?;
        let daemon = fleet.daemon()?;
        let others = ("undetermined", "dry_run_sensitive");
        fleet.until_all_is_done(&daemon, &[others, ("non_convergent", "")]).await?;
        assert!(fleet.rollouts().await?.0 <= 1, "{:?}", fleet.rollouts().await?);
        // Nor does another process try once more, which knows nothing but what is on record.
        daemon.kill9();
        restart_and_count(fleet, 1).await
    })
    .await
}

#[tokio::test]
async fn c11_a_value_drawn_from_two_costs_at_most_one_rollout_each() -> Result<()> {
    let sidecar = Sidecar::new("proxy").env("COLOUR", "red");
    beside_genuine_drift("hazard-drawn", 20, (sidecar, BY_URL), async |fleet| {
        let values = vec!["red".to_owned(), "blue".to_owned()];
        fleet.odd.set(|knobs| knobs.drawn = Some(("COLOUR".to_owned(), values)));
        let daemon = fleet.daemon()?;
        let all = [("in_sync", ""), ("drifted", ""), ("non_convergent", ""), UNDETERMINED];
        fleet.until_all_is_done(&daemon, &all).await?;
        ensure!(daemon.terminate().await?.success());
        assert!(fleet.rollouts().await?.1 <= 1, "{:?}", fleet.rollouts().await?);
        restart_and_count(fleet, 1).await
    })
    .await
}

#[tokio::test]
async fn c11_an_injector_that_never_converges_is_followed_once_and_not_after_restarts() -> Result<()> {
    let sidecar = Sidecar::new("proxy").env("MINUTE", "none");
    beside_genuine_drift("hazard-never", 20, (sidecar, BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.clock = Some(("MINUTE".to_owned(), Duration::from_secs(4))));
        let daemon = fleet.daemon()?;
        let all = [("in_sync", ""), ("drifted", ""), ("non_convergent", ""), UNDETERMINED];
        fleet.until_all_is_done(&daemon, &all).await?;
        daemon.kill9();
        for _ in 0..5 {
            restart_and_count(fleet, 1).await?;
        }
        Ok(())
    })
    .await
}

/// Runs one more daemon until it has judged every workload anew, and rolled one that drifted meanwhile; none of the odd
/// ones has been rolled more often than `most`.
async fn restart_and_count(fleet: &Bystanders<'_, '_>, most: usize) -> Result<()> {
    let daemon = fleet.daemon()?;
    let all = [("in_sync", ""), ("drifted", ""), ("non_convergent", ""), UNDETERMINED];
    fleet.until_odd_ones_are(&daemon, &all).await?;
    ensure!(daemon.terminate().await?.success());
    let (_, each) = fleet.rollouts().await?;
    ensure!(each <= most, "one was rolled {each} times");
    Ok(())
}

#[tokio::test]
async fn c11_a_tool_that_removes_our_stamps_does_not_make_us_roll_again() -> Result<()> {
    beside_genuine_drift("hazard-stripped", 20, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.set_version("v2");
        let daemon = fleet.daemon()?;
        fleet.until_all_is_done(&daemon, &[("in_sync", "")]).await?;
        for name in fleet.odd_ones() {
            daemon.until_it_ends_a_rollout_of("Deployment", name).await?;
        }
        // The tool restores what it knows. For the Deployment that is one more rollout, which is not ours.
        let stamp = ["timestamp", "reason", "fingerprint"].map(|key| format!("sidecarRollout.rollout.{key}"));
        let nothing: serde_json::Map<_, _> = stamp.iter().map(|key| (key.clone(), json!(null))).collect();
        let patch = Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": nothing}}}}));
        for name in fleet.odd_ones() {
            fleet.story.ns.api::<Deployment>().patch(name, &PatchParams::default(), &patch).await?;
        }
        for name in fleet.odd_ones() {
            fleet.story.ns.wait_for_rollout("Deployment", name).await?;
        }
        ensure!(daemon.terminate().await?.success());

        // The next version finds every one of them within its cool-down, stamp or no stamp.
        fleet.odd.set_version("v3");
        let daemon = fleet.daemon()?;
        fleet.until_odd_ones_are(&daemon, &[("drifted", "")]).await?;
        // What was begun is on record, so that nothing has to be read first to know it: the plan that is made at the last verdict
        // begins none, and leaves none to be held at the last moment.
        let state = fleet.story.ns.api::<ConfigMap>().get("sidecar-drift-state").await?;
        let on_record = state.data.into_iter().flatten().any(|(_, text)| text.contains("\"attempts\""));
        ensure!(on_record, "the state has no attempts");
        let began = |line: &Line| line.is("rollout started") || line.is("rollout held at the last moment");
        ensure!(!daemon.lines()?.iter().any(began), "a rollout was begun within the cool-down");
        ensure!(daemon.terminate().await?.success());
        for name in fleet.odd_ones() {
            let stamps = fleet.story.ns.revisions_of("Deployment", name).await?;
            let ours = stamps.iter().filter(|revision| revision.annotations.contains_key(&stamp[0])).count();
            ensure!(ours <= 1, "{name} was rolled {ours} times");
        }
        Ok(())
    })
    .await
}
