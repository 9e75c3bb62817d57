//! An injector reads its configuration only when the kubelet has brought it: long after everybody was asked again.

use anyhow::Result;
use testbed::{
    Testbed, eventually,
    injector::{Sidecar, WebhookInjector},
    skip,
    workload::deployment,
};

use crate::support::{DEADLINE, Rights, story};

#[tokio::test]
async fn a_change_that_arrives_late_is_found_without_a_resync() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return skip("the API server cannot reach our webhook");
    }
    story("late-config-map", Rights::Report, async |story| {
        let injector = WebhookInjector::install(&story.ns, Sidecar::new("proxy")).await?;
        // The first one is not given the sidecar: it would show nothing.
        story.ns.deploy(deployment("a", 1)).await?;
        for name in ["b", "c", "d"] {
            story.ns.deploy(deployment(name, 1).pod_label(injector.label())).await?;
        }
        let daemon = story.daemon(&["--resync", "24h"])?;
        for workload in ["Deployment/b", "Deployment/c", "Deployment/d"] {
            daemon.until_verdict(workload, "in_sync", None).await?;
        }

        let asked = injector.reviews().len();
        injector.write_config_map("v2").await?;
        eventually("all three are asked again", DEADLINE, async || {
            Ok((injector.reviews().len() >= asked + 3).then_some(()))
        })
        .await?;
        // Only now the injector has it.
        injector.set_version("v2");
        for workload in ["Deployment/b", "Deployment/c", "Deployment/d"] {
            daemon.until_verdict(workload, "drifted", Some("proxy image v1 → v2")).await?;
        }
        Ok(())
    })
    .await
}
