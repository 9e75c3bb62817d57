//! A rollout that does not go on is told apart, with its cause, and others have its place.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::{Node, Pod};
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use testbed::{
    Testbed, eventually,
    injector::Sidecar,
    skip,
    workload::{Workload, daemon_set, deployment},
};

use crate::{
    strategies::create_node,
    support::{DEADLINE, Injector, Rights, Story, create_beyond, story},
};

/// One place, and little patience.
const ENFORCE: [&str; 7] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=0",
    "--parallel-rollouts=1",
    "--timeout=8s",
    "--listen=127.0.0.1:0",
];

const READY_AFTER: &str = "testbed.sidecar-drift/ready-after";

/// For the Nodes of this story.
fn here(story: &Story<'_>, workload: Workload) -> Workload {
    let own = story.ns.name().to_owned();
    workload.with(move |manifest| {
        let spec = &mut manifest["spec"]["template"]["spec"];
        spec["nodeSelector"] = json!({ "story": own });
        spec["tolerations"] = json!([{ "key": "story", "value": own, "effect": "NoSchedule" }]);
    })
}

#[tokio::test]
async fn new_pods_that_no_node_takes_are_stalled_with_that_cause_and_others_go_on() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) || testbed.assets().is_none() {
        return skip("there is no injector that this cluster can have, or nobody would run the Nodes");
    }
    story("stalled", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let nodes: Api<Node> = Api::all(ns.client().clone());
        let node = create_node(story, &nodes, "only", "a").await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(here(story, deployment("a-stuck", 1)).pod_label(injector.label())).await?;
        story.create_state().await?;
        // What runs there stays; nothing new comes.
        let labels: Patch<Value> = Patch::Merge(json!({ "metadata": { "labels": { "story": "over" } } }));
        nodes.patch(&node, &PatchParams::default(), &labels).await?;
        injector.set_version("v2").await?;
        let daemon = story.daemon(&ENFORCE)?;
        daemon.until_it_says("it has begun", |line| line.is("rollout started")).await?;
        // It waits for the place, and is as good as the other one.
        ns.deploy(deployment("twin", 1).pod_label(injector.label())).await?;
        injector.set_version("v3").await?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "a-stuck").await?;
        assert_eq!(ended.text("outcome"), "stalled", "{ended:?}");
        ensure!(format!("{ended:?}").contains("Unschedulable"), "{ended:?}");
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "twin").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_daemon_set_with_a_dead_node_gives_its_place_to_others() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) || testbed.assets().is_none() {
        return skip("there is no injector that this cluster can have, or nobody would run the Nodes");
    }
    story("stalled-node", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let nodes: Api<Node> = Api::all(ns.client().clone());
        for suffix in ["alive", "dead"] {
            create_node(story, &nodes, suffix, "a").await?;
        }
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        // New Pods are never ready there, as on a Node whose kubelet has died.
        let agent = here(story, daemon_set("agent")).pod_label(injector.label()).with(|manifest| {
            manifest["spec"]["updateStrategy"] = json!({ "rollingUpdate": { "maxUnavailable": 1 } });
        });
        tokio::try_join!(ns.deploy(agent), ns.deploy(deployment("twin", 1).pod_label(injector.label())))?;
        story.create_state().await?;
        let dead = format!("{}-dead", ns.name());
        let full: Patch<Value> = Patch::Merge(json!({ "status": {
            "allocatable": { "pods": "0", "cpu": "1000", "memory": "4Ti" }, "capacity": { "pods": "0" },
        } }));
        nodes.patch_status(&dead, &PatchParams::default(), &full).await?;
        injector.set_version("v2").await?;
        let daemon = story.daemon(&ENFORCE)?;
        let ended = daemon.until_it_ends_a_rollout_of("DaemonSet", "agent").await?;
        assert_eq!(ended.text("outcome"), "stalled", "{ended:?}");
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "twin").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

/// Every Pod of this namespace that is really created is gated from now on; a dry run says nothing of that.
async fn gate_new_pods(story: &Story<'_>) -> Result<()> {
    let ns = &story.ns;
    let (group, name) = ("admissionregistration.k8s.io", format!("{}-gates", ns.name()));
    let here = json!({ "matchLabels": { "kubernetes.io/metadata.name": ns.name() } });
    let rules = json!([{ "apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"] }]);
    let gate = r#"[JSONPatch{op: "add", path: "/spec/schedulingGates", value: [{"name": "example.com/quota"}]}]"#;
    let spec = json!({
        "matchConstraints": { "namespaceSelector": here, "resourceRules": rules },
        "matchConditions": [{ "name": "for-real", "expression": "!request.dryRun" }],
        "mutations": [{ "patchType": "JSONPatch", "jsonPatch": { "expression": gate } }],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    });
    create_beyond(ns, group, "MutatingAdmissionPolicy", &name, json!({ "spec": spec })).await?;
    let binding = json!({ "spec": { "policyName": name } });
    create_beyond(ns, group, "MutatingAdmissionPolicyBinding", &name, binding).await?;
    let pods: Api<Pod> = Api::namespaced(ns.client().clone(), ns.name());
    let probe: Pod = serde_json::from_value(json!({
        "metadata": { "generateName": "probe-" },
        "spec": { "containers": [{ "name": "app", "image": "registry.test/app:1" }] },
    }))?;
    eventually("a new Pod is gated", DEADLINE, async || {
        let pod = pods.create(&PostParams::default(), &probe).await?;
        let name = pod.metadata.name.unwrap_or_default();
        pods.delete(&name, &DeleteParams::default().grace_period(0)).await?;
        Ok(pod.spec.and_then(|spec| spec.scheduling_gates).map(drop))
    })
    .await
}

