//! A guard that goes while the daemon enforces: nothing more is rolled until it is back.

use anyhow::Result;
use k8s_openapi::api::admissionregistration::v1::ValidatingAdmissionPolicyBinding;
use kube::api::{Api, DeleteParams};
use serde_json::json;
use testbed::{Filter, TestNamespace, Testbed, injector::Sidecar, workload::deployment};

use super::release::{RELEASE, Release, apply, until_guarded};
use crate::support::Injector;

#[tokio::test]
async fn without_the_guard_nothing_more_is_rolled_out() -> Result<()> {
    story("guard-missing", false).await
}

#[tokio::test]
async fn without_the_guard_nothing_more_is_rolled_out_in_a_namespace_scoped_install() -> Result<()> {
    story("guard-missing-scoped", true).await
}

/// The daemon probes every 2 s here, and every 60 s by default.
async fn story(name: &str, scoped: bool) -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return testbed::skip("this cluster can have no injector");
    }
    testbed.with_namespace(name, async |ns| guard_goes(&ns, scoped).await).await
}

async fn guard_goes(ns: &TestNamespace<'_>, scoped: bool) -> Result<()> {
    let shop = ns.create_companion("shop").await?;
    let mut injector = Injector::install(&shop, Sidecar::new("proxy")).await?;
    shop.deploy(deployment("web", 2).pod_label(injector.label())).await?;
    let values = json!({
        "mode": "enforce",
        "injectorNamespaces": injector.home().into_iter().collect::<Vec<_>>(),
        "namespaces": if scoped { json!([shop.name()]) } else { json!([]) },
        // The control plane is shared with other tests.
        "config": { "include-namespace": [shop.name()], "cooldown": "0s", "max-rollouts-per-hour": "unlimited" },
    });
    let release = Release::install(ns, &values).await?;
    until_guarded(&release).await?;
    let daemon = release.daemon()?;
    daemon
        .until_it_says("the guard is in force", |line| line.text("message").starts_with("the guard is in force"))
        .await?;

    let binding = release.object("ValidatingAdmissionPolicyBinding")?;
    let bindings: Api<ValidatingAdmissionPolicyBinding> = Api::all(ns.client().clone());
    bindings.delete(&release.cluster_name(), &DeleteParams::default()).await?;
    daemon
        .until_it_says("the guard is missing", |line| line.text("message").starts_with("the guard is missing"))
        .await?;

    injector.set_version("v2").await?;
    daemon.until_verdict("Deployment/web", "drifted", None).await?;
    daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"guard_missing\"} 1"]).await?;
    daemon.until_metrics_say(&["sidecar_drift_stopped{by=\"guard\"} 1"]).await?;
    assert_eq!(patches(ns).await?, 0, "patched without a guard");
    assert_eq!(shop.revisions_of("Deployment", "web").await?.len(), 1);

    apply(ns.testbed(), binding).await?;
    let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
    assert_eq!(ended.text("outcome"), "converged");
    daemon.until_metrics_say(&["sidecar_drift_stopped{by=\"guard\"} 0"]).await?;
    assert!(daemon.terminate().await?.success());
    release.uninstall().await
}

/// What our ServiceAccount has patched, dry runs included.
async fn patches(ns: &TestNamespace<'_>) -> Result<usize> {
    let Some(audit) = ns.testbed().audit() else { return Ok(0) };
    let asked = audit.entries(&Filter::default().service_account(ns.name(), RELEASE)).await?;
    Ok(asked.iter().filter(|entry| entry.verb == "patch" && entry.api_group == "apps").count())
}
