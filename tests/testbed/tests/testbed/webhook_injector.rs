//! The injector that is a webhook server in this process.

use anyhow::{Context as _, Result};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::ListParams;
use serde_json::json;
use testbed::injector::{Reach, Selection, Sidecar, WebhookInjector, WebhookOptions};
use testbed::workload::{bare_pod, deployment};
use testbed::{TestNamespace, Testbed, skip};

async fn injects(ns: TestNamespace<'_>, sidecar: Sidecar, options: WebhookOptions) -> Result<()> {
    let injector = WebhookInjector::install_with(&ns, sidecar, options).await?;
    ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
    for pod in ns.pods_of("Deployment", "web").await? {
        assert!(injector.sidecar().is_in(&serde_json::to_value(&pod)?), "{pod:?}");
    }
    let plain = ns.dry_run(bare_pod("plain")).await?;
    assert!(!injector.sidecar().is_named_in(&plain));

    injector.set_version("v2");
    let rendered = ns.dry_run(bare_pod("probe").pod_label(injector.label())).await?;
    assert!(injector.sidecar().is_in(&rendered), "{rendered}");
    let last = injector.reviews().pop().context("no review")?;
    assert!(last.dry_run && last.pod == "probe" && last.user == "testbed-admin", "{last:?}");

    let (sidecar, label) = (injector.sidecar(), injector.label());
    injector.uninstall().await?;
    assert!(!sidecar.is_named_in(&ns.dry_run(bare_pod("probe").pod_label(label)).await?));
    Ok(())
}

#[tokio::test]
async fn a_webhook_behind_a_service_injects() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !testbed.supports_webhook_injectors() {
        return skip("the API server cannot reach our webhook");
    }
    let options = WebhookOptions { reach: Reach::Service, ..WebhookOptions::default() };
    testbed.with_namespace("webhook-service", async |ns| injects(ns, Sidecar::new("proxy"), options).await).await
}

#[tokio::test]
async fn a_webhook_behind_a_url_injects() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !testbed.supports_webhook_injectors() {
        return skip("the API server cannot reach our webhook");
    }
    let options = WebhookOptions { reach: Reach::Url, ..WebhookOptions::default() };
    testbed.with_namespace("webhook-url", async |ns| injects(ns, Sidecar::native("proxy"), options).await).await
}

#[tokio::test]
async fn a_webhook_goes_by_the_label_of_the_namespace() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !testbed.supports_webhook_injectors() {
        return skip("the API server cannot reach our webhook");
    }
    testbed
        .with_namespace("webhook-namespace", async |ns| {
            ns.set_label(("testbed.sidecar-drift/inject", format!("{}-proxy", ns.name()))).await?;
            let options = WebhookOptions { selection: Selection::LabelledNamespaces, ..WebhookOptions::default() };
            let injector = WebhookInjector::install_with(&ns, Sidecar::new("proxy"), options).await?;
            let rendered = ns.dry_run(bare_pod("unlabelled")).await?;
            assert!(injector.sidecar().is_in(&rendered), "{rendered}");
            Ok(())
        })
        .await
}

#[tokio::test]
async fn what_stands_behind_a_service_can_be_upgraded_and_reconfigured() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !testbed.supports_webhook_injectors() {
        return skip("the API server cannot reach our webhook");
    }
    testbed
        .with_namespace("webhook-upgrade", async |ns| {
            let injector = WebhookInjector::install(&ns, Sidecar::new("proxy")).await?;
            let home = injector.home().context("no home")?;
            let slices = home.api::<EndpointSlice>().list(&ListParams::default()).await?;
            assert!(slices.iter().any(|slice| slice.endpoints.iter().flatten().next().is_some()), "{slices:?}");

            injector.upgrade("v2").await?;
            assert_eq!(home.revisions_of("Deployment", "injector").await?.len(), 2);
            injector.reconfigure("v3").await?;
            let rendered = ns.dry_run(bare_pod("probe").pod_label(injector.label())).await?;
            assert!(Sidecar::new("proxy").version("v3").is_in(&rendered), "{rendered}");

            // Nobody has this label.
            injector
                .edit_webhook(|webhook| webhook["namespaceSelector"] = json!({"matchLabels": {"no": "body"}}))
                .await?;
            testbed::eventually("the selector is in force", std::time::Duration::from_secs(30), async || {
                let rendered = ns.dry_run(bare_pod("probe").pod_label(injector.label())).await?;
                Ok((!injector.sidecar().is_named_in(&rendered)).then_some(()))
            })
            .await
        })
        .await
}
