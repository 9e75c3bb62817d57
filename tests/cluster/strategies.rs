//! What a workload's own strategy, and the Nodes that it wants, leave to a rollout.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Node;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::{
    Testbed, eventually,
    injector::Sidecar,
    skip,
    workload::{Workload, daemon_set, stateful_set},
};

use crate::support::{DEADLINE, Injector, Rights, Story, story};

const ENFORCE: [&str; 4] = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0"];

fn with(workload: Workload, pointer: &str, value: Value) -> Workload {
    let fields = pointer.split('/').rev().fold(value, |value, field| json!({ field: value }));
    workload.with(|manifest| json_patch::merge(manifest, &fields))
}

/// The uid of each of a workload's Pods, by what names the Pod: by its name, or by its Node.
async fn uids_by(story: &Story<'_>, kind: &str, name: &str, node: bool) -> Result<BTreeMap<String, String>> {
    let pods = story.ns.pods_of(kind, name).await?.into_iter().map(|pod| {
        let by = if node { pod.spec.and_then(|spec| spec.node_name) } else { pod.metadata.name };
        Ok((by.context("a Pod without a name or a Node")?, pod.metadata.uid.context("a Pod without uid")?))
    });
    pods.collect()
}

#[tokio::test]
async fn a_stateful_set_is_rolled_from_its_partition_on_wherever_its_ordinals_start() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("ordinals", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let set = |name: &str, start: u32| {
            let set = stateful_set(name, 3).pod_label(injector.label());
            with(set, "spec/ordinals/start", json!(start))
        };
        let ordered = with(set("db", 5), "spec/podManagementPolicy", json!("OrderedReady"));
        let two_at_once = with(set("tight", 1), "spec/updateStrategy/rollingUpdate/maxUnavailable", json!(2));
        let budget = json!({
            "apiVersion": "policy/v1",
            "kind": "PodDisruptionBudget",
            "metadata": {"name": "tight"},
            "spec": {"maxUnavailable": 1, "selector": {"matchLabels": {"app": "tight"}}},
        });
        ns.create(budget).await?;
        tokio::try_join!(
            ns.deploy(with(ordered, "spec/updateStrategy/rollingUpdate/partition", json!(2))),
            ns.deploy(set("parallel", 7)),
            ns.deploy(two_at_once),
            ns.deploy(stateful_set("plain", 2)),
        )?;
        // Older servers drop it, and roll one after the other.
        let tight = ns.workloads("StatefulSet")?.get("tight").await?;
        let is_tight = !tight.data["spec"]["updateStrategy"]["rollingUpdate"]["maxUnavailable"].is_null();
        let budgets = ns.dynamic("policy", "v1", "PodDisruptionBudget");
        eventually("the budget allows one", DEADLINE, async || {
            Ok((budgets.get("tight").await?.data["status"]["disruptionsAllowed"] == 1).then_some(()))
        })
        .await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let uids = async |name: &str| uids_by(story, "StatefulSet", name, false).await;
        let (db, parallel, tight) = (uids("db").await?, uids("parallel").await?, uids("tight").await?);
        let plain = uids("plain").await?;
        assert_eq!(db.keys().collect::<Vec<_>>(), ["db-5", "db-6", "db-7"]);

        let daemon = story.daemon(&ENFORCE)?;
        let rolled = if is_tight { &["db", "parallel"][..] } else { &["db", "parallel", "tight"] };
        for name in rolled {
            let ended = daemon.until_it_ends_a_rollout_of("StatefulSet", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{name}: {ended:?}");
        }
        ensure!(daemon.terminate().await?.success());

        let now = uids("db").await?;
        let same: Vec<_> = now.keys().filter(|name| now.get(*name) == db.get(*name)).collect();
        assert_eq!(same, ["db-5", "db-6"], "{now:?}, before {db:?}");
        assert!(now.contains_key("db-7"), "{now:?}");
        let now = uids("parallel").await?;
        assert!(now.keys().eq(parallel.keys()) && now.iter().all(|(name, uid)| parallel[name] != *uid), "{now:?}");
        assert_eq!(uids("plain").await?, plain);

        let again = story.run(&["scan", "--output=json"]).await?.document()?;
        let said = |name: &str, field: &str| anyhow::Ok(again.workload(&format!("StatefulSet/{name}"))?[field].clone());
        // What the partition keeps still runs the old sidecar; that it was rolled just now holds it first.
        assert_eq!((said("db", "verdict")?, said("db", "gateInEnforce")?), (json!("drifted"), json!("cooldown")));
        assert_eq!(said("parallel", "verdict")?, "in_sync");
        if is_tight {
            assert_eq!(uids("tight").await?, tight, "two at once are more than its budget allows");
            assert_eq!(said("tight", "gateInEnforce")?, "pdb_headroom");
        }
        Ok(())
    })
    .await
}

