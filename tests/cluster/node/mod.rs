//! The product beside a real kubelet, with containers that really run, crash and cannot be pulled: `make test-node`.

use anyhow::{Context as _, Result, ensure};
use testbed::{
    Image, ImageRoot, Options, RealNode, SERVES, Testbed,
    injector::{PolicyInjector, Sidecar},
    skip,
    workload::{daemon_set, deployment, stateful_set},
};

use crate::support::{Rights, Story, story_on};

mod bad_sidecars;
mod installed;
mod living_pods;
mod lost;

const IMAGES: [Image; 12] = [
    Image { name: "registry.test/app:1", script: SERVES },
    Image { name: "registry.test/proxy:v1", script: SERVES },
    Image { name: "registry.test/proxy:v2", script: SERVES },
    Image { name: "registry.test/mesh:v1", script: SERVES },
    Image { name: "registry.test/mesh:v2", script: SERVES },
    Image { name: "registry.test/mesh:emergency", script: SERVES },
    Image { name: "registry.test/proxy:eats-memory", script: EATS_MEMORY },
    Image { name: "registry.test/proxy:listens", script: LISTENS },
    Image { name: "registry.test/proxy:listens-now-and-then", script: LISTENS_NOW_AND_THEN },
    Image { name: "registry.test/proxy:ends-at-once", script: "exit 1" },
    Image { name: "registry.test/proxy:ends-after-1s", script: "/busybox sleep 1; exit 1" },
    Image { name: "registry.test/proxy:ends-after-25s", script: "/busybox sleep 25; exit 1" },
];

/// Twice as much at each turn.
const EATS_MEMORY: &str = "/busybox sleep 1; a=0123456789abcdef; while :; do a=$a$a; done";

/// A port that is open.
const LISTENS: &str = "exec /busybox httpd -f -p 15021 -h /";

/// A port that is open for eight seconds, and closed for as long.
const LISTENS_NOW_AND_THEN: &str = "trap 'exit 0' TERM; while :; do /busybox timeout 8 /busybox httpd -f -p 15021 -h /; \
                                    /busybox sleep 8; done";

const WORKLOADS: [(&str, &str); 3] = [("Deployment", "web"), ("StatefulSet", "db"), ("DaemonSet", "agent")];

const ENFORCE: [&str; 5] =
    ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--soak=1s", "--min-ready=30s"];

#[tokio::test]
#[ignore = "for make test-node"]
async fn what_drifted_is_rolled_once_and_runs() -> Result<()> {
    on_a_node(async |testbed, _| {
        for (name, sidecar) in [("ordinary", Sidecar::new("proxy")), ("native", Sidecar::native("mesh"))] {
            let rolled =
                story_on(testbed, name, Rights::Enforce, async |story| rolls_what_drifted(story, sidecar).await);
            rolled.await.context(name)?;
        }
        Ok(())
    })
    .await
}

/// Runs a test on a control plane whose only Node is real.
async fn on_a_node(test: impl AsyncFnOnce(&Testbed, &RealNode) -> Result<()>) -> Result<()> {
    on_a_node_with(&[], test).await
}

/// The same on one that has these images, too.
async fn on_a_node_with(images: &[ImageRoot], test: impl AsyncFnOnce(&Testbed, &RealNode) -> Result<()>) -> Result<()> {
    if let Some(why) = RealNode::impossible() {
        return skip(why);
    }
    let testbed = Testbed::start(Options { nodes: 0, ..Options::default() }).await?;
    let node = RealNode::start(&testbed, &IMAGES, images).await?;
    test(&testbed, &node).await?;
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
