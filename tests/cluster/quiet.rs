//! Nothing loops, and little is asked for: requests counted by the API server's audit log.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{AuditEntry, Marker, Testbed, eventually, injector::Sidecar, skip, workload::deployment};

use crate::support::{DEADLINE, Daemon, Injector, Rights, Story, story};

/// Renewals of its Lease, one a second, are the clock by which a test lets time go by.
const ENFORCE: [&str; 6] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--lease-retry=1s",
    "--listen=127.0.0.1:0",
    "--cooldown=0s",
];

/// What a rollout may cost, the first look at its drift and the last at its new Pods included, and the state: ten, and a
/// template that is read by itself or with others, as they happen to wait.
const REQUESTS_PER_ROLLOUT: f64 = 11.0;

/// What was asked for, but for watches and the Lease: how often each verb came to each resource.
fn counted(asked: &[AuditEntry]) -> BTreeMap<String, usize> {
    let mut counted = BTreeMap::new();
    for entry in asked.iter().filter(|entry| entry.verb != "watch" && entry.resource != "leases") {
        let dry = if entry.is_dry_run() { " as a dry run" } else { "" };
        let what = [entry.resource.as_str(), entry.subresource.as_str()].join("/");
        *counted.entry(format!("{} {}{dry}", entry.verb, what.trim_end_matches('/'))).or_default() += 1;
    }
    counted
}

/// Waits until it has renewed its Lease so often since then, and returns all that it has asked for meanwhile.
async fn after_renewals(story: &Story<'_>, since: Marker, times: usize) -> Result<Vec<AuditEntry>> {
    eventually(format_args!("it renewed its Lease {times} times"), DEADLINE, async || {
        let asked = story.asked(since).await?;
        let renewals = asked.iter().filter(|entry| entry.resource == "leases" && entry.verb == "patch").count();
        Ok((renewals >= times).then_some(asked))
    })
    .await
}

/// Daemon and workloads, in sync.
async fn in_sync<'t>(story: &Story<'t>, names: &[&str], more: &[&str]) -> Result<(Injector<'t>, Daemon<'t>)> {
    let injector = Injector::install(&story.ns, Sidecar::new("proxy")).await?;
    for name in names {
        story.ns.deploy(deployment(name, 1).pod_label(injector.label())).await?;
    }
    story.create_state().await?;
    let daemon = story.daemon(&[&ENFORCE[..], more].concat())?;
    for name in names {
        daemon.until_verdict(&format!("Deployment/{name}"), "in_sync", None).await?;
    }
    Ok((injector, daemon))
}

