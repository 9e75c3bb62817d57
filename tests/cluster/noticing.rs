//! What injection depends on changes while the daemon runs. It is noticed at once, not at the next periodic look.

use anyhow::{Context as _, Result};
use serde_json::json;
use testbed::{
    Testbed, eventually,
    injector::{PolicyInjector, Sidecar, WebhookInjector},
    skip,
    workload::{bare_pod, deployment},
};

use crate::support::{DEADLINE, Daemon, Line, Rights, Story, story};

/// No periodic look will help.
const NO_RESYNC: &[&str] = &["--resync", "24h"];
const WEB: &str = "Deployment/web";
const UPDATE: Option<&str> = Some("proxy image v1 → v2");
const MOVED: &str = "something that injection depends on moved";

/// A daemon that has found the one workload to be in sync.
async fn satisfied<'t>(story: &Story<'t>, label: (&str, String)) -> Result<Daemon<'t>> {
    story.ns.deploy(deployment("web", 2).pod_label(label)).await?;
    let daemon = story.daemon(NO_RESYNC)?;
    daemon.until_verdict(WEB, "in_sync", None).await?;
    Ok(daemon)
}

/// Its log names the object that moved, and who moved it.
async fn names_the_cause(daemon: &Daemon<'_>, object: &str) -> Result<Line> {
    let is_it = |line: &Line| line.is(MOVED) && line.text("cause").starts_with(&format!("{object}, manager "));
    daemon.until_it_says(&format!("{object} moved"), is_it).await
}

#[tokio::test]
async fn a_changed_policy_is_noticed() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return skip("this cluster has no MutatingAdmissionPolicy");
    }
    story("noticing-policy", Rights::Report, async |story| {
        let mut injector = PolicyInjector::install(&story.ns, Sidecar::new("proxy")).await?;
        let daemon = satisfied(story, injector.label()).await?;

        injector.set_version("v2").await?;
        daemon.until_verdict(WEB, "drifted", UPDATE).await?;
        names_the_cause(&daemon, &format!("MutatingAdmissionPolicy {}", injector.name())).await?;

        injector.set_version("v1").await?;
        daemon.until_verdict(WEB, "in_sync", None).await
    })
    .await
}

#[tokio::test]
async fn a_changed_selector_of_a_webhook_is_noticed() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return skip("the API server cannot reach our webhook");
    }
    story("noticing-selector", Rights::Report, async |story| {
        let injector = WebhookInjector::install(&story.ns, Sidecar::new("proxy")).await?;
        let nobody = json!({"matchLabels": {"nobody": "has-this"}});
        injector.edit_webhook(|webhook| webhook["namespaceSelector"] = nobody).await?;
        eventually("the selector is in force", DEADLINE, async || {
            let pod = story.ns.dry_run(bare_pod("probe").pod_label(injector.label())).await?;
            Ok((!injector.sidecar().is_named_in(&pod)).then_some(()))
        })
        .await?;
        story.ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        let daemon = story.daemon(NO_RESYNC)?;
        daemon.until_verdict(WEB, "not_injected", None).await?;

        injector.edit_webhook(|webhook| webhook["namespaceSelector"] = json!({})).await?;
        daemon.until_verdict(WEB, "missing", None).await?;
        names_the_cause(&daemon, &format!("MutatingWebhookConfiguration {}", injector.name())).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn another_image_of_the_deployment_behind_a_webhook_is_noticed() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return skip("the API server cannot reach our webhook");
    }
    story("noticing-image", Rights::Report, async |story| {
        let injector = WebhookInjector::install(&story.ns, Sidecar::new("proxy")).await?;
        let daemon = satisfied(story, injector.label()).await?;

        injector.upgrade("v2").await?;
        daemon.until_verdict(WEB, "drifted", UPDATE).await?;
        let home = injector.home().context("it is behind a Service")?.name();
        names_the_cause(&daemon, &format!("Deployment {home}/injector")).await?;
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_changed_config_map_beside_a_webhook_is_noticed() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return skip("the API server cannot reach our webhook");
    }
    story("noticing-config-map", Rights::Report, async |story| {
        let injector = WebhookInjector::install(&story.ns, Sidecar::new("proxy")).await?;
        let daemon = satisfied(story, injector.label()).await?;

        injector.reconfigure("v2").await?;
        daemon.until_verdict(WEB, "drifted", UPDATE).await?;
        let home = injector.home().context("it is behind a Service")?.name();
        names_the_cause(&daemon, &format!("ConfigMap {home}/injector")).await?;
        Ok(())
    })
    .await
}
