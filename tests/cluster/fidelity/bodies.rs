//! What we send for a Pod is what its controller sends.

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{
    Testbed,
    injector::{Review, Sidecar, WebhookInjector},
    workload::{daemon_set, deployment, stateful_set},
};

use super::bystanders::BY_URL;
use crate::support::{ACCOUNT, Rights, story};

/// Without the right to hold up the deletion of owners, and with it.
#[tokio::test]
async fn r2_the_bodies_are_those_of_the_real_controllers() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return testbed::skip("it takes a webhook of our own, which sees what is sent");
    }
    story("bodies", Rights::Report, async |story| {
        let ns = &story.ns;
        let injector = WebhookInjector::install_with(ns, Sidecar::new("proxy"), BY_URL).await?;
        let finalizer = |manifest: &mut Value| {
            manifest["spec"]["template"]["metadata"]["annotations"] = json!({"example.com/note": "kept"});
        };
        let claims = |manifest: &mut Value| {
            let claim = json!({"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Mi"}}});
            manifest["spec"]["volumeClaimTemplates"] = json!([{"metadata": {"name": "data"}, "spec": claim}]);
        };
        let label = || injector.label();
        tokio::try_join!(
            ns.deploy(deployment("web", 1).pod_label(label()).with(finalizer)),
            ns.create(stateful_set("db", 2).pod_label(label()).with(claims)),
            ns.deploy(daemon_set("agent").pod_label(label())),
        )?;
        let set_is_asked = || injector.reviews().iter().any(|r| !r.dry_run && r.pod == "db-1");
        testbed::eventually("the set's Pods are created", crate::support::DEADLINE, async || {
            Ok(set_is_asked().then_some(()))
        })
        .await?;

        let us = format!("system:serviceaccount:{}:{ACCOUNT}", ns.name());
        for (who, user, blocks) in [
            (story.kubeconfig(), us.as_str(), false),
            // An administrator may hold up anybody's deletion, as controllers may.
            (story.testbed().kubeconfig(), "", true),
        ] {
            let before = injector.reviews().len();
            story.run_as(who, &["scan", "--output=json"]).await?.document()?;
            let reviews = injector.reviews();
            let asked: Vec<&Review> = reviews.iter().skip(before).filter(|r| r.dry_run).collect();
            for begin in ["web-", "db-", "agent-"] {
                let of = |r: &&&Review| r.pod.starts_with(begin) && r.namespace == ns.name();
                let ours = asked.iter().find(of).with_context(|| format!("{begin} was not asked for"))?;
                ensure!(user.is_empty() || ours.user == user, "{} asked", ours.user);
                // Of a set the first one: its claims are those that we name.
                let theirs = reviews.iter().find(|r| !r.dry_run && of(&r) && !r.pod.ends_with("-1"));
                let theirs = theirs.with_context(|| format!("no controller created {begin}"))?;
                let (ours, theirs) = (comparable(&ours.object, true), comparable(&theirs.object, blocks));
                ensure!(ours == theirs, "{begin}: we send {ours:#}, the controller sends {theirs:#}");
            }
        }
        Ok(())
    })
    .await
}

/// Without what is another thing for each Pod, and without what we leave out and say so.
fn comparable(pod: &Value, blocks: bool) -> Value {
    let mut pod = pod.clone();
    if let Some(meta) = pod["metadata"].as_object_mut() {
        for drawn in ["name", "uid", "creationTimestamp", "managedFields"] {
            meta.remove(drawn);
        }
    }
    for label in ["statefulset.kubernetes.io/pod-name", "apps.kubernetes.io/pod-index"] {
        if pod["metadata"]["labels"][label].is_string() {
            pod["metadata"]["labels"][label] = json!("…");
        }
    }
    if !blocks && let Some(owner) = pod["metadata"]["ownerReferences"][0].as_object_mut() {
        owner.remove("blockOwnerDeletion");
    }
    if pod["spec"]["hostname"].is_string() {
        pod["spec"]["hostname"] = json!("…");
    }
    let required = "/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution";
    if let Some(node) = pod.pointer_mut(&format!("{required}/nodeSelectorTerms/0/matchFields/0/values/0")) {
        *node = json!("…");
    }
    let text = pod.to_string();
    let token =
        |name: &str| name.strip_prefix("kube-api-access-").filter(|suffix| suffix.len() == 5).map(str::to_owned);
    let volumes = pod["spec"]["volumes"].as_array().cloned().unwrap_or_default();
    let drawn = volumes.iter().find_map(|volume| token(volume["name"].as_str()?));
    let text =
        drawn.map_or(text.clone(), |suffix| text.replace(&format!("kube-api-access-{suffix}"), "kube-api-access-…"));
    serde_json::from_str(&text).unwrap_or_default()
}
