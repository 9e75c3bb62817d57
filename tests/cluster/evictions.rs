//! Workloads whose Pods nobody replaces: with leave to evict they are, one at a time, by the Eviction API.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, bail, ensure};
use kube::{
    ResourceExt,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    AuditEntry, Filter, Marker, Testbed, eventually,
    injector::Sidecar,
    skip,
    workload::{Workload, daemon_set, deployment, replica_set, replication_controller, stateful_set},
};

use crate::support::{ACCOUNT, DEADLINE, Injector, Rights, Story, story};

const ENFORCE: [&str; 5] =
    ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0", "--listen=127.0.0.1:0"];

fn on_delete(workload: Workload) -> Workload {
    workload.with(|manifest| manifest["spec"]["updateStrategy"] = json!({"type": "OnDelete"}))
}

/// Waits until that many Pods may go by the budget of the workload called `db`.
async fn create_budget(story: &Story<'_>, max_unavailable: u32) -> Result<()> {
    let spec = json!({"maxUnavailable": max_unavailable, "selector": {"matchLabels": {"app": "db"}}});
    let budget =
        json!({"apiVersion": "policy/v1", "kind": "PodDisruptionBudget", "metadata": {"name": "db"}, "spec": spec});
    story.ns.create(budget).await?;
    until_allowed(story, max_unavailable).await
}

async fn until_allowed(story: &Story<'_>, wanted: u32) -> Result<()> {
    let budgets = story.ns.dynamic("policy", "v1", "PodDisruptionBudget");
    eventually(format_args!("the budget allows {wanted}"), DEADLINE, async || {
        let budget = budgets.get("db").await?;
        let status = &budget.data["status"];
        let seen = status["observedGeneration"].as_i64() == budget.metadata.generation;
        Ok((seen && status["disruptionsAllowed"] == wanted).then_some(()))
    })
    .await
}

/// Every request of anybody in the story's namespace since then.
async fn everything(story: &Story<'_>, since: Marker) -> Result<Vec<AuditEntry>> {
    let audit = story.testbed().audit().context("no audit log")?;
    audit.entries(&Filter::default().since(since).namespace(story.ns.name())).await
}

/// Evictions of ours that were carried out, and whatever else we did to a Pod.
async fn done_to_pods(story: &Story<'_>, since: Marker) -> Result<(Vec<String>, Vec<AuditEntry>)> {
    let asked = story.asked_by(ACCOUNT, since).await?;
    let pods = asked.into_iter().filter(|entry| entry.resource == "pods" && entry.writes() && !entry.is_dry_run());
    let (evictions, others): (Vec<_>, Vec<_>) = pods.partition(|entry| entry.subresource == "eviction");
    let carried_out = evictions.iter().filter(|entry| entry.code == Some(201));
    Ok((carried_out.map(|entry| entry.name.clone()).collect(), others))
}

/// Between two evictions the Pod that went was made anew and reported ready: in the order of the audit log.
fn one_at_a_time(history: &[AuditEntry], controller: &str, replicas: usize) -> Result<()> {
    let ours = |entry: &AuditEntry| entry.user.ends_with(&format!(":{ACCOUNT}"));
    let (mut evicted, mut down, mut last_made) = (0, None::<String>, None::<String>);
    for entry in history.iter().filter(|entry| entry.resource == "pods" && entry.code.is_some_and(|code| code < 300)) {
        match (entry.verb.as_str(), entry.subresource.as_str()) {
            ("create", "eviction") if ours(entry) => {
                ensure!(down.is_none(), "{} is evicted while {down:?} is down", entry.name);
                (down, last_made) = (Some(String::new()), None);
                evicted += 1;
            }
            ("create", "") if !entry.is_dry_run() && entry.user.ends_with(controller) => {
                // kwok deletes by name, at times twice, and so takes the new Pod, too, even after it was ready: the
                // controller makes it again, and until that one is ready it is down.
                let awaited = down.as_deref().is_some_and(str::is_empty);
                ensure!(
                    awaited || last_made.as_deref() == Some(&entry.name),
                    "{} is created, but {down:?} is down, and {last_made:?} was made last",
                    entry.name
                );
                (down, last_made) = (Some(entry.name.clone()), Some(entry.name.clone()));
            }
            // As often as it likes; the last one says that it is ready.
            ("patch" | "update", "status") if down.as_deref() == Some(&entry.name) => down = None,
            _ => {}
        }
    }
    ensure!(evicted == replicas, "{evicted} evictions of {replicas} Pods");
    Ok(())
}

