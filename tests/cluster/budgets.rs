//! PodDisruptionBudgets, as the API server counts them: shared ones, Pods that are down already, two over one Pod.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, DeleteParams, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{
    Testbed, eventually,
    injector::Sidecar,
    skip,
    workload::{Workload, deployment, stateful_set},
};

use crate::support::{DEADLINE, Daemon, Injector, Line, Rights, Story, story};

const ENFORCE: [&str; 8] = [
    "--mode=enforce",
    "--log-level=debug",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=0",
    "--parallel-rollouts=4",
    "--parallel-per-namespace=4",
    "--listen=127.0.0.1:0",
];

const READY_AFTER: &str = "testbed.sidecar-drift/ready-after";

/// Waits until its status is that of its Pods.
async fn create_budget(story: &Story<'_>, name: &str, labels: Value, allowed: u32) -> Result<()> {
    let spec = json!({ "maxUnavailable": 1, "selector": { "matchLabels": labels } });
    let (api_version, kind) = ("policy/v1", "PodDisruptionBudget");
    story
        .ns
        .create(json!({ "apiVersion": api_version, "kind": kind, "metadata": { "name": name }, "spec": spec }))
        .await?;
    until_allowed(story, name, allowed).await
}

async fn until_allowed(story: &Story<'_>, name: &str, allowed: u32) -> Result<()> {
    let budgets = story.ns.dynamic("policy", "v1", "PodDisruptionBudget");
    eventually(format_args!("the budget {name} allows {allowed}"), DEADLINE, async || {
        let budget = budgets.get(name).await?;
        let status = &budget.data["status"];
        let seen = status["observedGeneration"].as_i64() == budget.metadata.generation;
        Ok((seen && status["disruptionsAllowed"] == allowed && status["currentHealthy"] != 0).then_some(()))
    })
    .await
}

/// One Pod less while it rolls, and slowly enough for two rollouts to meet.
fn taking_one_down(workload: Workload, tier: &str) -> Workload {
    let one = json!({ "rollingUpdate": { "maxSurge": 0, "maxUnavailable": 1 } });
    let slow = workload.pod_label(("tier", tier)).pod_annotation(READY_AFTER, "2s");
    slow.with(|manifest| manifest["spec"]["strategy"] = one)
}

/// Where in its log these rollouts were started and ended.
fn span(lines: &[Line], name: &str) -> Result<(usize, usize)> {
    let at =
        |what: &dyn Fn(&Line) -> bool| lines.iter().position(|line| line.is_about("Deployment", name) && what(line));
    let started = at(&|line| line.is("rollout started")).context("it was not started")?;
    let ended = at(&|line| !line.text("outcome").is_empty()).context("it did not end")?;
    Ok((started, ended))
}

#[tokio::test]
async fn two_deployments_that_share_a_budget_are_rolled_one_after_the_other() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("budgets-shared", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let injected =
            |name: &str, tier: &str| ns.deploy(taking_one_down(deployment(name, 2), tier).pod_label(injector.label()));
        // The twins have no budget in common.
        tokio::try_join!(
            injected("one", "shared"),
            injected("two", "shared"),
            injected("three", "free"),
            injected("four", "free"),
        )?;
        create_budget(story, "shared", json!({ "tier": "shared" }), 1).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let daemon = story.daemon(&ENFORCE)?;
        for name in ["one", "two", "three", "four"] {
            let ended = daemon.until_it_ends_a_rollout_of("Deployment", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }
        let lines = daemon.lines()?;
        ensure!(daemon.terminate().await?.success());
        let overlap = |a: (usize, usize), b: (usize, usize)| a.0 < b.1 && b.0 < a.1;
        let progress = |name: &str| {
            // From its start until the platform was done with it: that is what takes Pods down.
            let (started, ended) = span(&lines, name)?;
            let done = |line: &Line| {
                let status = line.text("status");
                let finished = status.contains("checking") || status.contains("watching whether");
                line.is_about("Deployment", name) && finished
            };
            Ok::<_, anyhow::Error>((started, lines.iter().position(done).unwrap_or(ended)))
        };
        ensure!(!overlap(progress("one")?, progress("two")?), "they were rolled together: {lines:#?}");
        ensure!(overlap(span(&lines, "three")?, span(&lines, "four")?), "one of the twins waited: {lines:#?}");
        Ok(())
    })
    .await
}

