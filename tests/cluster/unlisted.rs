//! An injector that no client can list: the API server reads it from a file (Kubernetes 1.37, manifest-based admission).

use anyhow::{Result, ensure};
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use kube::api::{Api, ListParams};
use testbed::{
    Options, Testbed,
    injector::{Failure, Reach, Sidecar, WebhookInjector, WebhookOptions},
    skip,
    workload::deployment,
};

use crate::support::{Rights, Story, story_on};

/// It rolls whatever differs, and believes what is gone after three seconds.
const ENFORCE: [&str; 6] = [
    "--mode=enforce",
    "--without-guard",
    "--canary=0",
    "--act-on=changed,removed",
    "--absence=3s",
    "--max-rollouts-per-hour=unlimited",
];

#[tokio::test]
async fn what_it_changes_is_found_and_what_it_leaves_out_while_it_is_down_is_not_taken_away() -> Result<()> {
    if !Testbed::shared().await?.supports_webhook_injectors() {
        return skip("it takes an API server of ours that reads webhooks from files");
    }
    let testbed = Testbed::start(Options { static_webhooks: true, ..Options::default() }).await?;
    story_on(&testbed, "unlisted", Rights::Enforce, async |story| {
        let open = WebhookOptions { reach: Reach::Url, ignore_failures: true, ..WebhookOptions::default() };
        let injector = WebhookInjector::install_with(&story.ns, Sidecar::new("proxy"), open).await?;
        injector.hide().await?;
        let all: Api<MutatingWebhookConfiguration> = Api::all(testbed.client().await?);
        ensure!(all.list(&ListParams::default()).await?.items.is_empty(), "no client can list it");
        story.ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        story.create_state().await?;
        let pods = story.uids("Deployment", "web").await?;

        let scanned = scan(story).await?;
        ensure!(scanned == "in_sync", "as it was injected: {scanned}");
        injector.set_version("v2");
        let scanned = scan(story).await?;
        ensure!(scanned == "drifted", "with another version: {scanned}");
        injector.set_version("v1");

        // It is down, and Pods are created without its sidecar. Nothing that can be listed injects.
        injector.set(|knobs| knobs.failure = Some(Failure::Hangup));
        let scanned = scan(story).await?;
        ensure!(scanned == "undetermined injector_unavailable", "while it is down: {scanned}");
        let daemon = story.daemon(&ENFORCE)?;
        daemon.until_it_says("that it is not there", |line| line.text("reason") == "injector_unavailable").await?;
        injector.set(|knobs| knobs.failure = None);
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;
        ensure!(daemon.terminate().await?.success());
        ensure!(story.uids("Deployment", "web").await? == pods, "nothing was rolled");

        // What it really changes is rolled.
        injector.set_version("v3");
        let daemon = story.daemon(&ENFORCE)?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        ensure!(ended.text("outcome") == "converged", "{ended:?}");
        ensure!(story.uids("Deployment", "web").await?.is_disjoint(&pods), "each Pod was replaced");
        Ok(())
    })
    .await?;
    testbed.stop().await
}

/// The verdict of a scan on the one workload, and its reason.
async fn scan(story: &Story<'_>) -> Result<String> {
    let document = story.run(&["scan", "--output=json", "--absence=3s"]).await?.document()?;
    let web = document.workload("Deployment/web")?;
    Ok(["verdict", "reason"].map(|key| web[key].as_str().unwrap_or_default()).join(" ").trim().to_owned())
}