/// The same of Pods whose names are made up: between two evictions another Pod than those that were there has come, and
/// reported.
fn made_anew_one_by_one(history: &[AuditEntry], old: &BTreeSet<String>) -> Result<()> {
    let ours = |entry: &AuditEntry| entry.user.ends_with(&format!(":{ACCOUNT}"));
    let (mut evicted, mut up) = (0, BTreeSet::new());
    for entry in history.iter().filter(|entry| entry.resource == "pods" && entry.code.is_some_and(|code| code < 300)) {
        match (entry.verb.as_str(), entry.subresource.as_str()) {
            ("create", "eviction") if ours(entry) && old.contains(&entry.name) => {
                ensure!(up.len() == evicted, "{} is evicted while {} of {evicted} are back", entry.name, up.len());
                evicted += 1;
            }
            ("patch" | "update", "status") if entry.name.starts_with("db-") && !old.contains(&entry.name) => {
                up.insert(entry.name.clone());
            }
            _ => {}
        }
    }
    ensure!((evicted, up.len()) == (old.len(), old.len()), "{evicted} evictions, {} new Pods", up.len());
    Ok(())
}

#[tokio::test]
async fn on_delete_pods_are_evicted_one_at_a_time_as_their_budget_allows() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("evict", Rights::Evict, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy(on_delete(stateful_set("db", 3)).pod_label(injector.label())),
            ns.deploy(on_delete(stateful_set("plain", 2))),
            ns.deploy(
                on_delete(stateful_set("private", 2))
                    .annotation("sidecar-drift/mode", "report")
                    .pod_label(injector.label())
            ),
        )?;
        create_budget(story, 1).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let before = story.uids("StatefulSet", "db").await?;
        let others = (story.uids("StatefulSet", "plain").await?, story.uids("StatefulSet", "private").await?);
        let beginning = story.marker()?;

        let daemon = story.daemon(&[&ENFORCE[..], &["--evict-on-delete"]].concat())?;
        let ended = daemon.until_it_ends_a_rollout_of("StatefulSet", "db").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        daemon.until_verdict("StatefulSet/private", "drifted", None).await?;
        ensure!(daemon.terminate().await?.success());

        let after = story.uids("StatefulSet", "db").await?;
        assert!(after.len() == 3 && after.is_disjoint(&before), "{after:?}, before {before:?}");
        let sidecar = Sidecar::new("proxy").version("v2");
        for pod in ns.pods_of("StatefulSet", "db").await? {
            assert!(sidecar.is_in(&serde_json::to_value(&pod)?), "{pod:?}");
        }
        let revisions = ns.revisions_of("StatefulSet", "db").await?;
        let [_, stamped] = revisions.as_slice() else { bail!("not stamped exactly once: {revisions:#?}") };
        assert_eq!(stamped.annotations["sidecarRollout.rollout.reason"], "Update sidecars proxy");
        let now = (story.uids("StatefulSet", "plain").await?, story.uids("StatefulSet", "private").await?);
        assert_eq!(now, others, "one without a sidecar, or whose owner opted out, was touched");

        let Some(beginning) = beginning else { return Ok(()) };
        let (evicted, others) = done_to_pods(story, beginning).await?;
        assert_eq!(evicted, ["db-2", "db-1", "db-0"]);
        assert!(others.is_empty(), "something else was done to Pods: {others:#?}");
        one_at_a_time(&everything(story, beginning).await?, ":statefulset-controller", 3)
    })
    .await
}

