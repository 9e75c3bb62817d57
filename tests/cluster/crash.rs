//! `kill -9` at the worst moments. After a restart nothing is lost, and nothing is done twice.

use std::path::PathBuf;

use anyhow::{Result, ensure};
use http::Method;
use serde_json::Value;
use testbed::{
    ApiProxy, Held, Matcher, Testbed, When, eventually,
    injector::Sidecar,
    skip,
    workload::{Workload, daemon_set, deployment, stateful_set},
};

use crate::support::{ACCOUNT, DEADLINE, Daemon, Injector, Rights, Story, story};

const FLEET: [(&str, &str); 5] = [
    ("Deployment", "web"),
    ("Deployment", "api"),
    ("Deployment", "shop"),
    ("StatefulSet", "db"),
    ("DaemonSet", "agent"),
];

/// Cool-down and daily cap are out of the way: not they must prevent a second rollout. Who was killed holds the lease for a
/// while.
const ENFORCE: [&str; 6] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--cooldown=0s",
    "--daily-cap=100",
    "--lease-duration=3s",
];

/// Whoever restarts may do everything at once, and so do everything twice.
const AT_ONCE: [&str; 3] = ["--parallel-rollouts=5", "--parallel-per-namespace=5", "--soak=1s"];

/// Five workloads that are out of date, and a proxy to stop a daemon at a chosen request.
struct Scene<'s, 't> {
    story: &'s Story<'t>,
    proxy: ApiProxy<'t>,
    kubeconfig: PathBuf,
    /// Some injectors live as long as this.
    _injector: Injector<'t>,
}

impl<'s, 't> Scene<'s, 't> {
    async fn set(story: &'s Story<'t>) -> Result<Self> {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        // Slow enough to be caught rolling.
        let injected = |workload: Workload| workload.pod_label(injector.label()).pod_annotation(READY_AFTER, "1s");
        tokio::try_join!(
            ns.deploy(injected(deployment("web", 2))),
            ns.deploy(injected(deployment("api", 2))),
            ns.deploy(injected(deployment("shop", 2))),
            ns.deploy(injected(stateful_set("db", 2))),
            ns.deploy(injected(daemon_set("agent"))),
        )?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let proxy = story.testbed().api_proxy().await?;
        let kubeconfig = proxy.service_account_kubeconfig(ns.name(), ACCOUNT).await?;
        Ok(Self { story, proxy, kubeconfig, _injector: injector })
    }

    /// A daemon that will be killed.
    fn daemon(&self, soak: &str) -> Result<Daemon<'t>> {
        self.story.daemon_as(&self.kubeconfig, &[&ENFORCE[..], &[soak]].concat())
    }

    /// Holds the first stamp.
    fn hold_patch(&self, when: When) -> Held {
        let stamp = Matcher::method(Method::PATCH).path_contains("/apis/apps/").not_query_contains("dryRun");
        self.proxy.hold(stamp, when)
    }

    /// The workloads that have a stamp.
    async fn stamped(&self) -> Result<Vec<(&'static str, &'static str)>> {
        let mut stamped = Vec::new();
        for (kind, name) in FLEET {
            let workload = self.story.ns.workloads(kind)?.get(name).await?;
            if workload.data.pointer(&format!("/spec/template/metadata/annotations/{FINGERPRINT}")).is_some() {
                stamped.push((kind, name));
            }
        }
        Ok(stamped)
    }

    /// Whether a workload's Pods are still being replaced.
    async fn is_rolling(&self, (kind, name): (&str, &str)) -> Result<bool> {
        let workload = self.story.ns.workloads(kind)?.get(name).await?;
        let number = |at: &str| workload.data.pointer(at).and_then(Value::as_i64).unwrap_or_default();
        let all = number("/spec/replicas").max(number("/status/desiredNumberScheduled"));
        let updated = number("/status/updatedReplicas").max(number("/status/updatedNumberScheduled"));
        let available = number("/status/availableReplicas").max(number("/status/numberAvailable"));
        let total = number("/status/replicas").max(all);
        Ok(updated > 0 && (updated < all || available < all || total > all))
    }
}

const READY_AFTER: &str = "testbed.sidecar-drift/ready-after";
const FINGERPRINT: &str = "sidecarRollout.rollout.fingerprint";

