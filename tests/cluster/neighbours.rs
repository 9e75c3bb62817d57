//! One namespace is not the cluster: what a tenant with `edit` in one does changes no verdict, gate or breaker of another.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::{apps::v1::ReplicaSet, core::v1::Pod};
use kube::{
    Client,
    api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::{TestNamespace, Testbed, eventually, injector::Sidecar, skip, workload::deployment};

use crate::support::{DEADLINE, Daemon, Injector, Rights, Story, story, until_it_may, web};

/// Late and crashing is failed, so that nobody waits for a minute of crashes.
const ENFORCE: [&str; 9] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=0",
    "--timeout=5s",
    "--min-ready=1s",
    "--cooldown=0s",
    "--daily-cap=100",
    "--listen=127.0.0.1:0",
];

/// What a tenant may ask: `edit`, in his namespace and nowhere else.
async fn tenant(evil: &TestNamespace<'_>) -> Result<Client> {
    let kubeconfig = evil.service_account("tenant").await?;
    evil.create(json!({
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "RoleBinding",
        "metadata": {"name": "tenant"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "edit"},
        "subjects": [{"kind": "ServiceAccount", "name": "tenant", "namespace": evil.name()}],
    }))
    .await?;
    let user = format!("system:serviceaccount:{}:tenant", evil.name());
    until_it_may(evil, &user, json!({"verb": "patch", "resource": "pods", "namespace": evil.name()}), true).await?;
    testbed::client(&kubeconfig).await
}

/// Writes a Pod by hand, as none of this workload would be, and has its ReplicaSet adopt it in the place of its own.
async fn adopt_a_hand_written_pod(evil: &TestNamespace<'_>, client: &Client, name: &str) -> Result<()> {
    let sets: Api<ReplicaSet> = Api::namespaced(client.clone(), evil.name());
    let sets = sets.list(&ListParams::default().labels(&format!("app={name}"))).await?;
    let hash = sets.items.first().and_then(|set| set.metadata.labels.as_ref()?.get("pod-template-hash").cloned());
    let hash = hash.context("no ReplicaSet")?;
    let pods: Api<Pod> = Api::namespaced(client.clone(), evil.name());
    let odd: Pod = serde_json::from_value(json!({
        "metadata": {
            "name": format!("{name}-by-hand"),
            "labels": {"app": name},
            // Of two its controller keeps this one.
            "annotations": {"controller.kubernetes.io/pod-deletion-cost": "1000"},
        },
        "spec": {"containers": [
            {"name": "app", "image": "registry.test/app:1", "args": ["serve"]},
            {"name": "proxy", "image": "registry.test/proxy:hand-written"},
        ]},
    }))?;
    let odd = pods.create(&PostParams::default(), &odd).await?.metadata.name.context("no name")?;
    eventually("the Pod that was written by hand is ready", DEADLINE, async || {
        let pod = serde_json::to_value(pods.get(&odd).await?)?;
        let conditions = pod["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.iter().any(|c| c["type"] == "Ready" && c["status"] == "True").then_some(()))
    })
    .await?;
    let labels = Patch::Merge(json!({"metadata": {"labels": {"pod-template-hash": hash}}}));
    pods.patch(&odd, &PatchParams::default(), &labels).await?;
    eventually("it was adopted", DEADLINE, async || {
        let of = evil.pods_of("Deployment", name).await?;
        Ok((of.len() == 1 && of[0].metadata.name.as_deref() == Some(&odd)).then_some(()))
    })
    .await
}

/// What is said of this workload: its verdict, why, and what holds it.
async fn said_of(daemon: &Daemon<'_>, namespace: &str, name: &str) -> Result<[Value; 3]> {
    let api = daemon.address_of("the API").await?;
    let answer = web::body(&api, &format!("/api/v1/workloads/{namespace}/Deployment/{name}")).await?;
    let found: Value = serde_json::from_str(&answer)?;
    Ok(["verdict", "reason", "gate"].map(|field| found["workload"][field].clone()))
}

#[tokio::test]
async fn what_one_tenant_does_changes_nothing_for_another() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("neighbours", Rights::Enforce, async |story| attacked(story).await).await
}

async fn attacked(story: &Story<'_>) -> Result<()> {
    let shop = &story.ns;
    let evil = shop.create_companion("evil").await?;
    let mut shared = Injector::install(shop, Sidecar::new("proxy")).await?;
    let mut own = Injector::install(&evil, Sidecar::new("agent")).await?;
    story.create_state().await?;
    let held = |name| deployment(name, 1).annotation("sidecar-drift/mode", "report").pod_label(shared.label());
    tokio::try_join!(
        shop.deploy(held("twin")),
        evil.deploy(held("odd")),
        evil.deploy(deployment("one", 1).pod_label(own.label())),
        evil.deploy(deployment("two", 1).pod_label(own.label())),
    )?;
    shared.set_version("v2").await?;
    shop.deploy(deployment("fresh", 1).pod_label(shared.label())).await?;
    let both = [&ENFORCE[..], &["--namespace", evil.name(), "--api-listen=127.0.0.1:0"]].concat();
    let daemon = story.daemon_as(story.testbed().kubeconfig(), &both)?;
    for name in ["Deployment/twin", "Deployment/odd"] {
        daemon.until_verdict(name, "drifted", None).await?;
    }
    let before = eventually("the twin is held by its owner's word alone", DEADLINE, async || {
        let said = said_of(&daemon, shop.name(), "twin").await?;
        Ok((said[0] == "drifted" && said[2] == "opted_out").then_some(said))
    })
    .await?;

    // Pods of his that look odd.
    let client = tenant(&evil).await?;
    adopt_a_hand_written_pod(&evil, &client, "odd").await?;
    // Long enough for it to be looked at.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(said_of(&daemon, shop.name(), "twin").await?, before);

    // Rollouts of his that fail.
    own.set_version("crash").await?;
    let here = format!("sidecar_drift_breaker_open_namespaces{{namespace=\"{}\"}} 1", evil.name());
    daemon.until_metrics_say(&[&here, "sidecar_drift_stopped{by=\"breaker\"} 0"]).await?;
    assert_eq!(said_of(&daemon, shop.name(), "twin").await?, before);

    // And the others' are rolled out as ever.
    shared.set_version("v3").await?;
    let ended = daemon.until_it_ends_a_rollout_of("Deployment", "fresh").await?;
    assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
    daemon.until_metrics_say(&[&here, "sidecar_drift_stopped{by=\"breaker\"} 0"]).await?;

    // What his Pod said goes with it.
    let pods: Api<Pod> = Api::namespaced(client, evil.name());
    pods.delete("odd-by-hand", &DeleteParams::default().grace_period(0)).await?;
    daemon.until_verdict("Deployment/odd", "in_sync", None).await?;
    let arguments = ["resume", "-n", evil.name(), "--state-namespace", shop.name()];
    story.run_anywhere(story.testbed().kubeconfig(), &arguments).await?.success()?;
    daemon.until_metrics_say(&["sidecar_drift_stopped{by=\"breaker\"} 0"]).await?;
    ensure!(daemon.terminate().await?.success());
    Ok(())
}
