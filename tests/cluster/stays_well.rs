//! New Pods that are ready for an instant, and crash: not converged, and nobody follows.

use anyhow::{Context as _, Result, ensure};
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use crate::support::{Injector, Rights, story};

/// kwok's Pods with such a container are ready for a second, crash, are ready for a second again, and so on.
const FLICKERS: &str = "flicker";

const ENFORCE: [&str; 8] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=1",
    "--soak=1s",
    "--min-ready=5s",
    "--timeout=30s",
    "--listen=127.0.0.1:0",
];

#[tokio::test]
async fn pods_that_are_ready_between_two_crashes_are_not_converged_and_nobody_follows() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("stays-well", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        for name in ["web", "api"] {
            ns.deploy(deployment(name, 1).pod_label(injector.label())).await?;
        }
        story.create_state().await?;
        injector.set_version(FLICKERS).await?;
        let daemon = story.daemon(&ENFORCE)?;
        let ended = daemon.until_it_says("a rollout ended", |line| !line.text("outcome").is_empty()).await?;
        ensure!(["failed", "timed_out"].contains(&ended.text("outcome")), "{ended:?}");
        let (_, first) = ended.text("workload").rsplit_once('/').context("no name")?;
        let other = if first == "web" { "api" } else { "web" };
        daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"canary\"} 1"]).await?;
        assert_eq!(ns.revisions_of("Deployment", other).await?.len(), 1);
        ensure!(!daemon.lines()?.iter().any(|line| line.text("outcome") == "converged"));

        // The twin: a good version, and both are rolled.
        injector.set_version("v2").await?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", other).await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}
