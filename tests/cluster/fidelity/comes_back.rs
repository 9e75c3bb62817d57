//! "Would it come back?": what a scan says of a workload is what its controller is told when the Pod is gone.

use anyhow::{Result, ensure};
use futures::future::try_join_all;
use k8s_openapi::api::core::v1::{Event, Pod};
use kube::{
    Api, ResourceExt as _,
    api::{DeleteParams, DynamicObject, ListParams},
};
use serde_json::{Value, json};
use testbed::{
    TestNamespace, Testbed, eventually,
    injector::{Failure, Sidecar, WebhookInjector, WebhookOptions},
    workload::{Workload, daemon_set, deployment, stateful_set},
};

use super::bystanders::BY_URL;
use crate::support::{DEADLINE, Rights, create_beyond, resource_of, story};

/// Each is refused for a reason of its own, by its name, after it was deployed.
const REFUSED: [(&str, &str, &str); 9] = [
    ("Deployment", "by-policy", "no more of these"),
    ("StatefulSet", "set-by-policy", "no more of these"),
    ("DaemonSet", "agent-by-policy", "no more of these"),
    ("Deployment", "by-pod-security", "violates PodSecurity"),
    ("Deployment", "by-account", "error looking up service account"),
    ("Deployment", "by-priority", "no PriorityClass with name"),
    ("Deployment", "by-limits", "maximum memory usage per Container"),
    ("Deployment", "by-quota", "exceeded quota"),
    ("Deployment", "by-webhook", "denied the request"),
];

#[tokio::test]
async fn r6_for_each_cause_of_rejected_the_controller_is_told_the_same() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return testbed::skip("it takes a webhook of our own");
    }
    story("comes-back", Rights::Report, async |story| {
        let ns = &story.ns;
        let denying = WebhookOptions { ignore_failures: false, ..BY_URL };
        let webhook = WebhookInjector::install_with(ns, Sidecar::new("proxy"), denying).await?;
        let priority = format!("{}-priority", ns.name());
        let limited_by_quota = format!("{priority}-limited");
        for class in [&priority, &limited_by_quota] {
            create_beyond(ns, "scheduling.k8s.io", "PriorityClass", class, json!({"value": 7})).await?;
        }
        ns.create(json!({"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": "short-lived"}})).await?;
        let workloads = [
            deployment("by-policy", 1),
            stateful_set("set-by-policy", 1),
            daemon_set("agent-by-policy"),
            in_spec(deployment("by-pod-security", 1), "hostNetwork", json!(true)),
            in_spec(deployment("by-account", 1), "serviceAccountName", json!("short-lived")),
            in_spec(deployment("by-priority", 1), "priorityClassName", json!(priority)),
            limited(deployment("by-limits", 1), "64Mi"),
            in_spec(limited(deployment("by-quota", 1), "16Mi"), "priorityClassName", json!(limited_by_quota)),
            deployment("by-webhook", 1).pod_label(webhook.label()),
            deployment("comes-back", 1),
            deployment("sleeps", 0),
            in_spec(deployment("sleeps-for-good", 0), "priorityClassName", json!(format!("{priority}-none"))),
        ];
        try_join_all(workloads.into_iter().map(|workload| ns.deploy(workload))).await?;

        // Nothing of it happens to what runs already.
        let label = ("pod-security.kubernetes.io/enforce", "baseline");
        refuse_by_name(ns).await?;
        ns.set_label(label).await?;
        ns.dynamic("", "v1", "ServiceAccount").delete("short-lived", &DeleteParams::default()).await?;
        let classes: Api<DynamicObject> = Api::all_with(ns.client().clone(), &resource_of("scheduling.k8s.io", "PriorityClass"));
        classes.delete(&priority, &DeleteParams::default()).await?;
        let limits = json!([{"type": "Container", "max": {"memory": "32Mi"}, "default": {"memory": "8Mi"}, "defaultRequest": {"memory": "8Mi"}}]);
        ns.create(json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": limits},
        }))
        .await?;
        // Too small for even one Pod.
        let of_this_class =
            json!([{"scopeName": "PriorityClass", "operator": "In", "values": [limited_by_quota]}]);
        ns.create(json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "quota"},
            "spec": {"hard": {"limits.memory": "12Mi"}, "scopeSelector": {"matchExpressions": of_this_class}},
        }))
        .await?;
        webhook.set(|knobs| knobs.failure = Some(Failure::Denied));
        until_all_are_refused(ns, &webhook.label(), [&priority, &limited_by_quota]).await?;

        let report = story.run(&["scan", "--all-workloads", "--output=json"]).await?.document()?;
        let found = |name: &str| report.workload(name);
        ensure!(found("Deployment/comes-back")?["verdict"] == "not_injected", "{:#}", report.0);
        ensure!(found("Deployment/sleeps")?["verdict"] == "no_pods", "{:#}", report.0);
        let sleeps = found("Deployment/sleeps-for-good")?;
        ensure!(sleeps["verdict"] == "rejected" && sleeps["pods"] == 0, "{sleeps:#}");
        for (kind, name, words) in REFUSED {
            let found = found(&format!("{kind}/{name}"))?;
            let message = found["message"].as_str().unwrap_or_default();
            ensure!(found["verdict"] == "rejected" && message.contains(words), "{found:#}");
        }

        // Without the flag nothing is said of those that have no Pods.
        let plain = story.run(&["scan", "--output=json"]).await?.document()?;
        ensure!(plain.workload("Deployment/sleeps-for-good")?["verdict"] == "no_pods", "{:#}", plain.0);

        for (kind, name, _) in REFUSED {
            for pod in ns.pods_of(kind, name).await? {
                ns.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
            }
        }
        for (kind, name, _) in REFUSED {
            let said = found(&format!("{kind}/{name}"))?["message"].as_str().unwrap_or_default();
            eventually(format_args!("the controller of {name} is told: {said}"), DEADLINE, async || {
                let told = failures_to_create(ns, name).await?;
                Ok(told.iter().any(|told| without_name(told, name).ends_with(&without_name(said, name))).then_some(()))
            })
            .await?;
        }
        Ok(())
    })
    .await
}

