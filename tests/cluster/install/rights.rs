//! What the chart grants is what the daemon uses: nothing is missing, and nothing is there for nothing.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use kube::api::ListParams;
use serde_json::{Value, json};
use testbed::{
    AuditEntry, Filter, Options, TestNamespace, Testbed, eventually,
    injector::{PolicyInjector, Sidecar, WebhookInjector},
    workload::{daemon_set, deployment, stateful_set},
};

use super::release::{RELEASE, Release, until_guarded};
use crate::support::{DEADLINE, Daemon, run};

const WORKLOADS: [(&str, &str); 4] =
    [("Deployment", "web"), ("StatefulSet", "db"), ("StatefulSet", "by-hand"), ("DaemonSet", "agent")];

/// A verb on a resource, in a namespace or (empty) everywhere.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Right {
    pub(super) namespace: String,
    pub(super) group: String,
    pub(super) resource: String,
    pub(super) verb: String,
}

/// One control plane of its own: a daemon that watches the whole cluster would hear of other tests' injectors.
#[tokio::test]
async fn every_right_is_used_and_none_is_missing() -> Result<()> {
    let testbed = Testbed::start(Options::default()).await?;
    let Some(audit) = testbed.audit() else { return testbed::skip("an existing cluster's audit log cannot be read") };
    let shop = testbed.create_namespace("shop").await?;
    let mut injectors = fleet(&shop).await?;
    for (number, (mode, scoped)) in
        [("report", false), ("enforce", false), ("report", true), ("enforce", true)].into_iter().enumerate()
    {
        let what = format!("mode {mode}, {}", if scoped { "one namespace" } else { "cluster-wide" });
        let ns = testbed.create_namespace(&format!("drift-{number}")).await?;
        let release = Release::install(&ns, &values(&shop, &injectors, mode, scoped)?).await?;
        release.is_rolled_out().await?;
        // In report mode nobody probes.
        if mode == "enforce" {
            until_guarded(&release).await?;
        }
        let since = audit.marker()?;
        let daemon = release.daemon()?;
        let version = format!("v{}", number + 2);
        drift(&mut injectors, &version).await?;
        // The control plane is gone when the error is shown, and with it the log.
        work(&shop, &daemon, mode).await.with_context(|| format!("{what}; its log: {:#?}", daemon.lines()))?;
        if mode == "enforce" {
            // As people do it, by `kubectl exec`.
            for command in [&["pause", "--reason=test"][..], &["resume"]] {
                let here = [command, &["--state-namespace", ns.name()]].concat();
                run(&testbed, release.kubeconfig(), &here).await?.success()?;
            }
            until_said(&shop, "kept", &version, 1).await?;
        }
        assert!(daemon.terminate().await?.success());
        if mode == "enforce" {
            let next = release.daemon()?;
            until_said(&shop, "kept", &version, 2).await?;
            assert!(next.terminate().await?.success());
        }

        let filter = Filter::default().since(since).service_account(ns.name(), RELEASE);
        let asked = audit.entries(&filter).await?;
        let forbidden: Vec<_> = asked.iter().filter(|entry| entry.code == Some(403)).collect();
        assert!(forbidden.is_empty(), "{what}: forbidden: {forbidden:#?}");
        let granted = granted(&release.objects);
        let unused: Vec<_> = granted.iter().filter(|right| !is_used(right, &granted, &asked)).collect();
        assert!(unused.is_empty(), "{what}: granted and never used: {unused:#?}");
        println!("{what}: {} rights, {} requests, all rights used, none missing", granted.len(), asked.len());
        release.uninstall().await?;
        ns.delete().await?;
    }
    testbed.stop().await
}

/// Workloads for all that is done to them, and what injects into their Pods.
pub(super) async fn fleet<'t>(shop: &TestNamespace<'t>) -> Result<(PolicyInjector<'t>, WebhookInjector<'t>)> {
    let policy = PolicyInjector::install(shop, Sidecar::new("policy-proxy")).await?;
    let webhook = WebhookInjector::install(shop, Sidecar::new("hook-proxy")).await?;
    // On a busy machine it would be taken for slow, and left alone.
    webhook.edit_webhook(|webhook| webhook["timeoutSeconds"] = json!(30)).await?;
    tokio::try_join!(
        shop.deploy(deployment("web", 2).pod_label(webhook.label())),
        shop.deploy(stateful_set("db", 2).pod_label(webhook.label())),
        shop.deploy(stateful_set("by-hand", 2).pod_label(policy.label()).with(on_delete)),
        shop.deploy(daemon_set("agent").pod_label(policy.label())),
        // Stays as it is, so that whoever comes next says the same of it.
        shop.deploy(deployment("kept", 1).annotation("sidecar-drift/mode", "report").pod_label(webhook.label())),
    )?;
    Ok((policy, webhook))
}