/// A Node that nobody else's Pods come to, and that goes with the story.
pub(crate) async fn create_node(story: &Story<'_>, nodes: &Api<Node>, suffix: &str, zone: &str) -> Result<String> {
    let own = story.ns.name();
    let name = format!("{own}-{suffix}");
    // What tells kwok which kubelet to play.
    let annotations = nodes.get("node-1").await?.metadata.annotations;
    let metadata = json!({
        "name": name, "labels": {"story": own, "zone": zone}, "annotations": annotations, "ownerReferences": [story.ns.as_owner()],
    });
    let node = serde_json::from_value(json!({
        "metadata": metadata,
        "spec": {"taints": [{"key": "story", "value": own, "effect": "NoSchedule"}]},
    }))?;
    nodes.create(&PostParams::default(), &node).await?;
    // One after the other, so that the cluster is never taken for busy.
    eventually(format_args!("Node {name} is ready"), DEADLINE, async || {
        let status = nodes.get(&name).await?.status.unwrap_or_default();
        let ready = status.conditions.iter().flatten().any(|found| found.type_ == "Ready" && found.status == "True");
        Ok(ready.then_some(()))
    })
    .await?;
    Ok(name)
}

#[tokio::test]
async fn a_daemon_set_is_rolled_on_the_nodes_that_it_has_left_and_on_cordoned_ones() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return skip("there is no injector that this cluster can have");
    }
    if testbed.assets().is_none() {
        return skip("nobody would run the Nodes of a test on an existing cluster");
    }
    story("nodes", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let nodes: Api<Node> = Api::all(ns.client().clone());
        let mut names = Vec::new();
        for (suffix, zone) in [("cordoned", "a"), ("gone", "b"), ("usual", "a")] {
            names.push(create_node(story, &nodes, suffix, zone).await?);
        }
        let [cordoned, gone, usual] = names.as_slice() else { anyhow::bail!("{names:?}") };
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let here = |name: &str, zones: &[&str], strategy: Value| {
            let term = json!({"matchExpressions": [{"key": "zone", "operator": "In", "values": zones}]});
            let required = json!({"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}});
            let set = with(daemon_set(name), "spec/template/spec/affinity/nodeAffinity", required);
            let toleration = json!([{"key": "story", "value": ns.name(), "effect": "NoSchedule"}]);
            let set = with(set, "spec/template/spec/tolerations", toleration);
            with(set, "spec/updateStrategy/rollingUpdate", strategy)
        };
        let one_by_one = || json!({"maxUnavailable": 1});
        let surge = json!({"maxSurge": 1, "maxUnavailable": 0});
        tokio::try_join!(
            ns.deploy(here("usual", &["a", "b"], one_by_one()).pod_label(injector.label())),
            // Its controller waits for the Pods of a Node that is gone, so it has none there.
            ns.deploy(here("surging", &["a"], surge).pod_label(injector.label())),
            ns.deploy(here("plain", &["a", "b"], one_by_one())),
        )?;
        let uids = async |name: &str| uids_by(story, "DaemonSet", name, true).await;
        let before = (uids("surging").await?, uids("usual").await?, uids("plain").await?);
        assert!(before.0.keys().eq([cordoned, usual]) && before.1.keys().eq([cordoned, gone, usual]), "{before:?}");
        let cordon: Patch<Value> = Patch::Merge(json!({"spec": {"unschedulable": true}}));
        nodes.patch(cordoned, &PatchParams::default(), &cordon).await?;
        // Its Pods stay until the garbage collection finds them, a minute later, and until then the status counts them.
        nodes.delete(gone, &DeleteParams::default()).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;

        let daemon = story.daemon(&ENFORCE)?;
        for name in ["surging", "usual"] {
            let ended = daemon.until_it_ends_a_rollout_of("DaemonSet", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{name}: {ended:?}");
        }
        ensure!(daemon.terminate().await?.success());

        let sidecar = Sidecar::new("proxy").version("v2");
        for (name, before) in [("surging", before.0), ("usual", before.1)] {
            let now = uids(name).await?;
            for node in [cordoned, usual] {
                ensure!(now.contains_key(node) && now.get(node) != before.get(node), "{name} on {node}: {now:?}");
            }
            for pod in ns.pods_of("DaemonSet", name).await? {
                let pod = serde_json::to_value(&pod)?;
                ensure!(pod["spec"]["nodeName"] == gone.as_str() || sidecar.is_in(&pod), "{pod:#}");
            }
        }
        let plain = uids("plain").await?;
        for node in [cordoned, usual] {
            assert_eq!(plain.get(node), before.2.get(node), "{node}");
        }
        Ok(())
    })
    .await
}
