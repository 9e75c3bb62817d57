//! Injectors that look at who asks, or exclude some (rules R4, R5).

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{ResourceExt as _, api::DeleteParams};
use serde_json::json;
use testbed::{
    TestNamespace, Testbed, eventually,
    injector::Sidecar,
    workload::{bare_pod, deployment},
};

use super::bystanders::BY_URL;
use crate::support::{ACCOUNT, DEADLINE, Daemon, Line, Rights, create_beyond, story};

const WEB: &str = "Deployment/web";
const AS_CONTROLLERS: &str = "--render-as=controllers";

#[tokio::test]
async fn r4_an_injector_that_looks_at_the_caller_is_found_out_or_satisfied() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return testbed::skip("it takes a policy");
    }
    story("caller", Rights::Report, async |story| {
        let ns = &story.ns;
        inject_the_caller(ns).await?;
        ns.deploy(deployment("web", 1)).await?;
        let admin = story.testbed().kubeconfig();

        // In its controller's name everything is as it was.
        let report = story.run_as(admin, &["scan", AS_CONTROLLERS, "--output=json"]).await?.document()?;
        ensure!(report.workload(WEB)?["verdict"] == "in_sync", "{:#}", report.0);

        // Who may not do that says so, and nothing else.
        let report = story.run(&["scan", AS_CONTROLLERS, "--output=json"]).await?.document()?;
        let web = report.workload(WEB)?;
        ensure!(web["verdict"] == "undetermined" && web["reason"] == "forbidden", "{web:#}");
        ensure!(web["message"].as_str().is_some_and(|m| m.contains("cannot impersonate")), "{web:#}");

        // With the right to these controllers alone it can.
        grant_impersonation(ns).await?;
        eventually("the right is in force", DEADLINE, async || {
            let report = story.run(&["scan", AS_CONTROLLERS, "--output=json"]).await?.document()?;
            Ok((report.workload(WEB)?["verdict"] == "in_sync").then_some(()))
        })
        .await?;

        // As ourselves it looks like drift, until a real Pod is born.
        let daemon = story.daemon(&[])?;
        daemon.until_verdict(WEB, "drifted", None).await?;
        be_born(ns, &daemon).await
    })
    .await
}

#[tokio::test]
async fn r5_a_condition_that_excludes_us_never_looks_like_a_removal() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return testbed::skip("it takes a webhook of our own");
    }
    story("excluded", Rights::Report, async |story| {
        let ns = &story.ns;
        let injector = testbed::injector::WebhookInjector::install_with(ns, Sidecar::new("proxy"), BY_URL).await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        let ours = format!("system:serviceaccount:{}:{ACCOUNT}", ns.name());
        let condition = |expression: String| json!([{"name": "who", "expression": expression}]);

        // One that excludes somebody else changes nothing.
        let others = condition("request.userInfo.username != 'somebody-else'".to_owned());
        injector.edit_webhook(|webhook| webhook["matchConditions"] = others).await?;
        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        ensure!(report.workload(WEB)?["verdict"] == "in_sync", "{:#}", report.0);

        // One that excludes us takes the sidecar away from every rendering: never `removed`.
        let us = condition(format!("request.userInfo.username != '{ours}'"));
        injector.edit_webhook(|webhook| webhook["matchConditions"] = us).await?;
        eventually("a rendering is without its sidecar", DEADLINE, async || {
            let report = story.run(&["scan", "--absence=1s", "--output=json"]).await?.document()?;
            let web = report.workload(WEB)?;
            ensure!(web["verdict"] != "removed" && web["verdict"] != "drifted", "{web:#}");
            Ok((web["reason"] == "injector_unavailable").then_some(()))
        })
        .await
    })
    .await
}

/// Pods are created by a real controller while the daemon runs: what they look like is the truth.
async fn be_born(ns: &TestNamespace<'_>, daemon: &Daemon<'_>) -> Result<()> {
    let is_it = |line: &Line| line.text("to") == "undetermined" && line.text("reason") == "dry_run_sensitive";
    eventually("a Pod born meanwhile contradicts its rendering", DEADLINE, async || {
        if daemon.lines()?.iter().any(is_it) {
            return Ok(Some(()));
        }
        for pod in ns.pods_of("Deployment", "web").await? {
            ns.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
        }
        ns.wait_for_rollout("Deployment", "web").await?;
        Ok(None)
    })
    .await
}

/// A policy whose sidecar has the name of whoever creates the Pod among its arguments.
async fn inject_the_caller(ns: &TestNamespace<'_>) -> Result<()> {
    let name = format!("{}-caller", ns.name());
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let patch = r#"[JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{
        name: "proxy", image: "registry.test/proxy:v1", args: ["--caller=" + request.userInfo.username]}}]"#;
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": [rule]},
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    }});
    let group = "admissionregistration.k8s.io";
    create_beyond(ns, group, "MutatingAdmissionPolicy", &name, policy).await?;
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name()}}});
    let binding = json!({"spec": {"policyName": name, "matchResources": here}});
    create_beyond(ns, group, "MutatingAdmissionPolicyBinding", &name, binding).await?;
    eventually("the policy is in force", DEADLINE, async || {
        let pod = ns.dry_run(bare_pod("probe")).await?;
        Ok(pod["spec"]["containers"][1].is_object().then_some(()))
    })
    .await
}

/// The right to act as the controllers that create Pods, and as nobody else.
async fn grant_impersonation(ns: &TestNamespace<'_>) -> Result<()> {
    let name = format!("{}-impersonates", ns.name());
    let controllers = ["replicaset-controller", "statefulset-controller", "daemon-set-controller"];
    let rules = json!({"rules": [{
        "apiGroups": [""], "resources": ["serviceaccounts"], "resourceNames": controllers, "verbs": ["impersonate"],
    }]});
    let group = "rbac.authorization.k8s.io";
    create_beyond(ns, group, "ClusterRole", &name, rules).await?;
    let binding = json!({
        "roleRef": {"apiGroup": group, "kind": "ClusterRole", "name": name},
        "subjects": [{"kind": "ServiceAccount", "name": ACCOUNT, "namespace": ns.name()}],
    });
    create_beyond(ns, group, "ClusterRoleBinding", &name, binding).await
}
