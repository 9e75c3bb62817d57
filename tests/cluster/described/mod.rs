//! Kinds that only the configuration describes.

pub(crate) mod stores;

use std::collections::BTreeSet;

use anyhow::{Result, ensure};
use serde_json::json;
use testbed::{Testbed, injector::Sidecar, skip};

use self::stores::{Stores, manifest};
use crate::support::{Injector, Rights, Story, story};

const ENFORCE: [&str; 4] = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0"];

/// Why these stories cannot be told here.
async fn missing() -> Result<Option<&'static str>> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) {
        return Ok(Some("there is no injector that this cluster can have"));
    }
    Ok(testbed.assets().is_none().then_some("the CRDs of an existing cluster are its owner's"))
}

/// The file in which a person describes the kind.
fn file(story: &Story<'_>, name: &str, text: &str) -> Result<String> {
    let path = story.testbed().directory().join(format!("{}-{name}.yaml", story.ns.name()));
    std::fs::write(&path, text)?;
    Ok(format!("--config={}", path.display()))
}

#[tokio::test]
async fn a_kind_that_is_described_is_rolled_and_what_does_not_differ_is_left_alone() -> Result<()> {
    if let Some(why) = missing().await? {
        return skip(why);
    }
    story("described", Rights::Enforce, async |story| {
        let stores = Stores::new(&story.ns);
        stores.serve().await?;
        stores.grant().await?;
        let _controller = stores.control();
        let mut injector = Injector::install(&story.ns, Sidecar::new("proxy")).await?;
        stores.create("web", Some(injector.label()), false).await?;
        stores.create("plain", None, false).await?;
        stores.create("held", Some(injector.label()), true).await?;
        let before = (stores.uids("web").await?, stores.uids("plain").await?, stores.uids("held").await?);
        injector.set_version("v2").await?;
        story.create_state().await?;
        let beginning = story.marker()?;

        // Whoever does not know of the label that its controller adds says nothing of what he would get wrong.
        let secret = file(story, "secret", &stores.description(false))?;
        let report = story.run(&["scan", "--output=json", &secret]).await?.document()?;
        let web = report.workload("Store/web")?;
        ensure!(web["verdict"] == "undetermined" && web["reason"] == "unsupported_owner", "{web:#}");

        let config = file(story, "config", &stores.description(true))?;
        let daemon = story.daemon(&[&ENFORCE[..], &[&config]].concat())?;
        let ended = daemon.until_it_ends_a_rollout_of("Store", "web").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        daemon.until_verdict("Store/held", "drifted", None).await?;
        ensure!(daemon.terminate().await?.success());

        let sidecar = Sidecar::new("proxy").version("v2");
        for pod in stores.pods("web").await? {
            assert!(sidecar.is_in(&manifest(&pod)?), "{pod:?}");
        }
        let after = stores.uids("web").await?;
        assert!(after.iter().all(|uid| !before.0.contains(uid)), "{after:?}, before {:?}", before.0);
        assert_eq!((stores.uids("plain").await?, stores.uids("held").await?), (before.1, before.2), "one was touched");
        let again = story.run(&["scan", "--output=json", &config]).await?.document()?;
        assert_eq!(again.workload("Store/web")?["verdict"], "in_sync");
        assert_eq!(again.workload("Store/held")?["gateInEnforce"], json!("workload_paused"));

        let Some(beginning) = beginning else { return Ok(()) };
        let asked = story.asked(beginning).await?;
        let written = asked.iter().filter(|entry| entry.writes() && entry.api_group == stores.group());
        let written: BTreeSet<_> = written.map(|entry| format!("{} {}", entry.verb, entry.name)).collect();
        assert_eq!(written, BTreeSet::from(["patch web".to_owned()]));
        let pods = asked.iter().filter(|entry| entry.resource == "pods" && entry.writes() && !entry.is_dry_run());
        assert_eq!(pods.count(), 0, "its controller replaces the Pods, not we");
        stores.serve_no_more().await
    })
    .await
}

#[tokio::test]
async fn a_described_kind_whose_crd_comes_later_is_picked_up() -> Result<()> {
    if let Some(why) = missing().await? {
        return skip(why);
    }
    story("described-late", Rights::Report, async |story| {
        let stores = Stores::new(&story.ns);
        stores.grant().await?;
        let mut injector = Injector::install(&story.ns, Sidecar::new("proxy")).await?;
        let config = file(story, "config", &stores.description(true))?;
        let daemon = story.daemon(&[&config])?;
        daemon
            .until_it_says("that it is not served", |line| line.text("reason").contains("does not serve stores"))
            .await?;

        stores.serve().await?;
        let _controller = stores.control();
        stores.create("web", Some(injector.label()), false).await?;
        stores.pods("web").await?;
        daemon.until_verdict("Store/web", "in_sync", None).await?;
        injector.set_version("v2").await?;
        daemon.until_verdict("Store/web", "drifted", None).await?;
        ensure!(daemon.terminate().await?.success());
        stores.serve_no_more().await
    })
    .await
}
