//! Workloads whose own rollouts stopped half-way, and workloads whose Pods admission refuses: what is said of them speaks of
//! all Pods that run.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{
    Testbed, eventually,
    injector::Sidecar,
    skip,
    workload::{daemon_set, deployment, stateful_set},
};

use crate::support::{DEADLINE, Document, Injector, Rights, Story, story};

/// No Node has this label, so that a Pod which asks for it never starts.
fn never_starts() -> Value {
    json!({"spec": {"template": {"spec": {"nodeSelector": {"nowhere": "else"}}}}})
}

async fn change(story: &Story<'_>, kind: &str, name: &str, patch: Value) -> Result<()> {
    story.ns.workloads(kind)?.patch(name, &PatchParams::default(), &Patch::Merge(patch)).await?;
    Ok(())
}

/// Waits until the status says so many of the newest template.
async fn until_updated(story: &Story<'_>, kind: &str, name: &str, updated: u64) -> Result<()> {
    let api = story.ns.workloads(kind)?;
    eventually(format_args!("{kind} {name} has {updated} new Pods"), DEADLINE, async || {
        let found = api.get(name).await?;
        let seen = found.data["status"]["observedGeneration"].as_i64() == found.metadata.generation;
        Ok((seen && found.data["status"]["updatedReplicas"] == updated).then_some(()))
    })
    .await
}

fn said(report: &Document, name: &str) -> Result<(Value, Value, Value)> {
    let found = report.workload(name)?;
    Ok((found["verdict"].clone(), found["pods"].clone(), found["gateInEnforce"].clone()))
}

#[tokio::test]
async fn c8_a_half_rolled_workload_is_judged_on_each_revision_that_has_pods() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("half-rolled", Rights::Report, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let impatient = |name: &str| {
            let failing = deployment(name, 3).pod_label(injector.label());
            failing.with(|manifest| manifest["spec"]["progressDeadlineSeconds"] = json!(5))
        };
        tokio::try_join!(
            ns.deploy(impatient("failed")),
            ns.deploy(deployment("paused", 3).pod_label(injector.label())),
            ns.deploy(stateful_set("waiting", 3).pod_label(injector.label()).with(|manifest| {
                manifest["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
            })),
            // Its twin runs no sidecar, and is left alone.
            ns.deploy(deployment("plain", 2)),
        )?;
        // The new Pods get the new sidecar, and the old ones keep the old one.
        injector.set_version("v2").await?;
        for (kind, name) in [("Deployment", "failed"), ("Deployment", "paused"), ("Deployment", "plain")] {
            change(story, kind, name, never_starts()).await?;
            until_updated(story, kind, name, 1).await?;
        }
        change(story, "Deployment", "paused", json!({"spec": {"paused": true}})).await?;
        change(
            story,
            "StatefulSet",
            "waiting",
            json!({"spec": {"template": {"metadata": {"annotations": {"new": "yes"}}}}}),
        )
        .await?;
        let api = ns.workloads("Deployment")?;
        eventually("the deadline is exceeded", DEADLINE, async || {
            let failed = api.get("failed").await?;
            let conditions = failed.data["status"]["conditions"].as_array().cloned().unwrap_or_default();
            Ok(conditions.iter().any(|c| c["reason"] == "ProgressDeadlineExceeded").then_some(()))
        })
        .await?;

        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        let drifted = |pods: u64, gate: &str| (json!("drifted"), json!(pods), json!(gate));
        assert_eq!(said(&report, "Deployment/failed")?, drifted(4, "unhealthy"), "{:#}", report.0);
        assert_eq!(said(&report, "Deployment/paused")?, drifted(4, "workload_paused"), "{:#}", report.0);
        assert_eq!(said(&report, "StatefulSet/waiting")?, drifted(3, "on_delete"), "{:#}", report.0);
        let groups = report.workload("Deployment/failed")?["groups"].to_string();
        let new = ns.pods_of("Deployment", "failed").await?;
        let pending = new.iter().filter(|pod| pod.spec.as_ref().is_some_and(|spec| spec.node_name.is_none()));
        for pod in pending.filter_map(|pod| pod.metadata.name.as_deref()) {
            ensure!(!groups.contains(pod), "{pod} is as rendered: {groups}");
        }

        // The old sidecar is wanted again: then it is the new Pods that differ.
        injector.set_version("v1").await?;
        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        assert_eq!(said(&report, "Deployment/failed")?, drifted(4, "unhealthy"), "{:#}", report.0);
        assert_eq!(report.workload("StatefulSet/waiting")?["verdict"], "in_sync", "{:#}", report.0);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn who_wants_pods_and_is_refused_them_is_rejected_with_the_servers_words() -> Result<()> {
    story("refused", Rights::Report, async |story| {
        let ns = &story.ns;
        let refused = |mut manifest: Value| {
            manifest["spec"]["template"]["spec"]["priorityClassName"] = json!("no-such-class");
            manifest
        };
        ns.create(refused(deployment("web", 2).into())).await?;
        ns.create(refused(stateful_set("db", 2).into())).await?;
        ns.create(refused(daemon_set("agent").into())).await?;
        ns.create(refused(deployment("asleep", 0).into())).await?;
        let replica_sets = ns.dynamic("apps", "v1", "ReplicaSet");
        eventually("they have their ReplicaSets", DEADLINE, async || {
            Ok((replica_sets.list(&kube::api::ListParams::default()).await?.items.len() >= 2).then_some(()))
        })
        .await?;

        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        for name in ["Deployment/web", "StatefulSet/db", "DaemonSet/agent"] {
            let found = report.workload(name)?;
            let words = found["message"].as_str().unwrap_or_default();
            ensure!(found["verdict"] == "rejected" && words.contains("no-such-class"), "{found:#}");
        }
        assert_eq!(report.workload("Deployment/asleep")?["verdict"], "no_pods");
        let shown = story.run(&["scan", "--all"]).await?.success()?.out;
        let (rejected, nothing) = (shown.find("rejected"), shown.find("with nothing to do"));
        ensure!(rejected.is_some() && rejected < nothing, "{shown}");
        let nothing = &shown[nothing.unwrap_or_default()..];
        ensure!(nothing.contains("asleep") && !nothing.contains("web"), "{shown}");
        Ok(())
    })
    .await
}