/// Twin of the test above: the same, with all rights, but without leave.
#[tokio::test]
async fn on_delete_pods_are_not_evicted_without_leave() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("evict-twin", Rights::Evict, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy(on_delete(stateful_set("db", 3)).pod_label(injector.label())),
            ns.deploy(deployment("web", 2).pod_label(injector.label())),
        )?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let (before, beginning) = (story.uids("StatefulSet", "db").await?, story.marker()?);

        let daemon = story.daemon(&ENFORCE)?;
        daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"on_delete\"} 1"]).await?;
        ensure!(daemon.terminate().await?.success());

        assert_eq!(story.uids("StatefulSet", "db").await?, before);
        assert_eq!(ns.revisions_of("StatefulSet", "db").await?.len(), 1);
        let Some(beginning) = beginning else { return Ok(()) };
        let (evicted, others) = done_to_pods(story, beginning).await?;
        assert!(evicted.is_empty() && others.is_empty(), "{evicted:?}, {others:#?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn nothing_is_evicted_while_the_budget_allows_none_of_an_on_delete_workload() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("evict-budget", Rights::Evict, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy(on_delete(stateful_set("db", 2)).pod_label(injector.label())),
            ns.deploy(deployment("web", 2).pod_label(injector.label())),
        )?;
        create_budget(story, 0).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let (before, beginning) = (story.uids("StatefulSet", "db").await?, story.marker()?);

        let daemon = story.daemon(&[&ENFORCE[..], &["--evict-on-delete"]].concat())?;
        // By the time that another one was rolled, it would have begun.
        daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"pdb_headroom\"} 1"]).await?;
        assert_eq!(story.uids("StatefulSet", "db").await?, before);
        assert_eq!(ns.revisions_of("StatefulSet", "db").await?.len(), 1, "stamped, though it could not go on");
        if let Some(beginning) = beginning {
            let asked = story.asked_by(ACCOUNT, beginning).await?;
            let tried: Vec<_> = asked.iter().filter(|entry| entry.subresource == "eviction").collect();
            assert!(tried.is_empty(), "{tried:#?}");
        }

        // The twin: once there is room it goes on by itself.
        let room: Patch<Value> = Patch::Merge(json!({"spec": {"maxUnavailable": 1}}));
        ns.dynamic("policy", "v1", "PodDisruptionBudget").patch("db", &PatchParams::default(), &room).await?;
        let ended = daemon.until_it_ends_a_rollout_of("StatefulSet", "db").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        assert!(story.uids("StatefulSet", "db").await?.is_disjoint(&before));
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

/// What owns its Pods alone and cannot exchange them.
#[tokio::test]
async fn on_delete_by_nature_plain_replica_sets_and_replication_controllers_are_evicted_with_leave() -> Result<()> {
    const KINDS: &str = "--kinds=replicasets,replicationcontrollers,deployments";
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("evict-replicas", Rights::Evict, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy(replica_set("db", 3).pod_label(injector.label())),
            ns.deploy(replication_controller("old", 2).pod_label(injector.label())),
            ns.deploy(replica_set("plain", 2)),
            ns.deploy(deployment("web", 2).pod_label(injector.label())),
        )?;
        create_budget(story, 1).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let before = (story.uids("ReplicaSet", "db").await?, story.uids("ReplicationController", "old").await?);
        let plain = story.uids("ReplicaSet", "plain").await?;
        let names: BTreeSet<_> = ns.pods_of("ReplicaSet", "db").await?.iter().map(ResourceExt::name_any).collect();
        let beginning = story.marker()?;

        // Twin: without leave they are judged, and held.
        let daemon = story.daemon(&[&ENFORCE[..], &[KINDS]].concat())?;
        daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"on_delete\"} 2"]).await?;
        ensure!(daemon.terminate().await?.success());
        let now = (story.uids("ReplicaSet", "db").await?, story.uids("ReplicationController", "old").await?);
        assert_eq!(now, before);

        let daemon = story.daemon(&[&ENFORCE[..], &[KINDS, "--evict-on-delete"]].concat())?;
        for (kind, name) in [("ReplicaSet", "db"), ("ReplicationController", "old")] {
            let ended = daemon.until_it_ends_a_rollout_of(kind, name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }
        ensure!(daemon.terminate().await?.success());
        let sidecar = Sidecar::new("proxy").version("v2");
        for (kind, name, before, replicas) in
            [("ReplicaSet", "db", &before.0, 3), ("ReplicationController", "old", &before.1, 2)]
        {
            let after = story.uids(kind, name).await?;
            assert!(after.len() == replicas && after.is_disjoint(before), "{after:?}, before {before:?}");
            for pod in ns.pods_of(kind, name).await? {
                assert!(sidecar.is_in(&serde_json::to_value(&pod)?), "{pod:?}");
            }
        }
        assert_eq!(story.uids("ReplicaSet", "plain").await?, plain, "one without a sidecar was touched");
        let again = story.run(&["scan", "--output=json", KINDS]).await?.document()?;
        assert_eq!(again.workload("ReplicaSet/db")?["verdict"], "in_sync");

        let Some(beginning) = beginning else { return Ok(()) };
        let (evicted, others) = done_to_pods(story, beginning).await?;
        assert_eq!(evicted.len(), 5, "each once: {evicted:?}");
        assert!(others.is_empty(), "something else was done to Pods: {others:#?}");
        let history = everything(story, beginning).await?;
        made_anew_one_by_one(&history, &names)
    })
    .await
}