/// Sets the scene, lets `crash` start a daemon and kill it, and starts another one.
async fn each_is_rolled_exactly_once(name: &str, crash: impl AsyncFnOnce(&Scene<'_, '_>) -> Result<()>) -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story(name, Rights::Enforce, async |story| {
        let scene = Scene::set(story).await?;
        let beginning = story.marker()?;
        crash(&scene).await?;

        // The second life finishes the work, a third one finds nothing to do.
        for _ in 0..2 {
            let daemon = story.daemon(&[&ENFORCE[..], &AT_ONCE].concat())?;
            for (kind, name) in FLEET {
                daemon.until_verdict(&format!("{kind}/{name}"), "in_sync", None).await?;
            }
            let status = daemon.terminate().await?;
            ensure!(status.success(), "{status}");
        }

        for (kind, name) in FLEET {
            story.ns.wait_for_rollout(kind, name).await?;
            let revisions = story.ns.revisions_of(kind, name).await?;
            let stamps = revisions.iter().filter(|revision| revision.annotations.contains_key(FINGERPRINT));
            assert_eq!((revisions.len(), stamps.count()), (2, 1), "{kind} {name}: {revisions:#?}");
        }
        let Some(beginning) = beginning else { return Ok(()) };
        let asked = story.asked(beginning).await?;
        let stamps = asked.iter().filter(|entry| entry.verb == "patch" && entry.api_group == "apps" && entry.writes());
        let mut stamped: Vec<_> = stamps.map(|entry| (entry.name.as_str(), entry.code)).collect();
        stamped.sort_unstable();
        let once = ["agent", "api", "db", "shop", "web"].map(|name| (name, Some(200)));
        assert_eq!(stamped, once);
        Ok(())
    })
    .await
}

/// Kills a daemon whose request is held, and lets the proxy notice.
async fn kill_at(daemon: Daemon<'_>, held: Held) -> Result<()> {
    daemon.kill9();
    eventually("the proxy has noticed", DEADLINE, async || Ok(held.is_gone().then_some(()))).await
}

#[tokio::test]
async fn killed_before_a_patch_each_is_rolled_exactly_once() -> Result<()> {
    each_is_rolled_exactly_once("crash-before-patch", async |scene| {
        let held = scene.hold_patch(When::Before);
        let daemon = scene.daemon("--soak=1s")?;
        held.reached().await?;
        kill_at(daemon, held).await?;
        assert_eq!(scene.stamped().await?, []);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn killed_between_a_patch_and_its_answer_each_is_rolled_exactly_once() -> Result<()> {
    each_is_rolled_exactly_once("crash-after-patch", async |scene| {
        let held = scene.hold_patch(When::After);
        let daemon = scene.daemon("--soak=1s")?;
        held.reached().await?;
        kill_at(daemon, held).await?;
        assert_eq!(scene.stamped().await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn killed_while_pods_roll_each_is_rolled_exactly_once() -> Result<()> {
    each_is_rolled_exactly_once("crash-rolling", async |scene| {
        let daemon = scene.daemon("--soak=1s")?;
        eventually("Pods roll", DEADLINE, async || {
            let Some(first) = scene.stamped().await?.pop() else { return Ok(None) };
            Ok(scene.is_rolling(first).await?.then_some(()))
        })
        .await?;
        daemon.kill9();
        let [first] = scene.stamped().await?.try_into().map_err(|all| anyhow::anyhow!("not one: {all:?}"))?;
        ensure!(scene.is_rolling(first).await?, "{first:?} was quicker than we");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn killed_between_two_workloads_each_is_rolled_exactly_once() -> Result<()> {
    each_is_rolled_exactly_once("crash-between", async |scene| {
        // The first one is the canary, and holds the others back.
        let daemon = scene.daemon("--soak=1h")?;
        daemon.until_it_says("a rollout ended", |line| line.text("outcome") == "converged").await?;
        daemon.kill9();
        assert_eq!(scene.stamped().await?.len(), 1);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn killed_during_a_write_of_its_state_each_is_rolled_exactly_once() -> Result<()> {
    each_is_rolled_exactly_once("crash-state", async |scene| {
        let state = Matcher::method(Method::PATCH).path_contains("/configmaps/sidecar-drift-state");
        let held = scene.proxy.hold(state, When::After);
        let daemon = scene.daemon("--soak=1s")?;
        held.reached().await?;
        kill_at(daemon, held).await?;
        assert_eq!(scene.stamped().await?, []);
        Ok(())
    })
    .await
}
