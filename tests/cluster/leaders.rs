//! Two replicas: one leads, the other knows as much of the cluster, and asks and writes nothing.

use std::time::Duration;

use anyhow::{Result, ensure};
use http::Method;
use testbed::{
    Matcher, Testbed, When, eventually,
    injector::Sidecar,
    skip,
    workload::{Workload, deployment},
};

use crate::support::{ACCOUNT, DEADLINE, Daemon, Injector, Rights, Story, story};

/// The second replica's ServiceAccount, so that the two can be told apart in the audit log.
const SECOND: &str = "second";

const ENFORCE: [&str; 5] =
    ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0", "--soak=1s"];

const FLEET: [&str; 3] = ["one", "two", "three"];

const READY_AFTER: &str = "testbed.sidecar-drift/ready-after";

/// Workloads that are out of date.
async fn fleet<'t>(story: &Story<'t>, more: impl Fn(Workload) -> Workload) -> Result<Injector<'t>> {
    let ns = &story.ns;
    let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
    for name in FLEET {
        ns.deploy(more(deployment(name, 1).pod_label(injector.label()))).await?;
    }
    injector.set_version("v2").await?;
    story.create_state().await?;
    Ok(injector)
}

async fn until_it_leads(daemon: &Daemon<'_>) -> Result<()> {
    daemon.until_it_says("it leads", |line| line.is("leading")).await.map(drop)
}

async fn until_it_watches(daemon: &Daemon<'_>) -> Result<()> {
    eventually("it is ready", DEADLINE, async || {
        Ok(daemon.fetch("/readyz").await?.starts_with("HTTP/1.0 200").then_some(()))
    })
    .await
}

async fn each_is_rolled_exactly_once(story: &Story<'_>) -> Result<()> {
    for name in FLEET {
        story.ns.wait_for_rollout("Deployment", name).await?;
        let revisions = story.ns.revisions_of("Deployment", name).await?;
        assert_eq!(revisions.len(), 2, "{name}: {revisions:#?}");
    }
    Ok(())
}

#[tokio::test]
async fn only_the_leader_asks_and_a_follower_is_ready_and_says_nothing_of_workloads() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("leaders-two", Rights::Enforce, async |story| {
        let _injector = fleet(story, |workload| workload).await?;
        let second = story.account(SECOND, Rights::Enforce).await?;
        let beginning = story.marker()?;
        let arguments = [&ENFORCE[..], &["--listen=127.0.0.1:0"]].concat();
        let leader = story.daemon(&arguments)?;
        until_it_leads(&leader).await?;
        let follower = story.daemon_as(&second, &arguments)?;
        until_it_watches(&follower).await?;
        for name in FLEET {
            let ended = leader.until_it_ends_a_rollout_of("Deployment", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }

        let said = leader.fetch("/metrics").await?;
        assert!(said.contains("\nsidecar_drift_leader 1\n") && said.contains("\nsidecar_drift_workloads{"), "{said}");
        let said = follower.fetch("/metrics").await?;
        assert!(said.contains("\nsidecar_drift_leader 0\n") && !said.contains("sidecar_drift_workloads"), "{said}");
        ensure!(leader.terminate().await?.success());
        // It is quick to lead, because the watches are as warm as the other's were.
        until_it_leads(&follower).await?;
        ensure!(follower.terminate().await?.success());
        each_is_rolled_exactly_once(story).await?;

        let Some(beginning) = beginning else { return Ok(()) };
        let theirs = story.asked_by(SECOND, beginning).await?;
        let watched = theirs.iter().any(|entry| entry.verb == "watch" && entry.resource == "pods");
        assert!(watched, "{theirs:#?}");
        let stamps: Vec<_> = theirs.iter().filter(|entry| entry.verb == "patch" && entry.api_group == "apps").collect();
        assert!(stamps.is_empty(), "{stamps:#?}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_follower_renders_nothing() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("leaders-quiet", Rights::Enforce, async |story| {
        let _injector = fleet(story, |workload| workload).await?;
        let second = story.account(SECOND, Rights::Enforce).await?;
        let beginning = story.marker()?;
        // In report mode nobody is to be elected, unless it is asked for.
        let arguments = ["--leader-election", "--listen=127.0.0.1:0"];
        let leader = story.daemon(&arguments)?;
        until_it_leads(&leader).await?;
        let follower = story.daemon_as(&second, &arguments)?;
        until_it_watches(&follower).await?;
        for name in FLEET {
            leader.until_verdict(&format!("Deployment/{name}"), "drifted", None).await?;
        }
        ensure!(follower.terminate().await?.success());
        ensure!(leader.terminate().await?.success());

        let Some(beginning) = beginning else { return Ok(()) };
        let writes = |entry: &testbed::AuditEntry| !["get", "list", "watch"].contains(&entry.verb.as_str());
        let theirs = story.asked_by(SECOND, beginning).await?;
        let asked: Vec<_> = theirs.iter().filter(|entry| writes(entry) && entry.resource == "pods").collect();
        assert!(asked.is_empty(), "{asked:#?}");
        let ours = story.asked(beginning).await?;
        assert!(ours.iter().any(|entry| entry.verb == "create" && entry.resource == "pods"));
        Ok(())
    })
    .await
}

/// Frozen in the middle of a rollout, after the trial of its patch and before the patch itself: with its last breath it
/// would send it.
#[tokio::test]
async fn a_leader_that_was_frozen_past_its_lease_writes_nothing_when_it_wakes() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return skip("there is no injector that this cluster can have");
    }
    story("leaders-frozen", Rights::Enforce, async |story| {
        let mut injector = fleet(story, |workload| workload).await?;
        let second = story.account(SECOND, Rights::Enforce).await?;
        let proxy = testbed.api_proxy().await?;
        let kubeconfig = proxy.service_account_kubeconfig(story.ns.name(), ACCOUNT).await?;
        let a_trial = Matcher::method(Method::PATCH).path_contains("/deployments/").query_contains("dryRun");
        let held = proxy.hold(a_trial, When::After);
        let arguments = [&ENFORCE[..], &["--lease-duration=3s", "--cooldown=0s"]].concat();
        let leader = story.daemon_as(&kubeconfig, &arguments)?;
        until_it_leads(&leader).await?;
        held.reached().await?;
        leader.freeze()?;

        let other = story.daemon_as(&second, &arguments)?;
        until_it_leads(&other).await?;
        for name in FLEET {
            let ended = other.until_it_ends_a_rollout_of("Deployment", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }
        each_is_rolled_exactly_once(story).await?;

        // There is work again, the answer that it waited for is there, and it wakes.
        injector.set_version("v3").await?;
        let waking = story.marker()?;
        held.release();
        leader.thaw()?;
        leader.until_it_says("it gave up", |line| line.is("another replica may lead from now on")).await?;
        for name in FLEET {
            other.until_verdict(&format!("Deployment/{name}"), "in_sync", None).await?;
        }
        ensure!(leader.terminate().await?.success());
        ensure!(other.terminate().await?.success());

        let Some(waking) = waking else { return Ok(()) };
        let asked = story.asked(waking).await?;
        let reads = |verb: &str| ["get", "list", "watch"].contains(&verb);
        let writes: Vec<_> = asked.iter().filter(|entry| !reads(&entry.verb)).collect();
        assert!(writes.is_empty(), "{writes:#?}");
        Ok(())
    })
    .await
}

