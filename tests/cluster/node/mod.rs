//! The product beside a real kubelet, with containers that really run, crash and cannot be pulled: `make test-node`.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use serde_json::json;
use testbed::{
    Image, Options, RealNode, SERVES, Testbed, eventually,
    injector::{PolicyInjector, Sidecar},
    skip,
    workload::{daemon_set, deployment, stateful_set},
};

use crate::support::{DEADLINE, Rights, Story, story_on};

const IMAGES: [Image; 8] = [
    Image { name: "registry.test/app:1", script: SERVES },
    Image { name: "registry.test/proxy:v1", script: SERVES },
    Image { name: "registry.test/proxy:v2", script: SERVES },
    Image { name: "registry.test/mesh:v1", script: SERVES },
    Image { name: "registry.test/mesh:v2", script: SERVES },
    Image { name: "registry.test/proxy:ends-at-once", script: "exit 1" },
    Image { name: "registry.test/proxy:ends-after-1s", script: "/busybox sleep 1; exit 1" },
    Image { name: "registry.test/proxy:ends-after-25s", script: "/busybox sleep 25; exit 1" },
];

/// The last one is nowhere.
const BAD: [&str; 4] = ["ends-at-once", "ends-after-1s", "ends-after-25s", "nowhere"];

const WORKLOADS: [(&str, &str); 3] = [("Deployment", "web"), ("StatefulSet", "db"), ("DaemonSet", "agent")];

const ENFORCE: [&str; 5] =
    ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--soak=1s", "--min-ready=30s"];

#[tokio::test]
#[ignore = "for make test-node"]
async fn what_drifted_is_rolled_once_and_runs() -> Result<()> {
    on_a_node(async |testbed| {
        for (name, sidecar) in [("ordinary", Sidecar::new("proxy")), ("native", Sidecar::native("mesh"))] {
            let rolled =
                story_on(testbed, name, Rights::Enforce, async |story| rolls_what_drifted(story, sidecar).await);
            rolled.await.context(name)?;
        }
        Ok(())
    })
    .await
}

#[tokio::test]
#[ignore = "for make test-node"]
async fn a_sidecar_that_does_not_stay_up_is_a_failed_rollout_and_is_not_tried_again() -> Result<()> {
    on_a_node(async |testbed| {
        let all = BAD.map(|version| async move {
            let failed =
                story_on(testbed, version, Rights::Enforce, async |story| does_not_converge(story, version).await);
            failed.await.context(version)
        });
        try_join_all(all).await.map(drop)
    })
    .await
}

/// Runs a test on a control plane whose only Node is real.
async fn on_a_node(test: impl AsyncFnOnce(&Testbed) -> Result<()>) -> Result<()> {
    if let Some(why) = RealNode::impossible() {
        return skip(why);
    }
    let testbed = Testbed::start(Options { nodes: 0, ..Options::default() }).await?;
    let node = RealNode::start(&testbed, &IMAGES).await?;
    test(&testbed).await?;
    node.end().await
}

/// Drift is found, each workload is patched once, and new Pods run what is injected now.
async fn rolls_what_drifted(story: &Story<'_>, sidecar: Sidecar) -> Result<()> {
    let ns = &story.ns;
    let mut injector = PolicyInjector::install(ns, sidecar).await?;
    tokio::try_join!(
        ns.deploy(deployment("web", 2).pod_label(injector.label())),
        ns.deploy(stateful_set("db", 2).pod_label(injector.label())),
        ns.deploy(daemon_set("agent").pod_label(injector.label())),
    )?;
    story.create_state().await?;
    every_verdict_is(story, "in_sync").await?;
    injector.set_version("v2").await?;
    every_verdict_is(story, "drifted").await?;

    let beginning = story.marker()?.context("our own audit log")?;
    let daemon = story.daemon(&ENFORCE)?;
    for (kind, name) in WORKLOADS {
        let ended = daemon.until_it_ends_a_rollout_of(kind, name).await?;
        ensure!(ended.text("outcome") == "converged", "{ended:?}");
    }
    ensure!(daemon.terminate().await?.success());
    every_verdict_is(story, "in_sync").await?;
    for (kind, name) in WORKLOADS {
        for pod in ns.pods_of(kind, name).await? {
            let pod = serde_json::to_value(&pod)?;
            ensure!(injector.sidecar().is_in(&pod), "{pod:#}");
        }
        ensure!(patches(story, beginning, name).await? == 1, "{kind} {name} was patched more than once");
    }
    Ok(())
}

/// A new sidecar that is no good: the rollout is not called a success, and is not begun again.
async fn does_not_converge(story: &Story<'_>, version: &str) -> Result<()> {
    let ns = &story.ns;
    let mut injector = PolicyInjector::install(ns, Sidecar::new("proxy")).await?;
    let web = deployment("web", 2).with(|web| web["spec"]["progressDeadlineSeconds"] = json!(40));
    ns.deploy(web.pod_label(injector.label())).await?;
    story.create_state().await?;
    injector.set_version(version).await?;
    let beginning = story.marker()?.context("our own audit log")?;
    let daemon = story.daemon(&ENFORCE)?;
    let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
    ensure!(ended.text("outcome") == "failed", "{ended:?}");
    // Between two starts nothing of it crashes.
    eventually("the report names the Pods that crash", DEADLINE, async || {
        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        let crashing = &report.workload("Deployment/web")?["podsCrashing"];
        Ok(crashing.as_array().is_some_and(|pods| !pods.is_empty()).then_some(()))
    })
    .await?;
    ensure!(daemon.terminate().await?.success());
    ensure!(patches(story, beginning, "web").await? == 1, "patched more than once");
    Ok(())
}

async fn every_verdict_is(story: &Story<'_>, verdict: &str) -> Result<()> {
    let report = story.run(&["scan", "--output=json"]).await?.document()?;
    for (kind, name) in WORKLOADS {
        let workload = report.workload(&format!("{kind}/{name}"))?;
        ensure!(workload["verdict"] == verdict, "{workload:#}");
    }
    Ok(())
}

/// How many patches of a workload were meant.
async fn patches(story: &Story<'_>, since: testbed::Marker, name: &str) -> Result<usize> {
    let asked = story.asked(since).await?;
    Ok(asked.iter().filter(|entry| entry.verb == "patch" && entry.name == name && !entry.is_dry_run()).count())
}
