//! What happens to a Pod after its admission is no drift, and a fix by hand is not undone.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{Api, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    eventually,
    injector::{PolicyInjector, Sidecar},
    workload::deployment,
};

use super::{ENFORCE, on_a_node, patches};
use crate::support::{DEADLINE, Rights, Story, story_on};

#[tokio::test]
#[ignore = "for make test-node"]
async fn a_debugger_a_resize_and_a_restart_are_no_drift_and_an_image_by_hand_is_not_undone() -> Result<()> {
    on_a_node(async |testbed, _| story_on(testbed, "living", Rights::Enforce, lives).await).await
}

async fn lives(story: &Story<'_>) -> Result<()> {
    let ns = &story.ns;
    let mut injector = PolicyInjector::install(ns, Sidecar::native("mesh")).await?;
    let web = deployment("web", 2).with(|web| {
        web["spec"]["template"]["spec"]["containers"][0]["resources"] = json!({ "requests": { "cpu": "10m" } });
    });
    ns.deploy(web.pod_label(injector.label())).await?;
    story.create_state().await?;
    let beginning = story.marker()?.context("our own audit log")?;
    let daemon = story.daemon(&[&ENFORCE[..], &["--listen=127.0.0.1:0"]].concat())?;
    daemon.until_verdict("Deployment/web", "in_sync", None).await?;
    let pods: Api<Pod> = ns.api();
    let name = ns.pods_of("Deployment", "web").await?.first().context("no Pod")?.name_any();

    let debugger =
        json!({ "spec": { "ephemeralContainers": [{ "name": "debugger", "image": "registry.test/app:1" }] } });
    patch(&pods, "ephemeralcontainers", &name, debugger).await?;
    patch(
        &pods,
        "resize",
        &name,
        json!({ "spec": { "containers": [{ "name": "app", "resources": { "requests": { "cpu": "20m" } } }] } }),
    )
    .await?;
    eventually("the debugger runs, and the resize is done", DEADLINE, async || {
        let pod = serde_json::to_value(pods.get(&name).await?)?;
        let running = pod["status"]["ephemeralContainerStatuses"][0]["state"]["running"].is_object();
        let resized = pod["status"]["containerStatuses"][0]["resources"]["requests"]["cpu"] == "20m";
        Ok((running && resized).then_some(()))
    })
    .await?;
    verdict_is(story, "in_sync", &name).await?;

    let by_hand =
        json!({ "spec": { "initContainers": [{ "name": "mesh", "image": "registry.test/mesh:emergency" }] } });
    pods.patch(&name, &PatchParams::default(), &Patch::Strategic(by_hand)).await?;
    eventually("the kubelet runs it", DEADLINE, async || {
        let pod = serde_json::to_value(pods.get(&name).await?)?;
        let status = &pod["status"]["initContainerStatuses"][0];
        // Its image goes by its content, which the other tags have, too.
        let restarted = status["restartCount"].as_i64().is_some_and(|restarts| restarts > 0);
        Ok((restarted && status["ready"] == true).then_some(()))
    })
    .await?;
    daemon.until_verdict("Deployment/web", "drifted", None).await?;
    verdict_is(story, "drifted", &name).await?;
    daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"difference_not_enabled\"} 1"]).await?;

    injector.set_version("v2").await?;
    daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"patched_live\"} 1"]).await?;
    // Long enough for whatever would be begun.
    tokio::time::sleep(Duration::from_secs(15)).await;
    ensure!(daemon.terminate().await?.success());
    ensure!(patches(story, beginning, "web").await? == 0, "it was rolled");
    Ok(())
}

async fn patch(pods: &Api<Pod>, subresource: &str, name: &str, change: Value) -> Result<()> {
    let change = Patch::Strategic(change);
    pods.patch_subresource(subresource, name, &PatchParams::default(), &change)
        .await
        .map(drop)
        .context(subresource.to_owned())
}

/// What a scan says of the workload; `pod` is the one that was changed, and named where that is drift.
async fn verdict_is(story: &Story<'_>, verdict: &str, pod: &str) -> Result<()> {
    let report = story.run(&["scan", "--output=json"]).await?.document()?;
    let workload = report.workload("Deployment/web")?;
    ensure!(workload["verdict"] == verdict, "{workload:#}");
    ensure!(workload.to_string().contains(pod) == (verdict == "drifted"), "{workload:#}");
    Ok(())
}
