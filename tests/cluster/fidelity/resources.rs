//! Resources, for those who ask for them: what the injector set counts, and what others set does not.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::{Pod, ResourceRequirements};
use kube::{
    Api, ResourceExt as _,
    api::{Patch, PatchParams, PostParams},
};
use serde_json::{Value, json};
use testbed::{
    Testbed, eventually,
    injector::{Sidecar, WebhookInjector},
    workload::deployment,
};

use super::bystanders::BY_URL;
use crate::support::{DEADLINE, Rights, Story, story};

#[tokio::test]
async fn c6_resources_that_others_set_are_no_drift_and_the_injectors_are() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return testbed::skip("it takes a webhook of our own");
    }
    story("resources", Rights::Report, async |story| {
        let ns = &story.ns;
        let small = Sidecar { cpu: Some("100m".to_owned()), ..Sidecar::new("proxy") };
        let injector = WebhookInjector::install_with(ns, small, BY_URL).await?;
        for name in ["plain", "resized"] {
            ns.deploy(deployment(name, 1).pod_label(injector.label())).await?;
        }

        // Somebody resizes a sidecar in place, and then there are defaults that the Pods were born without.
        let mut pods = ns.pods_of("Deployment", "resized").await?;
        let pod = resizable(&ns.api(), pods.pop().context("no Pod")?).await?;
        let larger = json!([{"name": "proxy", "resources": {"requests": {"cpu": "150m"}}}]);
        let larger = Patch::Strategic(json!({"spec": {"containers": larger}}));
        ns.api::<Pod>().patch_resize(&pod, &PatchParams::default(), &larger).await?;
        let defaults = json!([{"type": "Container", "defaultRequest": {"memory": "32Mi"}}]);
        ns.create(json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": defaults},
        }))
        .await?;
        // The API server takes its limits from a cache of its own.
        eventually("the defaults are in force", DEADLINE, async || {
            let rendered = ns.dry_run(json!({
                "apiVersion": "v1", "kind": "Pod", "metadata": {"name": "any"},
                "spec": {"containers": [{"name": "app", "image": "registry.test/app:v1"}]},
            }));
            Ok((rendered.await?["spec"]["containers"][0]["resources"]["requests"]["memory"] == "32Mi").then_some(()))
        })
        .await?;
        let in_sync = [("plain", "in_sync", Value::Null), ("resized", "in_sync", Value::Null)];
        says(story, &[], &in_sync).await?;
        says(story, &["--fields=resources"], &in_sync).await?;

        injector.set(|knobs| knobs.sidecar.cpu = Some("200m".to_owned()));
        says(story, &[], &in_sync).await?;
        let changed = [("plain", "drifted", json!(["changed"])), ("resized", "in_sync", Value::Null)];
        says(story, &["--fields=resources"], &changed).await
    })
    .await
}

/// Says for the kubelet, which is none here, that it can resize this Pod: only then may it be asked.
async fn resizable(pods: &Api<Pod>, mut pod: Pod) -> Result<String> {
    let name = pod.name_any();
    let containers = pod.status.iter_mut().flat_map(|status| status.container_statuses.iter_mut().flatten());
    containers.for_each(|container| container.resources = Some(ResourceRequirements::default()));
    pods.replace_status(&name, &PostParams::default(), &pod).await?;
    Ok(name)
}

/// What a scan says of these Deployments: verdict and differences.
async fn says(story: &Story<'_>, arguments: &[&str], expected: &[(&str, &str, Value)]) -> Result<()> {
    let report = story.run(&[&["scan", "--output=json"], arguments].concat()).await?.document()?;
    for (name, verdict, differences) in expected {
        let found = report.workload(&format!("Deployment/{name}"))?;
        let found_differences = found.get("differences").filter(|all| **all != json!([])).unwrap_or(&Value::Null);
        ensure!(found["verdict"] == *verdict && found_differences == differences, "{arguments:?}: {found:#}");
    }
    Ok(())
}
