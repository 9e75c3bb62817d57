//! The clock of the daemon's machine is wrong, and stays so.

use std::{path::PathBuf, process::Command};

use anyhow::{Context as _, Result, ensure};
use testbed::{
    Testbed, eventually,
    injector::{PolicyInjector, Sidecar},
    skip,
    workload::deployment,
};

use crate::support::{DEADLINE, Daemon, Rights, Story, story};

const WEB: &str = "Deployment/web";

/// The library that shifts a process's wall clock.
fn shifting_library(testbed: &Testbed) -> Result<PathBuf> {
    let library = testbed.directory().join("libshift.so");
    if !library.exists() {
        let unfinished = testbed.directory().join(format!("libshift.{}.so", rand_suffix()));
        let source = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/clocks/shift.c");
        let built = Command::new("cc").args(["-shared", "-fPIC", "-O1", "-o"]).arg(&unfinished).arg(source).status()?;
        ensure!(built.success(), "{source} does not compile: {built}");
        std::fs::rename(unfinished, &library)?;
    }
    Ok(library)
}

/// Two tests may build it at the same time.
fn rand_suffix() -> String {
    format!("{:?}", std::thread::current().id()).replace(['(', ')'], "-")
}

fn daemon_with_wrong_clock<'t>(story: &Story<'t>, seconds: &str, arguments: &[&str]) -> Result<Daemon<'t>> {
    let library = shifting_library(story.testbed())?;
    let library = library.to_str().context("a path that is no text")?;
    story.daemon_in(&[("LD_PRELOAD", library), ("CLOCK_SHIFT_SECONDS", seconds)], arguments)
}

/// What its metrics say of its clock.
async fn ahead(daemon: &Daemon<'_>) -> Result<f64> {
    eventually("the daemon knows how wrong its clock is", DEADLINE, async || {
        let text = daemon.fetch("/metrics").await?;
        let value = text.lines().find_map(|line| line.strip_prefix("sidecar_drift_clock_ahead_seconds "));
        value.map(|value| Ok(value.trim().parse()?)).transpose()
    })
    .await
}

/// Its Pods are a second old: to a clock that is ten seconds behind, they were created after the first rendering, and would
/// contradict it.
#[tokio::test]
async fn pods_are_not_younger_than_they_are_to_a_daemon_whose_clock_is_behind() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return skip("this cluster has no MutatingAdmissionPolicy");
    }
    story("clocks-behind", Rights::Report, async |story| {
        let mut injector = PolicyInjector::install(&story.ns, Sidecar::new("proxy")).await?;
        story.ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        injector.set_version("v2").await?;
        let daemon = daemon_with_wrong_clock(story, "-10", &["--listen=127.0.0.1:0"])?;
        daemon.until_verdict(WEB, "drifted", Some("proxy image v1 → v2")).await?;
        let found = ahead(&daemon).await?;
        ensure!((-11.5..=-8.5).contains(&found), "its clock is said to be ahead by {found} s");
        let of_the_scope =
            daemon.lines()?.into_iter().filter(|line| line.text("reason") == "dry_run_sensitive").count();
        ensure!(of_the_scope == 0, "a Pod from before is said to contradict the rendering");
        Ok(())
    })
    .await
}

/// Ten minutes ahead: what it writes into the cluster is what the API server's clock shows.
#[tokio::test]
async fn a_daemon_whose_clock_is_ahead_writes_the_time_of_the_api_server() -> Result<()> {
    if !Testbed::shared().await?.supports_mutating_admission_policy() {
        return skip("this cluster has no MutatingAdmissionPolicy");
    }
    story("clocks-ahead", Rights::Enforce, async |story| {
        let mut injector = PolicyInjector::install(&story.ns, Sidecar::new("proxy")).await?;
        story.ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        story.create_state().await?;
        injector.set_version("v2").await?;
        let arguments = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0"];
        let daemon = daemon_with_wrong_clock(story, "600", &arguments)?;
        daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        let pods = story.ns.pods_of("Deployment", "web").await?;
        let mut annotations = pods.into_iter().flat_map(|pod| pod.metadata.annotations.unwrap_or_default());
        let stamp = annotations.find(|(key, _)| key.ends_with("rollout.timestamp"));
        let stamp: jiff::Timestamp = stamp.context("no stamp")?.1.parse()?;
        let wrong_by = stamp.duration_since(sidecar_drift::clock::now().wall);
        ensure!(wrong_by.as_secs() < 2, "the stamp is {wrong_by:#} in the future");
        Ok(())
    })
    .await
}
