//! What an owner who may not read our log sees by `kubectl`.

use std::{collections::BTreeMap, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Testbed, eventually, injector::Sidecar, skip, workload::deployment};

use crate::support::{DEADLINE, Injector, Rights, Story, story};

const ENFORCE: [&str; 4] = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0"];

/// In the sidecar's environment; it changes with the version, and is nobody's business.
const SECRETS: [&str; 2] = ["hunter2-before", "hunter2-after"];

fn kubectl(story: &Story<'_>, arguments: &[&str]) -> Result<String> {
    let testbed = story.testbed();
    let assets = testbed.assets().context("kubectl is only known with our control plane")?;
    let mut command = Command::new(&assets.kubectl);
    command.arg("--kubeconfig").arg(testbed.kubeconfig()).args(["-n", story.ns.name()]).args(arguments);
    let ran = command.output()?;
    ensure!(ran.status.success(), "{arguments:?}: {}", String::from_utf8_lossy(&ran.stderr));
    Ok(String::from_utf8(ran.stdout)?)
}

/// Our Events about a workload: how often each reason was given.
fn events_of(story: &Story<'_>, name: &str) -> Result<BTreeMap<String, u64>> {
    let all: Value = serde_json::from_str(&kubectl(story, &["get", "events.events.k8s.io", "-o", "json"])?)?;
    let ours = all["items"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|event| event["reportingController"] == "sidecar-drift" && event["regarding"]["name"] == name);
    Ok(ours
        .map(|event| {
            let count = event["series"]["count"].as_u64().unwrap_or(1);
            (event["reason"].as_str().unwrap_or_default().to_owned(), count)
        })
        .collect())
}

pub(crate) async fn until_seen(story: &Story<'_>, name: &str, wanted: &[(&str, u64)]) -> Result<()> {
    eventually(format_args!("{name} has the Events {wanted:?}"), DEADLINE, async || {
        let seen = events_of(story, name)?;
        Ok(wanted.iter().all(|(reason, count)| seen.get(*reason) == Some(count)).then_some(()))
    })
    .await
    .with_context(|| format!("{name} has {:?}", events_of(story, name)))
}

#[tokio::test]
async fn an_owner_sees_what_was_found_and_done_and_no_secret() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) || testbed.assets().is_none() {
        return skip("there is no injector that this cluster can have, or no kubectl");
    }
    story("events", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let secret = |value: &str| Sidecar::new("proxy").env("TOKEN", value);
        let mut injector = Injector::install(ns, secret(SECRETS[0])).await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        let mistaken = deployment("mistaken", 1).annotation("sidecar-drift/mode", "off");
        ns.deploy(mistaken.pod_label(injector.label())).await?;
        ns.deploy(deployment("plain", 1)).await?;
        injector.change(|sidecar| *sidecar = secret(SECRETS[1]).version("v2")).await?;
        story.create_state().await?;

        let daemon = story.daemon(&ENFORCE)?;
        until_seen(story, "mistaken", &[("DriftDetected", 1), ("BadAnnotation", 1)]).await?;
        daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        // One for its rollout, which says what changes.
        until_seen(story, "web", &[("RolloutStarted", 1)]).await?;
        ensure!(daemon.terminate().await?.success());

        // The next process says the same of what is as it was; that is counted and not said twice.
        let daemon = story.daemon(&ENFORCE)?;
        until_seen(story, "mistaken", &[("DriftDetected", 2), ("BadAnnotation", 2)]).await?;
        ensure!(daemon.terminate().await?.success());
        assert_eq!(events_of(story, "web")?, BTreeMap::from([("RolloutStarted".to_owned(), 1)]));
        assert_eq!(events_of(story, "plain")?, BTreeMap::new());

        let described = kubectl(story, &["describe", "deployment", "mistaken"])?;
        assert!(described.contains("BadAnnotation") && described.contains("DriftDetected"), "{described}");
        let everything = kubectl(story, &["get", "events", "-o", "yaml"])?;
        assert!(everything.contains("proxy image"), "{everything}");
        for secret in SECRETS {
            assert!(!everything.contains(secret), "{everything}");
        }
        Ok(())
    })
    .await
}

/// The twin: the same drift in report mode, where Events are written only if they are asked for.
#[tokio::test]
async fn in_report_mode_events_are_written_only_if_they_are_asked_for() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) || testbed.assets().is_none() {
        return skip("there is no injector that this cluster can have, or no kubectl");
    }
    story("events-report", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        injector.set_version("v2").await?;

        let daemon = story.daemon(&[])?;
        daemon.until_verdict("Deployment/web", "drifted", None).await?;
        ensure!(daemon.terminate().await?.success());
        assert_eq!(events_of(story, "web")?, BTreeMap::new());

        let daemon = story.daemon(&["--events"])?;
        until_seen(story, "web", &[("DriftDetected", 1)]).await?;
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}