#[tokio::test]
async fn nothing_is_evicted_of_an_on_delete_replica_set_while_its_budget_allows_none() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("evict-replicas-budget", Rights::Evict, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(replica_set("db", 2).pod_label(injector.label())).await?;
        create_budget(story, 0).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let (before, beginning) = (story.uids("ReplicaSet", "db").await?, story.marker()?);
        let daemon = story.daemon(&[&ENFORCE[..], &["--kinds=replicasets", "--evict-on-delete"]].concat())?;
        daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"pdb_headroom\"} 1"]).await?;
        assert_eq!(story.uids("ReplicaSet", "db").await?, before);
        if let Some(beginning) = beginning {
            let asked = story.asked_by(ACCOUNT, beginning).await?;
            let written: Vec<_> = asked
                .iter()
                .filter(|e| e.subresource == "eviction" || e.resource == "replicasets" && e.writes())
                .collect();
            assert!(written.is_empty(), "{written:#?}");
        }
        // The twin: once there is room it goes on by itself.
        let room: Patch<Value> = Patch::Merge(json!({"spec": {"maxUnavailable": 1}}));
        ns.dynamic("policy", "v1", "PodDisruptionBudget").patch("db", &PatchParams::default(), &room).await?;
        let ended = daemon.until_it_ends_a_rollout_of("ReplicaSet", "db").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        assert!(story.uids("ReplicaSet", "db").await?.is_disjoint(&before));
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn on_delete_daemons_are_evicted_node_by_node_and_taken_over_from_one_that_was_killed() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("evict-daemons", Rights::Evict, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(on_delete(daemon_set("agent")).pod_label(injector.label())).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let (before, beginning) = (story.uids("DaemonSet", "agent").await?, story.marker()?);
        let arguments = [&ENFORCE[..], &["--evict-on-delete"]].concat();

        let first = story.daemon(&arguments)?;
        first.until_it_says("an eviction", |line| line.is("evicted a Pod")).await?;
        first.kill9();
        let second = story.daemon(&arguments)?;
        let ended = second.until_it_ends_a_rollout_of("DaemonSet", "agent").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(second.terminate().await?.success());

        assert!(story.uids("DaemonSet", "agent").await?.is_disjoint(&before));
        assert_eq!(ns.revisions_of("DaemonSet", "agent").await?.len(), 2, "stamped once");
        let Some(beginning) = beginning else { return Ok(()) };
        let (evicted, others) = done_to_pods(story, beginning).await?;
        assert_eq!(evicted.len(), before.len(), "each once: {evicted:?}");
        assert!(others.is_empty(), "{others:#?}");
        Ok(())
    })
    .await
}
