//! Asking must not hurt: a sweep over many workloads while real Pods are created.

use std::time::Duration;

use anyhow::{Result, ensure};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::json;
use testbed::{
    Testbed,
    injector::{Sidecar, WebhookInjector},
    workload::deployment,
};

use super::bystanders::BY_URL;
use crate::support::{Rights, story};

const SWEPT: usize = 200;
const BORN: u32 = 50;

#[tokio::test]
async fn r10_a_sweep_past_a_slow_injector_costs_no_pod_its_sidecar() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return testbed::skip("it takes a webhook of our own");
    }
    story("sweep", Rights::Report, async |story| {
        let ns = &story.ns;
        // When it is late, Pods start without their sidecar and nobody is told.
        let injector = WebhookInjector::install_with(ns, Sidecar::new("proxy"), BY_URL).await?;
        injector.edit_webhook(|webhook| webhook["timeoutSeconds"] = json!(5)).await?;
        let label = || injector.label();
        stream::iter(0..SWEPT)
            .map(|number| ns.create(deployment(&format!("swept-{number}"), 1).pod_label(label())))
            .buffer_unordered(10)
            .try_collect::<Vec<_>>()
            .await?;
        ns.wait_for_rollout("Deployment", &format!("swept-{}", SWEPT - 1)).await?;

        injector.set(|knobs| knobs.delay = Duration::from_secs(1));
        let before = injector.reviews().len();
        let daemon = story.daemon(&["--max-renders-per-second=100"])?;
        daemon.until_verdict("Deployment/swept-0", "in_sync", None).await?;
        ns.deploy(deployment("born", BORN).pod_label(label())).await?;
        let sidecar = injector.sidecar();
        let pods = ns.pods_of("Deployment", "born").await?;
        ensure!(pods.len() == BORN as usize, "{} Pods", pods.len());
        for pod in pods {
            ensure!(sidecar.is_in(&serde_json::to_value(&pod)?), "born without its sidecar: {pod:?}");
        }
        let asked = injector.reviews().iter().skip(before).filter(|review| review.dry_run).count();
        ensure!(asked > 0 && asked < SWEPT * 2, "the sweep asked {asked} times");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}