#[tokio::test]
async fn an_idle_daemon_asks_for_nothing() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("quiet-idle", Rights::Enforce, async |story| {
        let (_injector, daemon) = in_sync(story, &["web", "api"], &[]).await?;
        let Some(beginning) = story.marker()? else { return Ok(()) };
        let asked = after_renewals(story, beginning, 15).await?;
        // A guard, a permission or a list may be looked at once; nothing is asked for again and again.
        assert_eq!(counted(&asked), BTreeMap::new());
        let leases = asked.iter().filter(|entry| entry.resource == "leases").count();
        ensure!(leases <= 2 * 15, "{leases} requests for a Lease in 15 renewals");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

/// What a Pod of it says of itself, as its kubelet would.
async fn set_ready(story: &Story<'_>, name: &str, ready: bool) -> Result<()> {
    let pods = story.ns.pods_of("Deployment", name).await?;
    let pod = pods.first().and_then(|pod| pod.metadata.name.clone()).context("no Pod")?;
    let status = if ready { "True" } else { "False" };
    let conditions = json!([{ "type": "Ready", "status": status }, { "type": "ContainersReady", "status": status }]);
    let patch: Patch<Value> = Patch::Strategic(json!({ "status": { "conditions": conditions } }));
    let api: kube::Api<k8s_openapi::api::core::v1::Pod> =
        kube::Api::namespaced(story.ns.client().clone(), story.ns.name());
    api.patch_status(&pod, &PatchParams::default(), &patch).await?;
    Ok(())
}

/// It wrote the state ConfigMap 248 times a second (B10).
#[tokio::test]
async fn an_unhealthy_canary_in_its_soak_costs_few_writes() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("quiet-canary", Rights::Enforce, async |story| {
        let (mut injector, daemon) = in_sync(story, &["web", "api"], &["--canary=1", "--soak=1h"]).await?;
        injector.set_version("v2").await?;
        let is_it = |line: &crate::support::Line| line.text("outcome") == "converged";
        let ended = daemon.until_it_says("the canary converged", is_it).await?;
        let (_, canary) = ended.text("workload").rsplit_once('/').context("no name")?;
        let Some(beginning) = story.marker()? else { return Ok(()) };
        set_ready(story, canary, false).await?;
        let asked = after_renewals(story, beginning, 15).await?;
        let writes = asked.iter().filter(|entry| entry.resource == "configmaps" && entry.writes()).count();
        ensure!(writes <= 4, "{writes} writes: {:?}", counted(&asked));
        let others = asked.iter().filter(|entry| entry.verb != "watch" && entry.resource != "leases").count();
        ensure!(others <= 12, "{:?}", counted(&asked));

        // The twin: it was held all the while, and nobody followed it.
        let other = if canary == "web" { "api" } else { "web" };
        assert_eq!(story.ns.revisions_of("Deployment", other).await?.len(), 1);
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

/// A ConfigMap that nobody injects by is written as fast as it is answered.
#[tokio::test]
async fn a_noisy_config_map_costs_no_rendering() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("quiet-noise", Rights::Enforce, async |story| {
        let (mut injector, daemon) = in_sync(story, &["web"], &["--canary=0"]).await?;
        let beside = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "noise" } });
        story.ns.create(beside).await?;
        let Some(beginning) = story.marker()? else { return Ok(()) };
        let noise = story.ns.dynamic("", "v1", "ConfigMap");
        let mut written = 0;
        let asked = eventually("it renewed its Lease ten times", DEADLINE, async || {
            written += 1;
            let patch: Patch<Value> = Patch::Merge(json!({ "data": { "beat": written.to_string() } }));
            noise.patch("noise", &PatchParams::default(), &patch).await?;
            let asked = story.asked(beginning).await?;
            let renewals = asked.iter().filter(|entry| entry.resource == "leases" && entry.verb == "patch").count();
            Ok((renewals >= 10).then_some(asked))
        })
        .await?;
        assert_eq!(counted(&asked), BTreeMap::new());

        // The twin: what the injector says is heard in spite of it.
        injector.set_version("v2").await?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_rollout_costs_some_ten_requests() -> Result<()> {
    const FLEET: usize = 20;
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("quiet-rollouts", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let names: Vec<_> = (0..FLEET).map(|n| format!("web-{n:02}")).collect();
        try_join_all(names.iter().map(|name| ns.deploy(deployment(name, 1).pod_label(injector.label())))).await?;
        story.create_state().await?;
        let at_once = ["--canary=0", "--parallel-rollouts=10", "--parallel-per-namespace=10"];
        let daemon = story.daemon(&[&ENFORCE[..], &at_once].concat())?;
        for name in &names {
            daemon.until_verdict(&format!("Deployment/{name}"), "in_sync", None).await?;
        }
        let Some(beginning) = story.marker()? else { return Ok(()) };
        injector.set_version("v2").await?;
        for name in &names {
            let ended = daemon.until_it_ends_a_rollout_of("Deployment", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }
        ensure!(daemon.terminate().await?.success());
        let counted = counted(&story.asked(beginning).await?);
        let all: usize = counted.values().sum();
        let each = f64::from(u32::try_from(all)?) / f64::from(u32::try_from(FLEET)?);
        ensure!(each <= REQUESTS_PER_ROLLOUT, "{each} requests for each of {FLEET} rollouts: {counted:#?}");
        // Each was rolled exactly once, and nothing else was done to it.
        assert_eq!(counted.get("patch deployments"), Some(&FLEET), "{counted:#?}");
        assert_eq!(counted.get("create events"), Some(&FLEET), "{counted:#?}");
        Ok(())
    })
    .await
}