/// Values of the chart with which all rights are needed.
pub(super) fn values(
    shop: &TestNamespace<'_>,
    injectors: &(PolicyInjector<'_>, WebhookInjector<'_>),
    mode: &str,
    scoped: bool,
) -> Result<Value> {
    let home = injectors.1.home().context("a webhook behind a Service")?.name();
    Ok(json!({
        "mode": mode,
        "namespaces": if scoped { json!([shop.name()]) } else { json!([]) },
        "injectorNamespaces": [home],
        "config": {
            "cooldown": "0s", "daily-cap": 100, "parallel-per-namespace": 3, "max-rollouts-per-hour": "unlimited",
            "include-namespace": [shop.name()], "evict-on-delete": true,
        },
    }))
}

fn on_delete(manifest: &mut Value) {
    manifest["spec"]["updateStrategy"] = json!({ "type": "OnDelete" });
}

pub(super) async fn drift(injectors: &mut (PolicyInjector<'_>, WebhookInjector<'_>), version: &str) -> Result<()> {
    injectors.0.set_version(version).await?;
    injectors.1.reconfigure(version).await
}

/// Waits until it has found all that drifted, and in enforce mode until it has mended it.
async fn work(shop: &TestNamespace<'_>, daemon: &Daemon<'_>, mode: &str) -> Result<()> {
    for (kind, name) in WORKLOADS {
        let workload = format!("{kind}/{name}");
        if mode == "report" {
            daemon.until_verdict(&workload, "drifted", None).await?;
        } else {
            let ended = daemon.until_it_ends_a_rollout_of(kind, name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{workload}: {ended:?}");
            shop.wait_for_rollout(kind, name).await?;
        }
    }
    Ok(())
}

/// Waits until the Event that a workload has drifted to this version has been written so often.
async fn until_said(shop: &TestNamespace<'_>, name: &str, version: &str, times: u64) -> Result<()> {
    let events = shop.dynamic("events.k8s.io", "v1", "Event");
    eventually(format_args!("{name} has drifted to {version}, said {times} times"), DEADLINE, async || {
        let all = events.list(&ListParams::default()).await?;
        let said = all.into_iter().map(|event| event.data).find(|event| {
            let note = event["note"].as_str().unwrap_or_default();
            event["regarding"]["name"] == name && event["reason"] == "DriftDetected" && note.ends_with(version)
        });
        let count = said.map(|event| event["series"]["count"].as_u64().unwrap_or(1));
        Ok((count == Some(times)).then_some(()))
    })
    .await
}

pub(super) fn roles(objects: &[Value]) -> impl Iterator<Item = &Value> {
    objects.iter().filter(|object| matches!(object["kind"].as_str(), Some("Role" | "ClusterRole")))
}

/// Every right that a Role grants, each with a rule that grants it alone.
pub(super) fn each(role: &Value) -> Vec<(Right, Value)> {
    let list = |rule: &Value, field: &str| -> Vec<String> {
        let items = rule[field].as_array().into_iter().flatten();
        items.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let namespace = role["metadata"]["namespace"].as_str().unwrap_or_default();
    let mut each = Vec::new();
    for rule in role["rules"].as_array().into_iter().flatten() {
        for group in list(rule, "apiGroups") {
            for resource in list(rule, "resources") {
                for verb in list(rule, "verbs") {
                    let mut alone = rule.clone();
                    alone["apiGroups"] = json!([group]);
                    alone["resources"] = json!([resource]);
                    alone["verbs"] = json!([verb]);
                    let (namespace, group, resource) = (namespace.to_owned(), group.clone(), resource.clone());
                    each.push((Right { namespace, group, resource, verb }, alone));
                }
            }
        }
    }
    each
}

/// Every right that the rendered Roles grant, one by one.
pub(super) fn granted(objects: &[Value]) -> BTreeSet<Right> {
    roles(objects).flat_map(each).map(|(right, _)| right).collect()
}

/// As a Role names it: `pods/eviction`.
fn resource(entry: &AuditEntry) -> String {
    match entry.subresource.as_str() {
        "" => entry.resource.clone(),
        part => format!("{}/{part}", entry.resource),
    }
}

/// A `list` goes with its `watch`: it is how a watch begins on API servers that do not send the list within the watch.
pub(super) fn is_used(right: &Right, granted: &BTreeSet<Right>, asked: &[AuditEntry]) -> bool {
    let watch = Right { verb: "watch".to_owned(), ..right.clone() };
    if right.verb == "list" && granted.contains(&watch) {
        return is_used(&watch, granted, asked);
    }
    asked.iter().any(|entry| {
        entry.verb == right.verb
            && entry.api_group == right.group
            && resource(entry) == right.resource
            && (right.namespace.is_empty() || right.namespace == entry.namespace)
    })
}