/// The API server has too much to do and says when to come again; by then the lease is another's. A client that repeats
/// requests by itself would repeat this one.
#[tokio::test]
async fn a_patch_that_is_to_be_tried_again_later_is_not_when_the_lease_is_lost_meanwhile() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return skip("there is no injector that this cluster can have");
    }
    story("leaders-throttled", Rights::Enforce, async |story| {
        let _injector = fleet(story, |workload| workload).await?;
        let second = story.account(SECOND, Rights::Enforce).await?;
        let proxy = testbed.api_proxy().await?;
        let kubeconfig = proxy.service_account_kubeconfig(story.ns.name(), ACCOUNT).await?;
        let a_patch = Matcher::method(Method::PATCH).path_contains("/deployments/").not_query_contains("dryRun");
        let held = proxy.hold(a_patch, When::Before);
        let arguments = [&ENFORCE[..], &["--lease-duration=3s", "--cooldown=0s"]].concat();
        let leader = story.daemon_as(&kubeconfig, &arguments)?;
        held.reached().await?;
        leader.freeze()?;
        let other = story.daemon_as(&second, &arguments)?;
        until_it_leads(&other).await?;

        held.refuse(Duration::from_secs(1));
        leader.thaw()?;
        leader.until_it_says("it gave up", |line| line.is("another replica may lead from now on")).await?;
        for name in FLEET {
            let ended = other.until_it_ends_a_rollout_of("Deployment", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }
        ensure!(leader.terminate().await?.success());
        ensure!(other.terminate().await?.success());
        let requests = proxy.requests();
        let patches: Vec<_> = requests
            .iter()
            .filter(|request| request.method == Method::PATCH && request.path.contains("/deployments/"))
            .map(|request| (request.query.contains("dryRun"), request.status))
            .collect();
        assert_eq!(patches, [(true, Some(200)), (false, Some(429))]);
        each_is_rolled_exactly_once(story).await
    })
    .await
}

/// With a lease of ten minutes: what happens within one was not waited for.
#[tokio::test]
async fn who_is_asked_to_stop_hands_over_a_rollout_in_flight() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("leaders-handover", Rights::Enforce, async |story| {
        let _injector = fleet(story, |workload| workload.pod_annotation(READY_AFTER, "5s")).await?;
        let second = story.account(SECOND, Rights::Enforce).await?;
        let arguments = [&ENFORCE[..], &["--lease-duration=600s", "--lease-retry=1s", "--listen=127.0.0.1:0"]].concat();
        let leader = story.daemon(&arguments)?;
        until_it_leads(&leader).await?;
        let other = story.daemon_as(&second, &arguments)?;
        until_it_watches(&other).await?;
        let started = leader.until_it_says("a rollout started", |line| line.is("rollout started")).await?;
        // A real clock, for once: Kubernetes has patience, but whoever waits for a drain has not.
        let status = tokio::time::timeout(Duration::from_secs(5), leader.terminate()).await??;
        ensure!(status.code() == Some(0), "{status}");

        let (_, name) = started.text("workload").rsplit_once('/').unwrap_or_default();
        let ended = other.until_it_ends_a_rollout_of("Deployment", name).await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        for name in FLEET {
            other.until_verdict(&format!("Deployment/{name}"), "in_sync", None).await?;
        }
        ensure!(other.terminate().await?.success());
        each_is_rolled_exactly_once(story).await
    })
    .await
}
