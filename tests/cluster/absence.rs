//! What is not rendered any more (rule R7): an injector that is down takes nothing away, and what is really lost is rolled.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use testbed::{
    injector::{Failure, PolicyInjector, Reach, Selection, Sidecar, WebhookInjector, WebhookOptions},
    workload::deployment,
};

use crate::support::{INJECT, Rights, Story, story};

/// Of a namespace, by URL, and open: nothing in the cluster says whether it answers.
const OPEN: WebhookOptions =
    WebhookOptions { reach: Reach::Url, selection: Selection::LabelledNamespaces, ignore_failures: true };

const NAMES: [&str; 3] = ["api", "books", "web"];

/// The role of the app container is collateral.
const ENFORCE: [&str; 9] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=0",
    "--parallel-rollouts=4",
    "--parallel-per-namespace=4",
    "--absence=3s",
    "--allow-collateral",
    "--listen=127.0.0.1:0",
];

/// A policy adds the agent, and a webhook that fails open a variable to every container.
async fn with_identity(
    name: &str,
    test: impl AsyncFnOnce(&Story<'_>, &mut PolicyInjector<'_>, &WebhookInjector<'_>) -> Result<()>,
) -> Result<()> {
    if !crate::fidelity::supported().await? {
        return testbed::skip("it takes a policy and a webhook of our own");
    }
    story(name, Rights::Enforce, async |story| {
        let ns = &story.ns;
        ns.set_label((INJECT, format!("{}-identity", ns.name()))).await?;
        let mut agent = PolicyInjector::install(ns, Sidecar::new("agent")).await?;
        let identity = WebhookInjector::install_with(ns, Sidecar::new("identity"), OPEN).await?;
        identity.set(|knobs| knobs.edits = Some(("ROLE".to_owned(), "reader".to_owned())));
        story.create_state().await?;
        for name in NAMES {
            ns.deploy(deployment(name, 1).pod_label(agent.label())).await?;
        }
        ensure!(roles(story, "web").await? == [true], "the Pods begin with their role");
        test(story, &mut agent, &identity).await
    })
    .await
}

/// Whether each Pod's agent has the role.
async fn roles(story: &Story<'_>, name: &str) -> Result<Vec<bool>> {
    let has_role = |pod: &serde_json::Value| {
        let agents = pod["spec"]["containers"].as_array().into_iter().flatten().filter(|c| c["name"] == "agent");
        let env = agents.flat_map(|agent| agent["env"].as_array().into_iter().flatten());
        env.into_iter().any(|variable| variable["name"] == "ROLE")
    };
    let pods = story.ns.pods_of("Deployment", name).await?;
    pods.iter().map(|pod| Ok(has_role(&serde_json::to_value(pod)?))).collect()
}

async fn all_uids(story: &Story<'_>, names: &[&str]) -> Result<BTreeSet<String>> {
    let mut all = BTreeSet::new();
    for name in names {
        all.extend(story.uids("Deployment", name).await?);
    }
    Ok(all)
}

#[tokio::test]
async fn r7_a_mutator_that_is_down_takes_no_fields_away_and_what_differs_is_rolled_once_it_is_back() -> Result<()> {
    with_identity("absent-fields", async |story, agent, identity| {
        let before = all_uids(story, &NAMES).await?;
        identity.set(|knobs| knobs.failure = Some(Failure::Hangup));
        let daemon = story.daemon(&ENFORCE)?;
        for name in NAMES {
            daemon.until_verdict(&format!("Deployment/{name}"), "undetermined", None).await?;
        }
        // The agent moves while the role is missing: told, and not rolled.
        agent.set_version("v2").await?;
        for name in NAMES {
            daemon.until_verdict(&format!("Deployment/{name}"), "drifted", Some("agent image v1 → v2")).await?;
        }
        daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"loss_unproven\"} 3"]).await?;
        assert_eq!(all_uids(story, &NAMES).await?, before, "a Pod was replaced while its role was missing");
        identity.set(|knobs| knobs.failure = None);
        for name in NAMES {
            let ended = daemon.until_it_ends_a_rollout_of("Deployment", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
            assert_eq!(roles(story, name).await?, [true], "{name} has lost its role");
        }
        assert!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn r7_a_field_that_is_really_lost_is_rolled_and_the_others_are_not() -> Result<()> {
    with_identity("lost-fields", async |story, _, identity| {
        let before = all_uids(story, &NAMES[..2]).await?;
        let daemon = story.daemon(&ENFORCE)?;
        for name in NAMES {
            daemon.until_verdict(&format!("Deployment/{name}"), "in_sync", None).await?;
        }
        identity.set(|knobs| knobs.spares = Some("web-".to_owned()));
        // Nothing else tells.
        story.ns.set_label(("team", "a")).await?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        assert_eq!(roles(story, "web").await?, [false]);
        assert!(daemon.terminate().await?.success());
        assert_eq!(all_uids(story, &NAMES[..2]).await?, before, "a witness was rolled");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn r7_a_renamed_container_hides_no_drift() -> Result<()> {
    if !crate::fidelity::supported().await? {
        return testbed::skip("it takes a policy of our own");
    }
    story("renamed", Rights::Report, async |story| {
        let ns = &story.ns;
        let mut first = PolicyInjector::install(ns, Sidecar::new("mesh-init")).await?;
        ns.set_label((INJECT, format!("{}-mesh-proxy", ns.name()))).await?;
        let proxy = WebhookInjector::install_with(ns, Sidecar::new("mesh-proxy"), OPEN).await?;
        ns.deploy(deployment("web", 1).pod_label(first.label())).await?;
        let daemon = story.daemon(&[])?;
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;
        proxy.set_version("v2");
        first.update(|sidecar| *sidecar = Sidecar::new("mesh-validation")).await?;
        // The container that is gone may have been the webhook's, which fails open; the others are told at once.
        let change = "mesh-proxy image v1 → v2 + mesh-validation missing";
        daemon.until_verdict("Deployment/web", "missing", Some(change)).await?;
        assert!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}
