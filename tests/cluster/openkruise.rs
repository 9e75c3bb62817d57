//! CloneSets and Advanced StatefulSets, with OpenKruise's real controllers of them (decision 0012).

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt as _;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{
    Testbed, eventually,
    injector::Sidecar,
    skip,
    workload::{Workload, advanced_stateful_set, clone_set},
};

use crate::support::{DEADLINE, Injector, Rights, Story, story};

const ENFORCE: [&str; 4] = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0"];

const LISTEN: &str = "--listen=127.0.0.1:0";

/// Why these stories cannot be told here.
async fn missing() -> Result<Option<&'static str>> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return Ok(Some("there is no injector that this cluster can have"));
    }
    Ok(testbed.assets().is_none().then_some("the CRDs of an existing cluster are its owner's"))
}

/// One kind's workloads.
struct Sets {
    kind: &'static str,
    /// As `--kinds` has it.
    flag: &'static str,
    make: fn(&str, u32) -> Workload,
    /// Where its strategy keeps the pause and the partition.
    rolling: &'static str,
    /// Where it keeps how Pods are updated.
    policy: &'static str,
}

const CLONE_SETS: Sets = Sets {
    kind: "CloneSet",
    flag: "--kinds=clonesets",
    make: clone_set,
    rolling: "/spec/updateStrategy",
    policy: "type",
};

const ADVANCED_STATEFUL_SETS: Sets = Sets {
    kind: "AdvancedStatefulSet",
    flag: "--kinds=advancedstatefulsets",
    make: advanced_stateful_set,
    rolling: "/spec/updateStrategy/rollingUpdate",
    policy: "podUpdatePolicy",
};

impl Sets {
    fn with(&self, workload: Workload, field: &str, value: Value) -> Workload {
        workload.with(|manifest| {
            if let Some(strategy) = manifest.pointer_mut(self.rolling) {
                strategy[field] = value;
            }
        })
    }

