//! Rollouts of Argo Rollouts, with its real controller.

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{
    Testbed,
    injector::Sidecar,
    skip,
    workload::{deployment, rollout},
};

use crate::support::{Injector, Rights, Story, story};

const ENFORCE: [&str; 5] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=0",
    "--kinds=deployments,rollouts",
];

/// Why these stories cannot be told here.
async fn missing() -> Result<Option<&'static str>> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return Ok(Some("there is no injector that this cluster can have"));
    }
    Ok(testbed.assets().is_none().then_some("the CRDs of an existing cluster are its owner's"))
}

async fn read(story: &Story<'_>, name: &str) -> Result<Value> {
    Ok(serde_json::to_value(story.ns.workloads("Rollout")?.get(name).await?)?)
}

#[tokio::test]
async fn an_argo_rollout_is_restarted_without_a_new_revision() -> Result<()> {
    if let Some(why) = missing().await? {
        return skip(why);
    }
    story("argo", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let argo = ns.argo_rollouts().await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let mut paused = rollout("paused", 2);
        paused = paused.pod_label(injector.label());
        tokio::try_join!(
            ns.deploy(rollout("web", 2).pod_label(injector.label())),
            ns.deploy(paused),
            ns.deploy(rollout("plain", 2)),
        )?;
        let pause: Patch<Value> = Patch::Merge(json!({"spec": {"paused": true}}));
        ns.workloads("Rollout")?.patch("paused", &PatchParams::default(), &pause).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let before = story.uids("Rollout", "web").await?;
        let others = (story.uids("Rollout", "paused").await?, story.uids("Rollout", "plain").await?);
        let beginning = story.marker()?;

        let daemon = story.daemon(&ENFORCE)?;
        let ended = daemon.until_it_ends_a_rollout_of("Rollout", "web").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        daemon.until_verdict("Rollout/paused", "drifted", None).await?;
        ensure!(daemon.terminate().await?.success());
        argo.check()?;

        let after = story.uids("Rollout", "web").await?;
        assert!(after.len() == 2 && after.is_disjoint(&before), "{after:?}, before {before:?}");
        let sidecar = Sidecar::new("proxy").version("v2");
        for pod in ns.pods_of("Rollout", "web").await? {
            assert!(sidecar.is_in(&serde_json::to_value(&pod)?), "{pod:?}");
        }
        assert_eq!(ns.revisions_of("Rollout", "web").await?.len(), 1, "a new revision would go through its steps");
        let web = read(story, "web").await?;
        assert_eq!(web["spec"]["restartAt"], web["status"]["restartedAt"], "{web:#}");
        assert_eq!(
            (story.uids("Rollout", "paused").await?, story.uids("Rollout", "plain").await?),
            others,
            "one was touched"
        );
        assert_eq!(read(story, "paused").await?["spec"]["restartAt"], Value::Null);

        let Some(beginning) = beginning else { return Ok(()) };
        let asked = story.asked(beginning).await?;
        let written = asked.iter().filter(|entry| entry.writes() && entry.api_group == "argoproj.io");
        let written: BTreeSet<_> = written.map(|entry| format!("{} {}", entry.verb, entry.name)).collect();
        assert_eq!(written, BTreeSet::from(["patch web".to_owned()]));
        let pods = asked.iter().filter(|entry| entry.resource == "pods" && entry.writes() && !entry.is_dry_run());
        assert_eq!(pods.count(), 0, "its controller replaces the Pods, not we");
        Ok(())
    })
    .await
}

/// The twin: nobody named the kind, so its Pods are shown, with what holds them.
#[tokio::test]
async fn an_argo_rollout_is_reported_where_nobody_asked_for_its_kind() -> Result<()> {
    if let Some(why) = missing().await? {
        return skip(why);
    }
    story("argo-twin", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let _argo = ns.argo_rollouts().await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy(rollout("web", 2).pod_label(injector.label())),
            ns.deploy(deployment("other", 1).pod_label(injector.label())),
        )?;
        injector.set_version("v2").await?;
        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        let web = report.workload("Rollout/web")?;
        ensure!(web["verdict"] == "undetermined" && web["gateInEnforce"] == "unsupported_owner", "{web:#}");

        let report = story.run(&["scan", "--output=json", "--kinds=rollouts"]).await?.document()?;
        let web = report.workload("Rollout/web")?;
        ensure!(web["verdict"] == "drifted" && web["gate"] == "report_only", "{web:#}");
        Ok(())
    })
    .await
}
