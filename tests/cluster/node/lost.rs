//! A Node that is away in the middle of a rollout.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use serde_json::json;
use testbed::{
    eventually,
    injector::{PolicyInjector, Sidecar},
    workload::{daemon_set, deployment},
};

use super::{ENFORCE, on_a_node, patches};
use crate::support::{DEADLINE, Line, Rights, story_on};

#[tokio::test]
#[ignore = "for make test-node"]
async fn nothing_converges_or_is_begun_again_on_a_node_that_is_lost_and_all_goes_on_when_it_is_back() -> Result<()> {
    on_a_node(async |testbed, node| {
        story_on(testbed, "lost", Rights::Enforce, async |story| {
            let ns = &story.ns;
            let mut injector = PolicyInjector::install(ns, Sidecar::new("proxy")).await?;
            let web = deployment("web", 2).with(|web| web["spec"]["progressDeadlineSeconds"] = json!(600));
            tokio::try_join!(
                ns.deploy(web.pod_label(injector.label())),
                ns.deploy(daemon_set("agent").pod_label(injector.label())),
            )?;
            story.create_state().await?;
            injector.set_version("v2").await?;
            let beginning = story.marker()?.context("our own audit log")?;
            let daemon = story.daemon(&[&ENFORCE[..], &["--timeout=60s", "--canary=0"]].concat())?;
            let begun = |line: &Line| line.is("rollout started");
            daemon.until_it_says("a rollout is begun", begun).await?;
            node.cut_off();
            let ended = |line: &Line| !line.text("outcome").is_empty();
            let first = daemon.until_it_says("it ends", ended).await?;
            ensure!(["stalled", "timed_out"].contains(&first.text("outcome")), "{first:?}");
            let nodes: Api<Node> = Api::all(testbed.client().await?);
            eventually("the Node is not ready", DEADLINE, async || {
                let node = nodes.get(node.name()).await?;
                let conditions = node.status.and_then(|status| status.conditions).unwrap_or_default();
                Ok(conditions.iter().any(|c| c.type_ == "Ready" && c.status != "True").then_some(()))
            })
            .await?;
            let (web, agent) = (patches(story, beginning, "web").await?, patches(story, beginning, "agent").await?);
            ensure!(web + agent == 1, "on a Node that is not ready nothing else is begun: {web} and {agent}");
            node.reconnect();
            for (kind, name) in [("Deployment", "web"), ("DaemonSet", "agent")] {
                daemon.until_verdict(&format!("{kind}/{name}"), "in_sync", None).await.context(name)?;
            }
            ensure!(daemon.terminate().await?.success());
            let (web, agent) = (patches(story, beginning, "web").await?, patches(story, beginning, "agent").await?);
            ensure!((web, agent) == (1, 1), "each was rolled once: {web} and {agent}");
            Ok(())
        })
        .await
    })
    .await
}