    /// Changes annotations of the template; `null` takes one away.
    async fn annotate(&self, story: &Story<'_>, name: &str, annotations: Value) -> Result<()> {
        let patch: Patch<Value> =
            Patch::Merge(json!({"spec": {"template": {"metadata": {"annotations": annotations}}}}));
        story.ns.workloads(self.kind)?.patch(name, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    async fn are_rolled_with_their_partition_and_not_where_they_update_in_place(
        &self,
        story: &Story<'_>,
    ) -> Result<()> {
        let (ns, kind) = (&story.ns, self.kind);
        let controllers = ns.testbed().openkruise().await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let set = |name: &str, replicas| (self.make)(name, replicas).pod_label(injector.label());
        let in_place = self.with(set("in-place", 2), self.policy, json!("InPlaceIfPossible"));
        tokio::try_join!(
            ns.deploy(set("web", 2)),
            ns.deploy(self.with(set("half", 3), "partition", json!(2))),
            ns.deploy(self.with(in_place, "maxUnavailable", json!(2))),
            ns.deploy(self.with(set("paused", 2), "paused", json!(true))),
            ns.deploy((self.make)("plain", 2)),
        )?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let uids = async |name: &str| story.uids(kind, name).await;
        let (web, half) = (uids("web").await?, uids("half").await?);
        let others = (uids("in-place").await?, uids("paused").await?, uids("plain").await?);

        let daemon = story.daemon(&[&ENFORCE[..], &[self.flag]].concat())?;
        for name in ["web", "half"] {
            let ended = daemon.until_it_ends_a_rollout_of(kind, name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{name}: {ended:?}");
        }
        for name in ["in-place", "paused"] {
            daemon.until_verdict(&format!("{kind}/{name}"), "drifted", None).await?;
        }
        ensure!(daemon.terminate().await?.success());
        controllers.check()?;

        assert!(uids("web").await?.is_disjoint(&web));
        let sidecar = Sidecar::new("proxy").version("v2");
        for pod in ns.pods_of(kind, "web").await? {
            assert!(sidecar.is_in(&serde_json::to_value(&pod)?), "{pod:?}");
        }
        assert_eq!(uids("half").await?.intersection(&half).count(), 2, "the partition keeps two");
        assert_eq!((uids("in-place").await?, uids("paused").await?, uids("plain").await?), others, "one was touched");
        for (name, revisions) in [("web", 2), ("half", 2), ("in-place", 1), ("paused", 1), ("plain", 1)] {
            assert_eq!(ns.revisions_of(kind, name).await?.len(), revisions, "{name}");
        }

        let again = story.run(&["scan", "--output=json", self.flag]).await?.document()?;
        let said = |name: &str, field: &str| anyhow::Ok(again.workload(&format!("{kind}/{name}"))?[field].clone());
        assert_eq!(said("web", "verdict")?, "in_sync");
        assert_eq!(said("plain", "verdict")?, "not_injected");
        assert_eq!(said("in-place", "gateInEnforce")?, "on_delete");
        assert_eq!(said("paused", "gateInEnforce")?, "workload_paused");
        // What the partition keeps still runs the old sidecar; that it was rolled just now holds it first.
        assert_eq!((said("half", "verdict")?, said("half", "gateInEnforce")?), (json!("drifted"), json!("cooldown")));

        // And it would have been in vain: a stamp comes to the running Pods, and replaces none.
        self.annotate(story, "in-place", json!({"stamp": "by hand"})).await?;
        eventually("the Pods have the annotation", DEADLINE, async || {
            let pods = ns.pods_of(kind, "in-place").await?;
            let has_it = |pod: &Pod| pod.annotations().get("stamp").is_some_and(|stamp| stamp == "by hand");
            Ok(pods.iter().all(has_it).then_some(()))
        })
        .await?;
        assert_eq!(uids("in-place").await?, others.0);
        Ok(())
    }

    /// A GitOps tool takes the stamp away: its controller exchanges the Pods, and from then on nothing is done any more.
    async fn are_held_once_their_stamp_was_taken_away(&self, story: &Story<'_>) -> Result<()> {
        let (ns, kind) = (&story.ns, self.kind);
        let _controllers = ns.testbed().openkruise().await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy((self.make)("stripped", 1).pod_label(injector.label())),
            ns.deploy((self.make)("kept", 1).pod_label(injector.label())),
        )?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let daemon = story.daemon(&[&ENFORCE[..], &[self.flag, "--allow-downtime"]].concat())?;
        for name in ["stripped", "kept"] {
            let ended = daemon.until_it_ends_a_rollout_of(kind, name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{name}: {ended:?}");
        }
        ensure!(daemon.terminate().await?.success());

        let stamp = json!({
            "sidecarRollout.rollout.timestamp": null,
            "sidecarRollout.rollout.reason": null,
            "sidecarRollout.rollout.fingerprint": null,
        });
        self.annotate(story, "stripped", stamp).await?;
        ns.wait_for_rollout(kind, "stripped").await?;
        let before = (story.uids(kind, "stripped").await?, story.uids(kind, "kept").await?);
        injector.set_version("v3").await?;

        // One that knows only what the revisions say.
        let second =
            story.daemon(&[&ENFORCE[..], &[self.flag, "--allow-downtime", "--cooldown=0s", LISTEN]].concat())?;
        let ended = second.until_it_ends_a_rollout_of(kind, "kept").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        second.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"reverted\"} 1"]).await?;
        ensure!(second.terminate().await?.success());
        assert_eq!(story.uids(kind, "stripped").await?, before.0, "it was rolled again");
        assert!(story.uids(kind, "kept").await?.is_disjoint(&before.1));
        Ok(())
    }
}

#[tokio::test]
async fn a_clone_set_is_rolled_with_its_partition_and_not_where_it_updates_in_place() -> Result<()> {
    if let Some(why) = missing().await? {
        return skip(why);
    }
    story("clone-set", Rights::Enforce, async |story| {
        CLONE_SETS.are_rolled_with_their_partition_and_not_where_they_update_in_place(story).await
    })
    .await
}

#[tokio::test]
async fn an_advanced_stateful_set_is_rolled_as_a_clone_set_is_with_its_partition_and_not_in_place() -> Result<()> {
    if let Some(why) = missing().await? {
        return skip(why);
    }
    story("asts", Rights::Enforce, async |story| {
        ADVANCED_STATEFUL_SETS.are_rolled_with_their_partition_and_not_where_they_update_in_place(story).await
    })
    .await
}

/// Its twin in the same story kept its stamp, and is rolled.
#[tokio::test]
async fn a_clone_set_whose_stamp_was_stripped_is_held() -> Result<()> {
    if let Some(why) = missing().await? {
        return skip(why);
    }
    story("clone-set-stripped", Rights::Enforce, async |story| {
        CLONE_SETS.are_held_once_their_stamp_was_taken_away(story).await
    })
    .await
}
