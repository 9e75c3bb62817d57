//! What an upgrade would change is known before it is made.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::{
    TestNamespace, Testbed, eventually,
    injector::{PolicyInjector, Selection, Sidecar},
    workload::{bare_pod, daemon_set, deployment, stateful_set},
};

use crate::support::{DEADLINE, Document, INJECT, Rights, Story, create_beyond, story};

const KINDS: [(&str, &str); 5] = [
    ("Deployment", "web"),
    ("StatefulSet", "db"),
    ("DaemonSet", "agent"),
    ("Deployment", "own"),
    ("Deployment", "legacy"),
];

#[tokio::test]
async fn what_if_of_a_new_revision_equals_the_verdicts_after_the_change() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return testbed::skip("it takes a policy");
    }
    story("what-if", Rights::Report, async |story| {
        let ns = &story.ns;
        // As a revision of a mesh: namespaces say by their label which one they want.
        let next = ns.create_companion("next").await?;
        let stable = name_of_an_injector(ns);
        ns.set_label((INJECT, stable)).await?;
        next.set_label((INJECT, name_of_an_injector(&next))).await?;
        let _stable = PolicyInjector::install_for(ns, Selection::LabelledNamespaces, Sidecar::new("proxy")).await?;
        let upgraded = Sidecar::new("proxy").version("v2").env("MODE", "ambient");
        let canary = PolicyInjector::install_for(&next, Selection::LabelledNamespaces, upgraded).await?;
        deploy_one_of_each(ns).await?;
        refuse(&next, "legacy").await?;

        let before = scan(story, &[]).await?;
        ensure!(before.0.get("whatIf").is_none(), "{:#}", before.0["whatIf"]);
        for (kind, name) in KINDS {
            let expected = if name == "own" { "not_injected" } else { "in_sync" };
            ensure!(before.workload(&format!("{kind}/{name}"))?["verdict"] == expected, "{:#}", before.0);
        }
        let supposed = scan(story, &["--what-if-namespace", next.name()]).await?;
        ensure!(supposed.0["whatIf"] == json!({"namespace": next.name()}), "{:#}", supposed.0["whatIf"]);

        // And now it is really made.
        ns.set_label((INJECT, canary.name())).await?;
        eventually("the namespace has its new revision", DEADLINE, async || {
            let pod = ns.dry_run(bare_pod("probe")).await?;
            let legacy = ns.dry_run(bare_pod("legacy")).await;
            Ok((canary.sidecar().is_in(&pod) && legacy.is_err()).then_some(()))
        })
        .await?;
        let after = scan(story, &[]).await?;
        for (kind, name) in KINDS {
            let id = format!("{kind}/{name}");
            let (before, after) = (supposed.workload(&id)?, after.workload(&id)?);
            for field in ["verdict", "reason", "change", "differences", "sidecars", "pods", "podsDiffering"] {
                ensure!(before[field] == after[field], "{id}: {field}: {} and {}", before[field], after[field]);
            }
            ensure!(pointers(before) == pointers(after), "{id}: {before:#} and {after:#}");
        }
        let verdicts = KINDS.map(|(kind, name)| after.workload(&format!("{kind}/{name}")).map(|w| &w["verdict"]));
        let verdicts = verdicts.into_iter().collect::<Result<Vec<_>>>()?;
        ensure!(verdicts == ["drifted", "drifted", "drifted", "not_injected", "rejected"], "{verdicts:?}");
        untouched(ns).await
    })
    .await
}

