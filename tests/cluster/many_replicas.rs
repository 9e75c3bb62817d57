//! One workload of fifty Pods costs what one of a single Pod costs.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::{
    ResourceExt as _,
    api::{DeleteParams, Patch, PatchParams},
};
use serde_json::json;
use testbed::{AuditEntry, Marker, Testbed, eventually, injector::Sidecar, skip, workload::deployment};

use crate::support::{DEADLINE, Injector, Rights, Story, story};

const WEB: &str = "Deployment/web";
const REPLICAS: u32 = 50;
/// The second one only confirms what the first has found.
const RENDERS: usize = 2;

fn is_rendering(entry: &AuditEntry) -> bool {
    entry.verb == "create" && entry.resource == "pods"
}

async fn renders(story: &Story<'_>, since: Marker) -> Result<usize> {
    Ok(story.asked(since).await?.iter().filter(|entry| is_rendering(entry)).count())
}

#[tokio::test]
async fn fifty_pods_take_two_renderings_and_one_that_was_patched_by_hand_is_told_from_the_rest() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let Some(audit) = testbed.audit().filter(|_| Injector::supported(testbed)) else {
        return skip("this cluster's audit log cannot be read");
    };
    story("many-replicas", Rights::Report, async |story| {
        let ns = &story.ns;
        let scanner = story.account("scanner", Rights::Report).await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", REPLICAS).pod_label(injector.label())).await?;

        let start = audit.marker()?;
        let daemon = story.daemon(&[])?;
        daemon.until_verdict(WEB, "in_sync", None).await?;

        let update = audit.marker()?;
        assert!(renders(story, start).await? <= RENDERS);
        injector.set_version("v2").await?;
        daemon.until_verdict(WEB, "drifted", Some("proxy image v1 → v2")).await?;

        let downgrade = audit.marker()?;
        assert!(renders(story, update).await? <= RENDERS);
        injector.set_version("v1").await?;
        daemon.until_verdict(WEB, "in_sync", None).await?;

        // Somebody helps one Pod by hand.
        let patched = ns.pods_of("Deployment", "web").await?.pop().context("no Pods")?.name_any();
        let image = json!({"spec": {"containers": [{"name": "proxy", "image": "registry.test/proxy:hotfix"}]}});
        ns.api::<Pod>().patch(&patched, &PatchParams::default(), &Patch::Strategic(image)).await?;
        daemon.until_verdict(WEB, "drifted", None).await?;

        let update_again = audit.marker()?;
        assert!(renders(story, downgrade).await? <= RENDERS);
        injector.set_version("v2").await?;
        let report = story.run_as(&scanner, &["scan", "--output", "json"]).await?.document()?;
        let web = report.workload(WEB)?;
        let mut names = BTreeSet::new();
        let mut by_hand = Vec::new();
        for group in web["groups"].as_array().into_iter().flatten() {
            let pods: Vec<_> = group["pods"].as_array().into_iter().flatten().filter_map(|pod| pod.as_str()).collect();
            let differences = group["sidecars"].as_array().into_iter().flatten();
            if differences.map(|sidecar| &sidecar["difference"]).any(|difference| difference == "mutated_live") {
                by_hand.extend_from_slice(&pods);
            }
            names.extend(pods);
        }
        assert_eq!((&web["verdict"], &web["podsDiffering"]), (&json!("drifted"), &json!(REPLICAS)), "{web:#}");
        assert_eq!(names.len(), 50, "{web:#}");
        assert_eq!(by_hand, [patched.as_str()], "{web:#}");

        // The daemon gets there, too, and stops asking.
        eventually("the daemon has asked twice", DEADLINE, async || {
            Ok((renders(story, update_again).await? >= RENDERS).then_some(()))
        })
        .await?;
        let downgrade_again = audit.marker()?;
        injector.set_version("v1").await?;
        ns.api::<Pod>().delete(&patched, &DeleteParams::default()).await?;
        daemon.until_verdict(WEB, "in_sync", None).await?;
        let (before, after) = (renders(story, update_again).await?, renders(story, downgrade_again).await?);
        assert!(before - after <= RENDERS && after <= RENDERS, "{before} {after}");
        Ok(())
    })
    .await
}
