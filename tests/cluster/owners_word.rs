//! What owners and on-call engineers say of one workload, and what becomes of it: `retry`, `accept`.

use anyhow::{Result, ensure};
use testbed::{Testbed, eventually, injector::Sidecar, skip, workload::deployment};

use crate::support::{DEADLINE, Daemon, Injector, Rights, Story, story};

const ENFORCE: [&str; 5] =
    ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0", "--listen=127.0.0.1:0"];

async fn until_held_by(daemon: &Daemon<'_>, gate: &str) -> Result<()> {
    daemon.until_metrics_say(&[&format!("sidecar_drift_held_workloads{{gate=\"{gate}\"}} 1")]).await
}

async fn until_revisions(story: &Story<'_>, name: &str, wanted: usize) -> Result<()> {
    eventually(format_args!("{name} has {wanted} revisions"), DEADLINE, async || {
        Ok((story.ns.revisions_of("Deployment", name).await?.len() == wanted).then_some(()))
    })
    .await?;
    story.ns.wait_for_rollout("Deployment", name).await
}

/// A person with rights of their own says something about a workload.
async fn say(story: &Story<'_>, arguments: &[&str]) -> Result<()> {
    let here = ["--namespace", story.ns.name(), "--yes"];
    let testbed = story.testbed();
    story.run_anywhere(testbed.kubeconfig(), &[arguments, &here].concat()).await?.success().map(drop)
}

#[tokio::test]
async fn retry_lifts_the_cool_down_and_nothing_lifts_the_daily_cap() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("owners-retry", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        story.create_state().await?;
        injector.set_version("v2").await?;
        let daemon = story.daemon(&ENFORCE)?;
        until_revisions(story, "web", 2).await?;
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;

        injector.set_version("v3").await?;
        until_held_by(&daemon, "cooldown").await?;
        assert_eq!(ns.revisions_of("Deployment", "web").await?.len(), 2);
        let retry = ["retry", "deployment/web", "--state-namespace", ns.name()];
        say(story, &retry).await?;
        until_revisions(story, "web", 3).await?;
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;

        injector.set_version("v4").await?;
        until_held_by(&daemon, "cooldown").await?;
        say(story, &retry).await?;
        until_held_by(&daemon, "daily_cap").await?;
        assert_eq!(ns.revisions_of("Deployment", "web").await?.len(), 3);
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn accepted_drift_is_left_alone_until_the_acceptance_is_taken_back() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("owners-accept", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        for name in ["known", "other"] {
            ns.deploy(deployment(name, 1).pod_label(injector.label())).await?;
        }
        story.create_state().await?;
        injector.set_version("v2").await?;
        say(story, &["accept", "deployment/known", "--until=2099-12-31", "--reason=a freeze"]).await?;
        let daemon = story.daemon(&ENFORCE)?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "other").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        until_held_by(&daemon, "accepted").await?;
        assert_eq!(ns.revisions_of("Deployment", "known").await?.len(), 1);

        // Taken back by whoever may edit the workload.
        let deployments = ns.workloads("Deployment")?;
        let none = serde_json::json!({ "metadata": { "annotations": { "sidecar-drift/accept-until": null } } });
        deployments.patch("known", &kube::api::PatchParams::default(), &kube::api::Patch::Merge(&none)).await?;
        until_revisions(story, "known", 2).await?;
        assert_eq!(ns.revisions_of("Deployment", "other").await?.len(), 2);
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}