#[tokio::test]
async fn what_if_of_a_label_and_an_annotation_equals_the_verdicts_after_an_upgrade() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return testbed::skip("it takes a policy");
    }
    story("what-if-label", Rights::Report, async |story| {
        let ns = &story.ns;
        let next = ns.create_companion("next").await?;
        let mut stable = PolicyInjector::install(ns, Sidecar::new("proxy")).await?;
        let canary = PolicyInjector::install(&next, Sidecar::new("proxy").version("v2")).await?;
        tokio::try_join!(
            ns.deploy(deployment("web", 2).pod_label(stable.label())),
            ns.deploy(stateful_set("db", 1).pod_label(stable.label())),
        )?;
        let (key, value) = canary.label();
        let label = format!("--what-if-label={key}={value}");
        let supposed = scan(story, &[&label, "--what-if-annotation=example.com/asked=yes"]).await?;
        stable.set_version("v2").await?;
        let after = scan(story, &[]).await?;
        for id in ["Deployment/web", "StatefulSet/db"] {
            let (before, after) = (supposed.workload(id)?, after.workload(id)?);
            ensure!(before["verdict"] == "drifted" && after["verdict"] == "drifted", "{before:#} {after:#}");
            ensure!(before["change"] == after["change"], "{before:#} {after:#}");
        }
        let nowhere = ["scan", "--what-if-namespace=there-is-none"];
        let wrong = story.run_as(story.testbed().kubeconfig(), &nowhere).await?;
        ensure!(!wrong.status.success() && wrong.err.contains("there is no namespace `there-is-none`"), "{wrong:?}");
        Ok(())
    })
    .await
}

/// The scan of a person, who may see all namespaces.
async fn scan(story: &Story<'_>, arguments: &[&str]) -> Result<Document> {
    let always = ["scan", "--output=json"];
    let document = story.run_as(story.testbed().kubeconfig(), &[&always, arguments].concat()).await?.document()?;
    ensure!(document.0["complete"] == true, "{:#}", document.0);
    Ok(document)
}

/// What differs, without the values, which are masked.
fn pointers(workload: &Value) -> Vec<String> {
    let groups = workload["groups"].as_array().into_iter().flatten();
    let sidecars = groups.flat_map(|group| group["sidecars"].as_array().into_iter().flatten());
    let fields = sidecars.flat_map(|sidecar| sidecar["fields"].as_array().into_iter().flatten());
    fields.map(|field| field["pointer"].to_string()).collect()
}

async fn deploy_one_of_each(ns: &TestNamespace<'_>) -> Result<()> {
    // It brings its own sidecar of that name, so none is injected.
    let own = deployment("own", 1).with(|manifest| {
        let containers = manifest["spec"]["template"]["spec"]["containers"].as_array_mut();
        if let Some(list) = containers {
            list.push(json!({"name": "proxy", "image": "registry.test/own:1"}));
        }
    });
    tokio::try_join!(
        ns.deploy(deployment("web", 2)),
        ns.deploy(stateful_set("db", 2)),
        ns.deploy(daemon_set("agent")),
        ns.deploy(own),
        ns.deploy(deployment("legacy", 1)),
    )?;
    Ok(())
}

/// Where that revision is used, Pods of this app are refused.
async fn refuse(next: &TestNamespace<'_>, app: &str) -> Result<()> {
    let name = format!("{}-refuses", next.name());
    let group = "admissionregistration.k8s.io";
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let expression = format!("object.metadata.labels.app != '{app}'");
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": [rule]},
        "validations": [{"expression": expression, "message": "no legacy with the new revision"}],
    }});
    create_beyond(next, group, "ValidatingAdmissionPolicy", &name, policy).await?;
    let label = json!({"matchLabels": {INJECT: name_of_an_injector(next)}});
    let binding = json!({"spec": {
        "policyName": name, "validationActions": ["Deny"], "matchResources": {"namespaceSelector": label},
    }});
    create_beyond(next, group, "ValidatingAdmissionPolicyBinding", &name, binding).await?;
    eventually("the policy is in force", DEADLINE, async || {
        Ok(next.dry_run(bare_pod(app)).await.is_err().then_some(()))
    })
    .await
}

/// As the testbed calls them.
fn name_of_an_injector(ns: &TestNamespace<'_>) -> String {
    format!("{}-proxy", ns.name())
}

/// A scan only looks, whatever it supposes.
async fn untouched(ns: &TestNamespace<'_>) -> Result<()> {
    for (kind, name) in KINDS {
        let revisions = ns.revisions_of(kind, name).await?;
        ensure!(revisions.len() == 1, "{kind} {name} was touched: {revisions:#?}");
    }
    Ok(())
}