#[tokio::test]
async fn new_pods_that_are_gated_are_stalled_with_that_cause_and_others_go_on() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !testbed.supports_mutating_admission_policy() || testbed.assets().is_none() {
        return skip("nothing here could gate Pods");
    }
    story("stalled-gated", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let elsewhere = ns.create_companion("twin").await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("gated", 1).pod_label(injector.label())).await?;
        let before = story.uids("Deployment", "gated").await?;
        elsewhere.deploy(deployment("twin", 2).pod_label(injector.label())).await?;
        story.create_state().await?;
        gate_new_pods(story).await?;
        injector.set_version("v2").await?;
        let both = [&ENFORCE[..], &["--namespace", elsewhere.name()]].concat();
        let daemon = story.daemon_as(testbed.kubeconfig(), &both)?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "gated").await?;
        assert_eq!(ended.text("outcome"), "stalled", "{ended:?}");
        ensure!(format!("{ended:?}").contains("SchedulingGated"), "{ended:?}");
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "twin").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        // What served goes on to.
        ensure!(story.uids("Deployment", "gated").await?.is_superset(&before), "the old Pod is gone");
        Ok(())
    })
    .await
}

/// From now on nothing is heard of it: kwok plays it no more, and the Node says itself that it is not ready.
async fn take_down(nodes: &Api<Node>, name: &str) -> Result<()> {
    let node = nodes.get(name).await?;
    let own: serde_json::Map<_, _> =
        node.metadata.annotations.iter().flatten().map(|(key, _)| (key.clone(), Value::Null)).collect();
    let unplayed: Patch<Value> = Patch::Merge(json!({ "metadata": { "annotations": own } }));
    nodes.patch(name, &PatchParams::default(), &unplayed).await?;
    eventually(format_args!("Node {name} is not ready"), DEADLINE, async || {
        let mut conditions = nodes.get(name).await?.status.unwrap_or_default().conditions.unwrap_or_default();
        if conditions.iter().any(|found| found.type_ == "Ready" && found.status == "False") {
            return Ok(Some(()));
        }
        for ready in conditions.iter_mut().filter(|found| found.type_ == "Ready") {
            "False".clone_into(&mut ready.status);
            ready.reason = Some("KubeletNotReady".to_owned());
        }
        let down: Patch<Value> = Patch::Strategic(json!({ "status": { "conditions": conditions } }));
        nodes.patch_status(name, &PatchParams::default(), &down).await?;
        Ok(None)
    })
    .await
}

#[tokio::test]
async fn a_daemon_set_with_a_node_that_is_not_ready_is_held_and_others_go_on() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) || testbed.assets().is_none() {
        return skip("there is no injector that this cluster can have, or nobody would run the Nodes");
    }
    story("stalled-not-ready", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let nodes: Api<Node> = Api::all(ns.client().clone());
        // So many that one of them makes no cluster busy.
        for suffix in ["a", "b", "c", "d", "down"] {
            create_node(story, &nodes, suffix, "a").await?;
        }
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let agent = here(story, daemon_set("agent")).pod_label(injector.label());
        tokio::try_join!(ns.deploy(agent), ns.deploy(deployment("twin", 1).pod_label(injector.label())))?;
        let before = story.uids("DaemonSet", "agent").await?;
        assert_eq!(before.len(), 5, "{before:?}");
        story.create_state().await?;
        take_down(&nodes, &format!("{}-down", ns.name())).await?;
        injector.set_version("v2").await?;
        let daemon = story.daemon(&ENFORCE)?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "twin").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"unhealthy\"} 1"]).await?;
        ensure!(daemon.terminate().await?.success());
        assert_eq!(story.uids("DaemonSet", "agent").await?, before);
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_workload_that_leaves_the_filter_in_the_middle_ends_its_rollout_and_frees_its_place() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("stalled-leaves", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let slow = |name: &str| deployment(name, 1).pod_annotation(READY_AFTER, "5s").pod_label(injector.label());
        tokio::try_join!(ns.deploy(slow("one")), ns.deploy(slow("two")))?;
        story.create_state().await?;
        injector.set_version("v2").await?;
        let patient = [&ENFORCE[..5], &["--listen=127.0.0.1:0", "--exclude-annotation=example.com/left=yes"]].concat();
        let daemon = story.daemon(&patient)?;
        let started = daemon.until_it_says("it has begun", |line| line.is("rollout started")).await?;
        let first = if started.is_about("Deployment", "one") { "one" } else { "two" };
        let leaves: Patch<Value> =
            Patch::Merge(json!({ "metadata": { "annotations": { "example.com/left": "yes" } } }));
        ns.workloads("Deployment")?.patch(first, &PatchParams::default(), &leaves).await?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", first).await?;
        assert_eq!(ended.text("outcome"), "superseded", "{ended:?}");

        // The twin stays, and has its place.
        let twin = if first == "one" { "two" } else { "one" };
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", twin).await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}
