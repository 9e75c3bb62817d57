//! The ServiceAccount of a daemon that watches one namespace, with the least that it needs.

use std::path::PathBuf;

use anyhow::Result;
use k8s_openapi::api::{
    authorization::v1::SubjectAccessReview,
    rbac::v1::{ClusterRole, ClusterRoleBinding},
};
use kube::api::{Api, PostParams};
use serde_json::{Value, json};
use testbed::{TestNamespace, eventually};

use super::DEADLINE;

/// What a ServiceAccount may do in the namespace of its test.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Rights {
    /// Nothing.
    None,
    /// Look, but create no Pod, not even as a dry run.
    Look,
    /// Look, and create Pods; RBAC cannot say "as a dry run only".
    Report,
    /// And put stamps on workloads, and keep the state ConfigMap.
    Enforce,
    /// And evict Pods.
    Evict,
}

/// Another name for a Lease that they may have, as of a release that is not called `sidecar-drift`.
pub(crate) const RELEASE: &str = "drift-two";

const WORKLOADS: [&str; 3] = ["deployments", "statefulsets", "daemonsets"];

/// Creates the ServiceAccount, grants it its rights, waits until they hold, and returns a kubeconfig.
pub(crate) async fn create(ns: &TestNamespace<'_>, name: &str, rights: Rights) -> Result<PathBuf> {
    let kubeconfig = ns.service_account(name).await?;
    if rights == Rights::None {
        return Ok(kubeconfig);
    }
    let subjects = json!([{"kind": "ServiceAccount", "name": name, "namespace": ns.name()}]);
    let group = "rbac.authorization.k8s.io";

    // What injection depends on is not in the namespace.
    let cluster_wide = format!("{}-{name}", ns.name());
    let owner = json!([ns.as_owner()]);
    let params = PostParams::default();
    let role: ClusterRole = serde_json::from_value(json!({
        "metadata": {"name": cluster_wide, "ownerReferences": owner},
        "rules": cluster_rules(),
    }))?;
    Api::all(ns.client().clone()).create(&params, &role).await?;
    let binding: ClusterRoleBinding = serde_json::from_value(json!({
        "metadata": {"name": cluster_wide, "ownerReferences": owner},
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": cluster_wide},
        "subjects": subjects,
    }))?;
    Api::all(ns.client().clone()).create(&params, &binding).await?;

    let api_version = "rbac.authorization.k8s.io/v1";
    ns.create(json!({
        "apiVersion": api_version,
        "kind": "Role",
        "metadata": {"name": name},
        "rules": namespace_rules(rights),
    }))
    .await?;
    ns.create(json!({
        "apiVersion": api_version,
        "kind": "RoleBinding",
        "metadata": {"name": name},
        "roleRef": {"apiGroup": group, "kind": "Role", "name": name},
        "subjects": subjects,
    }))
    .await?;

    let user = format!("system:serviceaccount:{}:{name}", ns.name());
    until_it_may(ns, &user, json!({"verb": "watch", "resource": "namespaces"}), true).await?;
    until_it_may(ns, &user, json!({"verb": "list", "resource": "pods", "namespace": ns.name()}), true).await?;
    Ok(kubeconfig)
}

fn cluster_rules() -> Value {
    let look = ["list", "watch"];
    json!([
        {"apiGroups": [""], "resources": ["namespaces", "nodes"], "verbs": look},
        {
            "apiGroups": ["admissionregistration.k8s.io"],
            "resources":
                ["mutatingwebhookconfigurations", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"],
            "verbs": look,
        },
        // What backs an injector, wherever that is.
        {"apiGroups": [""], "resources": ["configmaps", "services"], "verbs": look},
        {"apiGroups": ["discovery.k8s.io"], "resources": ["endpointslices"], "verbs": look},
        {"apiGroups": ["apps"], "resources": ["deployments"], "verbs": look},
    ])
}

fn namespace_rules(rights: Rights) -> Value {
    let read = ["get", "list", "watch"];
    let mut rules = vec![
        json!({
            "apiGroups": [""],
            "resources": ["pods", "serviceaccounts", "limitranges"],
            "verbs": ["list", "watch"],
        }),
        json!({"apiGroups": ["policy"], "resources": ["poddisruptionbudgets"], "verbs": ["list", "watch"]}),
        json!({"apiGroups": ["apps"], "resources": WORKLOADS, "verbs": read}),
        json!({"apiGroups": ["apps"], "resources": ["replicasets", "controllerrevisions"], "verbs": read}),
        json!({"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": read}),
        json!({"apiGroups": ["apps.kruise.io"], "resources": ["clonesets", "statefulsets"], "verbs": read}),
    ];
    if rights >= Rights::Report {
        rules.push(json!({"apiGroups": [""], "resources": ["pods"], "verbs": ["create"]}));
    }
    if rights == Rights::Evict {
        rules.push(json!({"apiGroups": [""], "resources": ["pods/eviction"], "verbs": ["create"]}));
    }
    if rights >= Rights::Enforce {
        rules.push(json!({"apiGroups": ["apps"], "resources": WORKLOADS, "verbs": ["patch"]}));
        rules.push(json!({"apiGroups": ["argoproj.io"], "resources": ["rollouts"], "verbs": ["patch"]}));
        rules.push(
            json!({"apiGroups": ["apps.kruise.io"], "resources": ["clonesets", "statefulsets"], "verbs": ["patch"]}),
        );
        rules.push(json!({
            "apiGroups": [""],
            "resources": ["configmaps"],
            "resourceNames": ["sidecar-drift-state"],
            "verbs": ["get", "list", "watch", "patch"],
        }));
        let verbs = ["create", "patch"];
        rules.push(json!({"apiGroups": ["events.k8s.io"], "resources": ["events"], "verbs": verbs}));
        // A Lease that does not exist has no name, yet.
        let group = ["coordination.k8s.io"];
        rules.push(json!({"apiGroups": group, "resources": ["leases"], "verbs": ["create"]}));
        rules.push(json!({
            "apiGroups": group,
            "resources": ["leases"],
            "resourceNames": ["sidecar-drift", RELEASE],
            "verbs": ["get", "patch"],
        }));
    }
    Value::Array(rules)
}

/// The API server learns of new rights by a watch of its own, a moment later.
pub(crate) async fn until_it_may(ns: &TestNamespace<'_>, user: &str, what: Value, may: bool) -> Result<()> {
    let review: SubjectAccessReview =
        serde_json::from_value(json!({"spec": {"user": user, "resourceAttributes": what}}))?;
    let reviews: Api<SubjectAccessReview> = Api::all(ns.client().clone());
    eventually(format_args!("{user} may do this, {may}: {what}"), DEADLINE, async || {
        let answer = reviews.create(&PostParams::default(), &review).await?;
        Ok(answer.status.is_some_and(|status| status.allowed == may).then_some(()))
    })
    .await
}
