//! What people did by hand, and what is not ours to roll: reported, held, never touched.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{
    TestNamespace, Testbed, eventually,
    injector::{PolicyInjector, Sidecar},
    workload::{bare_pod, deployment, job, stateful_set},
};

use crate::support::{DEADLINE, INJECT, Injector, Rights, create_beyond, story};

#[tokio::test]
async fn c9_an_image_set_on_a_live_pod_is_reported_and_held() -> Result<()> {
    story("by-hand", Rights::Report, async |story| {
        let ns = &story.ns;
        let injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        let pods = ns.pods_of("Deployment", "web").await?;
        let name = pods.first().context("no Pod")?.name_any();
        // `kubectl set image pod/… proxy=…`
        let image = json!({"spec": {"containers": [{"name": "proxy", "image": "registry.test/proxy:hotfix"}]}});
        let by_hand = PatchParams { field_manager: Some("kubectl-set".to_owned()), ..PatchParams::default() };
        ns.api::<Pod>().patch(&name, &by_hand, &Patch::Strategic(image)).await?;
        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        let web = report.workload("Deployment/web")?;
        ensure!(web["verdict"] == "drifted" && web["differences"] == json!(["mutated_live"]), "{web:#}");
        ensure!(web["gateInEnforce"] == "difference_not_enabled", "{web:#}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn c12_what_we_cannot_or_may_not_roll_is_reported_and_held() -> Result<()> {
    story("not-ours", Rights::Report, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let label = || injector.label();
        let on_delete = |manifest: &mut Value| manifest["spec"]["updateStrategy"] = json!({"type": "OnDelete"});
        tokio::try_join!(
            ns.deploy(deployment("web", 1).pod_label(label())),
            ns.deploy(deployment("paused", 1).pod_label(label())),
            ns.deploy(stateful_set("by-deletion", 1).pod_label(label()).with(on_delete)),
            ns.deploy(job("batch").pod_label(label())),
            ns.deploy(bare_pod("lonely").pod_label(label())),
        )?;
        let paused = Patch::Merge(json!({"spec": {"paused": true}}));
        ns.workloads("Deployment")?.patch("paused", &PatchParams::default(), &paused).await?;
        injector.set_version("v2").await?;
        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        for (id, verdict, gate) in [
            ("Deployment/paused", "drifted", "workload_paused"),
            ("StatefulSet/by-deletion", "drifted", "on_delete"),
            ("Job/batch", "undetermined", "unsupported_owner"),
            ("Pod/lonely", "undetermined", "unsupported_owner"),
        ] {
            let found = report.workload(id)?;
            ensure!(found["verdict"] == verdict && found["gateInEnforce"] == gate, "{id}: {found:#}");
        }
        // The twin: the one that nothing holds but the mode and the pace.
        let web = report.workload("Deployment/web")?;
        ensure!(web["verdict"] == "drifted" && web["gate"] == "report_only", "{web:#}");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn c14_a_pinned_app_image_holds_the_workload_until_it_is_allowed() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return testbed::skip("it takes a policy");
    }
    story("collateral", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = PolicyInjector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        story.create_state().await?;
        injector.set_version("v2").await?;
        pin(ns, injector.name()).await?;

        let report = story.run(&["scan", "--output=json"]).await?.document()?;
        let web = report.workload("Deployment/web")?;
        let collateral = &web["groups"][0]["collateral"][0]["pointer"];
        ensure!(web["verdict"] == "drifted" && collateral == "/app/image", "{web:#}");
        ensure!(web["sidecars"] == json!(["proxy"]), "a pinned image made a sidecar of the app: {web:#}");
        ensure!(web["gateInEnforce"] == "collateral_change", "{web:#}");

        let held = story.run(&["rollout", "--confirm", "--output=json"]).await?.document()?;
        ensure!(held.0["rollouts"] == json!([]), "{:#}", held.0);
        let rolled = story.run(&["rollout", "--confirm", "--allow-collateral", "--output=json"]).await?.document()?;
        ensure!(rolled.0["rollouts"][0]["outcome"] == "converged", "{:#}", rolled.0);
        Ok(())
    })
    .await
}

/// A policy that pins the app's image to a digest, as a supply chain's admission does.
async fn pin(ns: &TestNamespace<'_>, injector: &str) -> Result<()> {
    let name = format!("{}-pins", ns.name());
    let rule = json!({"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]});
    let pinned = format!("registry.test/app@sha256:{}", "0".repeat(64));
    let patch = format!(r#"[JSONPatch{{op: "replace", path: "/spec/containers/0/image", value: "{pinned}"}}]"#);
    let selector = json!({"matchLabels": {INJECT: injector}});
    let policy = json!({"spec": {
        "matchConstraints": {"resourceRules": [rule], "objectSelector": selector, "namespaceSelector": {}},
        "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": patch}}],
        "failurePolicy": "Fail",
        "reinvocationPolicy": "Never",
    }});
    let group = "admissionregistration.k8s.io";
    create_beyond(ns, group, "MutatingAdmissionPolicy", &name, policy).await?;
    let binding = json!({"spec": {"policyName": name}});
    create_beyond(ns, group, "MutatingAdmissionPolicyBinding", &name, binding).await?;
    eventually("the image is pinned", DEADLINE, async || {
        let pod = ns.dry_run(bare_pod("probe").pod_label((INJECT, injector))).await?;
        Ok((pod["spec"]["containers"][0]["image"] == pinned.as_str()).then_some(()))
    })
    .await
}
