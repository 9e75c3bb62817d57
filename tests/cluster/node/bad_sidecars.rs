//! New sidecars that are no good: the rollout is not called a success, and is not begun again.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testbed::{
    eventually,
    injector::{PolicyInjector, Sidecar},
    workload::deployment,
};

use super::{ENFORCE, on_a_node, patches};
use crate::support::{DEADLINE, Rights, Story, story_on};

/// The last one is nowhere.
const CRASH: [&str; 5] = ["ends-at-once", "ends-after-1s", "ends-after-25s", "eats-memory", "nowhere"];

#[tokio::test]
#[ignore = "for make test-node"]
async fn a_sidecar_that_does_not_stay_up_is_a_failed_rollout_and_is_not_tried_again() -> Result<()> {
    on_a_node(async |testbed, _| {
        let all = CRASH.map(|version| async move {
            let failed = story_on(testbed, version, Rights::Enforce, async |story| {
                roll(story, version, Sidecar::new("proxy"), |_| (), "failed").await?;
                // Between two starts nothing of it crashes.
                eventually("the report names the Pods that crash", DEADLINE, async || {
                    let report = story.run(&["scan", "--output=json"]).await?.document()?;
                    let crashing = &report.workload("Deployment/web")?["podsCrashing"];
                    Ok(crashing.as_array().is_some_and(|pods| !pods.is_empty()).then_some(()))
                })
                .await
            });
            failed.await.context(version)
        });
        try_join_all(all).await.map(drop)
    })
    .await
}

#[tokio::test]
#[ignore = "for make test-node"]
async fn a_native_sidecar_that_does_not_stay_up_is_a_failed_rollout() -> Result<()> {
    on_a_node(async |testbed, _| {
        let all = ["ends-at-once", "ends-after-25s"].map(|version| async move {
            let name = format!("native-{version}");
            let failed = story_on(testbed, &name, Rights::Enforce, async |story| {
                roll(story, version, Sidecar::native("proxy"), |_| (), "failed").await
            });
            failed.await.context(version)
        });
        try_join_all(all).await.map(drop)
    })
    .await
}

/// The application is ready when its sidecar listens, as behind a mesh.
#[tokio::test]
#[ignore = "for make test-node"]
async fn new_pods_that_never_get_ready_or_are_now_and_then_do_not_converge() -> Result<()> {
    on_a_node(async |testbed, _| {
        let all = [("v2", "failed"), ("listens-now-and-then", "timed_out")].map(|(version, outcome)| async move {
            let name = format!("probe-{version}");
            let ended = story_on(testbed, &name, Rights::Enforce, async |story| {
                let probe = json!({ "tcpSocket": { "port": 15021 }, "periodSeconds": 1, "failureThreshold": 1 });
                let change =
                    |web: &mut Value| web["spec"]["template"]["spec"]["containers"][0]["readinessProbe"] = probe;
                roll(story, version, Sidecar::new("proxy").version("listens"), change, outcome).await
            });
            ended.await.context(version)
        });
        try_join_all(all).await.map(drop)
    })
    .await
}

/// A Deployment whose injector gives it another version, and how its rollout ends.
async fn roll(
    story: &Story<'_>,
    version: &str,
    sidecar: Sidecar,
    change: impl FnOnce(&mut Value),
    outcome: &str,
) -> Result<()> {
    let ns = &story.ns;
    // What eats memory is stopped by this, and not by the machine.
    let limits = json!({ "limits": [{ "type": "Container", "default": { "memory": "32Mi" } }] });
    ns.create(json!({ "apiVersion": "v1", "kind": "LimitRange", "metadata": { "name": "memory" }, "spec": limits }))
        .await?;
    let mut injector = PolicyInjector::install(ns, sidecar).await?;
    let web = deployment("web", 2).with(|web| web["spec"]["progressDeadlineSeconds"] = json!(40)).with(change);
    ns.deploy(web.pod_label(injector.label())).await?;
    story.create_state().await?;
    injector.set_version(version).await?;
    let beginning = story.marker()?.context("our own audit log")?;
    let daemon = story.daemon(&[&ENFORCE[..], &["--timeout=90s"]].concat())?;
    let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
    ensure!(ended.text("outcome") == outcome, "{ended:?}");
    ensure!(daemon.terminate().await?.success());
    ensure!(patches(story, beginning, "web").await? == 1, "patched more than once");
    Ok(())
}
