//! A fix that somebody made by hand on a running Pod is never undone.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{Api, DeleteParams, Patch, PatchParams},
};
use serde_json::{Value, json};
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use crate::support::{Injector, Rights, story};

const ENFORCE: [&str; 5] =
    ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0", "--listen=127.0.0.1:0"];

#[tokio::test]
async fn a_workload_with_a_pod_that_was_patched_by_hand_is_held_until_that_pod_is_gone() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("patched-live", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy(deployment("fixed", 2).pod_label(injector.label())),
            ns.deploy(deployment("twin", 2).pod_label(injector.label())),
        )?;
        story.create_state().await?;
        let pods: Api<Pod> = Api::namespaced(ns.client().clone(), ns.name());
        let fixed = ns.pods_of("Deployment", "fixed").await?.first().context("no Pod")?.name_any();
        let image =
            json!({ "spec": { "containers": [{ "name": "proxy", "image": "registry.test/proxy:emergency" }] } });
        let by_hand: Patch<Value> = Patch::Strategic(image);
        pods.patch(&fixed, &PatchParams::default(), &by_hand).await?;
        injector.set_version("v2").await?;

        let daemon = story.daemon(&ENFORCE)?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "twin").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        daemon.until_metrics_say(&["sidecar_drift_held_workloads{gate=\"patched_live\"} 1"]).await?;
        assert_eq!(ns.revisions_of("Deployment", "fixed").await?.len(), 1);
        let still = serde_json::to_value(pods.get(&fixed).await?)?;
        ensure!(still.to_string().contains("registry.test/proxy:emergency"), "{still:#}");

        // The person has seen to it: that Pod goes, and there is nothing left to undo.
        pods.delete(&fixed, &DeleteParams::default()).await?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "fixed").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}