fn on_delete(workload: Workload) -> Workload {
    workload.with(|manifest| manifest["spec"]["updateStrategy"] = json!({ "type": "OnDelete" }))
}

async fn until_held_by(daemon: &Daemon<'_>, gate: &str) -> Result<()> {
    daemon.until_metrics_say(&[&format!("sidecar_drift_held_workloads{{gate=\"{gate}\"}} 1")]).await
}

#[tokio::test]
async fn two_budgets_over_the_same_pods_hold_before_anything_is_stamped() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("budgets-two", Rights::Evict, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy(on_delete(stateful_set("db", 2)).pod_label(injector.label())),
            ns.deploy(on_delete(stateful_set("twin", 2)).pod_label(injector.label())),
        )?;
        for (name, app) in [("first", "db"), ("second", "db"), ("only", "twin")] {
            create_budget(story, name, json!({ "app": app }), 1).await?;
        }
        injector.set_version("v2").await?;
        story.create_state().await?;
        let beginning = story.marker()?;
        let daemon = story.daemon(&[&ENFORCE[..], &["--evict-on-delete"]].concat())?;
        let ended = daemon.until_it_ends_a_rollout_of("StatefulSet", "twin").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        until_held_by(&daemon, "pdb_conflict").await?;
        assert_eq!(
            ns.revisions_of("StatefulSet", "db").await?.len(),
            1,
            "stamped, though no eviction can be carried out"
        );
        if let Some(beginning) = beginning {
            let asked = story.asked(beginning).await?;
            let tried = asked.iter().filter(|entry| entry.subresource == "eviction" && entry.name.starts_with("db-"));
            assert_eq!(tried.count(), 0);
        }

        let budgets = ns.dynamic("policy", "v1", "PodDisruptionBudget");
        budgets.delete("second", &DeleteParams::default()).await?;
        let ended = daemon.until_it_ends_a_rollout_of("StatefulSet", "db").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

/// A Pod that is down takes all that the budget allows, and is itself the one that the API server lets go.
#[tokio::test]
async fn an_old_pod_that_is_down_is_evicted_where_the_api_server_lets_it() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("budgets-down", Rights::Evict, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let slow = on_delete(stateful_set("db", 3)).pod_label(injector.label()).pod_annotation(READY_AFTER, "4s");
        ns.deploy(slow).await?;
        create_budget(story, "db", json!({ "app": "db" }), 1).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let before = story.uids("StatefulSet", "db").await?;
        let daemon = story.daemon(&[&ENFORCE[..], &["--evict-on-delete"]].concat())?;
        // Between two evictions the next old Pod fails by itself: what the budget allows is used up by it.
        daemon.until_it_says("it has begun", |line| line.is("rollout started")).await?;
        let pods: Api<Pod> = Api::namespaced(ns.client().clone(), ns.name());
        let conditions =
            json!([{ "type": "Ready", "status": "False" }, { "type": "ContainersReady", "status": "False" }]);
        let down: Patch<Value> = Patch::Strategic(json!({ "status": { "conditions": conditions } }));
        pods.patch_status("db-0", &PatchParams::default(), &down).await?;
        let ended = daemon.until_it_ends_a_rollout_of("StatefulSet", "db").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        let after = story.uids("StatefulSet", "db").await?;
        ensure!(after.len() == 3 && after.is_disjoint(&before), "{after:?}, before {before:?}");
        Ok(())
    })
    .await
}
