//! Whatever injection depends on is noticed when it changes, and nothing else is.

use anyhow::{Context as _, Result, ensure};
use kube::{
    Api,
    api::{DynamicObject, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    TestNamespace, Testbed, eventually,
    injector::{Sidecar, WebhookInjector},
    workload::{bare_pod, deployment},
};

use crate::support::{ACCOUNT, DEADLINE, Daemon, Rights, Story, create_beyond, resource_of, story};

const MOVED: &str = "something that injection depends on moved";

#[tokio::test]
async fn r11_each_trigger_is_noticed_and_nothing_else() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return testbed::skip("it takes a webhook of our own");
    }
    story("triggers", Rights::Report, async |story| {
        let ns = &story.ns;
        let injector = WebhookInjector::install(ns, Sidecar::new("proxy")).await?;
        let home = injector.home().context("it is behind a Service")?;
        let group = gadgets(ns).await?;
        ns.create(secret("ca", "c2VjcmV0LW9uZQ==")).await?;
        ns.create(json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
            "name": "lock", "annotations": {"control-plane.alpha.kubernetes.io/leader": "{\"renewTime\": 1}"},
        }}))
        .await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        grant(story, &group).await?;
        let named = [
            format!("--trigger=Secret/{}/ca", ns.name()),
            format!("--trigger=gadgets.{group}/{}/one", ns.name()),
            format!("--trigger=ConfigMap/{}/lock", ns.name()),
        ];
        let daemon = story.daemon(&[&["--resync=24h"][..], &named.each_ref().map(String::as_str)].concat())?;
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;

        // None of these means anything.
        injector.renew_certificate().await?;
        let again =
            json!({"metadata": {"annotations": {"control-plane.alpha.kubernetes.io/leader": "{\"renewTime\": 2}"}}});
        patch(ns, "ConfigMap", "lock", &again).await?;
        patch(home, "Service", "injector", &json!({"metadata": {"labels": {"seen": "yes"}}})).await?;
        patch(ns, "Secret", "ca", &json!({"data": {"token": "c2VjcmV0LW9uZQ=="}, "metadata": {"finalizers": []}}))
            .await?;

        // Each of these does.
        patch(ns, "Secret", "ca", &json!({"data": {"token": "c2VjcmV0LXR3bw=="}})).await?;
        moved(&daemon, &format!("Secret {}/ca", ns.name())).await?;
        let gadget: Api<DynamicObject> =
            Api::namespaced_with(ns.client().clone(), ns.name(), &resource_of(&group, "Gadget"));
        let two = Patch::Merge(json!({"spec": {"level": 2}}));
        gadget.patch("one", &PatchParams::default(), &two).await?;
        moved(&daemon, &format!("gadgets.{group} {}/one", ns.name())).await?;
        patch(ns, "ServiceAccount", "default", &json!({"metadata": {"annotations": {"role": "reader"}}})).await?;
        moved(&daemon, &format!("ServiceAccount {}/default", ns.name())).await?;
        ns.set_label(("team", "shop")).await?;
        moved(&daemon, &format!("Namespace {}", ns.name())).await?;
        // For an hour after that was in vain, what lies beside it in the same scope moves nothing: a sample is asked.
        let before = story.marker()?;
        ns.create(json!({"apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {
            "limits": [{"type": "Container", "max": {"memory": "1Gi"}}],
        }}))
        .await?;
        if let Some(before) = before {
            eventually("a sample of what the LimitRange brings", DEADLINE, async || {
                let asked = story.asked(before).await?;
                Ok(asked.iter().any(|entry| entry.verb == "create" && entry.is_dry_run()).then_some(()))
            })
            .await?;
        }
        injector.reconfigure("v2").await?;
        moved(&daemon, &format!("ConfigMap {}/injector", home.name())).await?;
        injector.edit_webhook(|webhook| webhook["timeoutSeconds"] = json!(7)).await?;
        moved(&daemon, &format!("MutatingWebhookConfiguration {}", injector.name())).await?;
        daemon.until_verdict("Deployment/web", "drifted", Some("proxy image v1 → v2")).await?;

        // And nothing but these moved anything. A first move of a ConfigMap may be found twice, by the object and by a sample.
        let allowed = [
            "Secret",
            "gadgets",
            "ServiceAccount",
            "LimitRange",
            "Namespace",
            "ConfigMap",
            "MutatingWebhook",
            "no object",
        ];
        for line in daemon.lines()?.iter().filter(|line| line.is(MOVED)) {
            let cause = line.text("cause");
            // Other tests have injectors of their own.
            if !cause.contains(ns.name()) {
                continue;
            }
            ensure!(allowed.iter().any(|begin| cause.starts_with(begin)), "{cause}");
            ensure!(!cause.contains("/lock"), "the record of a leader election moved something: {cause}");
        }
        let times = |object: &str| {
            let is_it = |cause: &str| cause.starts_with(object) && cause.contains(ns.name());
            let lines = daemon.lines()?;
            anyhow::Ok(lines.iter().filter(|line| line.is(MOVED) && is_it(line.text("cause"))).count())
        };
        ensure!(times("Secret")? == 1, "a Secret that was rewritten as it was moved something");
        ensure!(times("MutatingWebhookConfiguration")? == 1, "a renewed certificate moved something");
        let log = format!("{:?}", daemon.lines()?);
        ensure!(!log.contains("secret-one") && !log.contains("c2VjcmV0"), "the Secret is in the log");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn r11_params_of_a_policy_are_triggers() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return testbed::skip("it takes a policy");
    }
    story("params", Rights::Report, async |story| {
        let ns = &story.ns;
        let settings = |version: &str| {
            json!({
                "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "settings"}, "data": {"version": version},
            })
        };
        ns.create(settings("v1")).await?;
        inject_by_params(ns).await?;
        let image = async |image: &str| {
            eventually(format_args!("{image} is injected"), DEADLINE, async || {
                let pod = ns.dry_run(bare_pod("probe")).await?;
                Ok((pod["spec"]["containers"][1]["image"] == image).then_some(()))
            })
            .await
        };
        image("registry.test/proxy:v1").await?;
        ns.deploy(deployment("web", 1)).await?;
        let daemon = story.daemon(&["--resync=24h"])?;
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;
        patch(ns, "ConfigMap", "settings", &json!({"data": {"version": "v2"}})).await?;
        moved(&daemon, &format!("ConfigMap {}/settings", ns.name())).await?;
        daemon.until_verdict("Deployment/web", "drifted", Some("proxy image v1 → v2")).await?;
        // It may not be read: said, and nothing else is worse for it.
        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        ensure!(report.0["unavailable"] == json!([]), "{:#}", report.0["unavailable"]);
        Ok(())
    })
    .await
}