fn in_spec(workload: Workload, field: &str, value: Value) -> Workload {
    workload.with(|manifest| manifest["spec"]["template"]["spec"][field] = value)
}

fn limited(workload: Workload, memory: &str) -> Workload {
    let limits = json!({"limits": {"memory": memory}, "requests": {"memory": memory}});
    workload.with(|manifest| manifest["spec"]["template"]["spec"]["containers"][0]["resources"] = limits)
}

async fn refuse_by_name(ns: &TestNamespace<'_>) -> Result<()> {
    let name = format!("{}-refuses", ns.name());
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let expression = "!object.metadata.labels.app.endsWith('by-policy')";
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": "no more of these"}],
    }});
    let group = "admissionregistration.k8s.io";
    create_beyond(ns, group, "ValidatingAdmissionPolicy", &name, policy).await?;
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name()}}});
    let binding = json!({"spec": {"policyName": name, "validationActions": ["Deny"], "matchResources": here}});
    create_beyond(ns, group, "ValidatingAdmissionPolicyBinding", &name, binding).await
}

/// What was changed is in force a moment later.
async fn until_all_are_refused(
    ns: &TestNamespace<'_>,
    asks: &(&'static str, String),
    [priority, limited]: [&str; 2],
) -> Result<()> {
    let probe = |app: &str| testbed::workload::bare_pod(app);
    let probes = [
        probe("probe-by-policy"),
        probe("host").with(|pod| pod["spec"]["hostNetwork"] = json!(true)),
        probe("account").with(|pod| pod["spec"]["serviceAccountName"] = json!("short-lived")),
        probe("priority").with(|pod| pod["spec"]["priorityClassName"] = json!(priority)),
        probe("large").with(|pod| pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "64Mi"}})),
        probe("quota").with(|pod| {
            pod["spec"]["priorityClassName"] = json!(limited);
            pod["spec"]["containers"][0]["resources"] = json!({"limits": {"memory": "16Mi"}});
        }),
        probe("webhook").pod_label(asks.clone()),
    ];
    for probe in probes {
        eventually(format_args!("{probe:?} is refused"), DEADLINE, async || {
            Ok(ns.dry_run(probe.clone()).await.is_err().then_some(()))
        })
        .await?;
    }
    Ok(())
}

/// What the controllers were told about Pods of this workload.
async fn failures_to_create(ns: &TestNamespace<'_>, name: &str) -> Result<Vec<String>> {
    let events = ns.api::<Event>().list(&ListParams::default().fields("reason=FailedCreate")).await?;
    let about = |event: &Event| event.involved_object.name.as_deref().is_some_and(|object| object.starts_with(name));
    Ok(events.into_iter().filter(about).filter_map(|event| event.message).collect())
}

/// Without what is another thing when the Pod is gone: its name, and how much of a quota is used.
fn without_name(message: &str, name: &str) -> String {
    let message = message.split(", used: ").next().unwrap_or_default();
    let mut parts = message.split('"');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str(if part.starts_with(name) { "…" } else { part });
    }
    text
}