/// Waits until the daemon names this object as what moved.
async fn moved(daemon: &Daemon<'_>, object: &str) -> Result<()> {
    let is_it = |line: &crate::support::Line| line.is(MOVED) && line.text("cause").starts_with(object);
    daemon.until_it_says(&format!("{object} moved"), is_it).await.map(drop)
}

async fn patch(ns: &TestNamespace<'_>, kind: &str, name: &str, change: &Value) -> Result<()> {
    let api: Api<DynamicObject> = ns.dynamic("", "v1", kind);
    api.patch(name, &PatchParams::default(), &Patch::Merge(change)).await?;
    Ok(())
}

fn secret(name: &str, token: &str) -> Value {
    json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name}, "data": {"token": token}})
}

/// A kind that nobody knew when we were built, with one object. Returns its group.
async fn gadgets(ns: &TestNamespace<'_>) -> Result<String> {
    let group = format!("{}.testbed", ns.name());
    let schema = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let definition = json!({"spec": {
        "group": group,
        "scope": "Namespaced",
        "names": {"plural": "gadgets", "singular": "gadget", "kind": "Gadget", "listKind": "GadgetList"},
        "versions": [{"name": "v1", "served": true, "storage": true, "schema": {"openAPIV3Schema": schema}}],
    }});
    let name = format!("gadgets.{group}");
    create_beyond(ns, "apiextensions.k8s.io", "CustomResourceDefinition", &name, definition).await?;
    let gadget = json!({
        "apiVersion": format!("{group}/v1"), "kind": "Gadget", "metadata": {"name": "one"}, "spec": {"level": 1},
    });
    eventually("gadgets are served", DEADLINE, async || Ok(ns.create(gadget.clone()).await.ok())).await?;
    Ok(group)
}

/// The rights that the chart gives for its value `triggers`: to see these objects and no others.
async fn grant(story: &Story<'_>, group: &str) -> Result<()> {
    let see = |group: &str, resource: &str, name: &str| json!({"apiGroups": [group], "resources": [resource], "resourceNames": [name], "verbs": ["list", "watch"]});
    let rules = [see("", "secrets", "ca"), see(group, "gadgets", "one"), see("", "configmaps", "lock")];
    let rbac = "rbac.authorization.k8s.io/v1";
    let metadata = json!({"name": "triggers"});
    story.ns.create(json!({"apiVersion": rbac, "kind": "Role", "metadata": metadata, "rules": rules})).await?;
    let role = json!({"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": "triggers"});
    let subject = json!({"kind": "ServiceAccount", "name": ACCOUNT, "namespace": story.ns.name()});
    story
        .ns
        .create(json!({
            "apiVersion": rbac, "kind": "RoleBinding", "metadata": metadata, "roleRef": role, "subjects": [subject],
        }))
        .await
        .map(drop)
}

/// A policy whose sidecar has the version that the ConfigMap `settings` says.
async fn inject_by_params(ns: &TestNamespace<'_>) -> Result<()> {
    let name = format!("{}-params", ns.name());
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let patch = r#"[JSONPatch{op: "add", path: "/spec/containers/-", value: Object.spec.containers{
        name: "proxy", image: "registry.test/proxy:" + params.data.version}}]"#;
    let policy = json!({"spec": {
        "paramKind": {"apiVersion": "v1", "kind": "ConfigMap"},
        "matchConstraints": {"resourceRules": [rule]},
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    }});
    let group = "admissionregistration.k8s.io";
    create_beyond(ns, group, "MutatingAdmissionPolicy", &name, policy).await?;
    let here = json!({"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": ns.name()}}});
    let binding = json!({"spec": {
        "policyName": name,
        "paramRef": {"name": "settings", "namespace": ns.name(), "parameterNotFoundAction": "Deny"},
        "matchResources": here,
    }});
    create_beyond(ns, group, "MutatingAdmissionPolicyBinding", &name, binding).await
}
