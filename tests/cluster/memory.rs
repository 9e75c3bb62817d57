//! What we did is remembered where the cluster forgets it: no old revision is kept, and a tool takes our stamps away.

use anyhow::{Result, ensure};
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use crate::support::{Daemon, Injector, Rights, Story, story};

const ENFORCE: [&str; 5] =
    ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--canary=0", "--listen=127.0.0.1:0"];

async fn until_held_by(daemon: &Daemon<'_>, gate: &str) -> Result<()> {
    daemon.until_metrics_say(&[&format!("sidecar_drift_held_workloads{{gate=\"{gate}\"}} 1")]).await
}

/// As a tool does that makes the template what its file says.
async fn strip(story: &Story<'_>, name: &str) -> Result<()> {
    let no_stamp: Patch<Value> =
        Patch::Merge(json!({ "spec": { "template": { "metadata": { "annotations": null } } } }));
    story.ns.workloads("Deployment")?.patch(name, &PatchParams::default(), &no_stamp).await?;
    story.ns.wait_for_rollout("Deployment", name).await
}

async fn stamped(story: &Story<'_>, name: &str) -> Result<bool> {
    let workload = story.ns.workloads("Deployment")?.get(name).await?;
    Ok(workload.data.to_string().contains("rollout.fingerprint"))
}

#[tokio::test]
async fn the_cool_down_holds_without_old_revisions_and_without_stamps_also_after_a_restart() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("memory", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let label = injector.label();
        let forgetful = |name: &str| {
            deployment(name, 1).pod_label(label.clone()).with(|manifest| {
                manifest["spec"]["revisionHistoryLimit"] = json!(0);
            })
        };
        ns.deploy(forgetful("web")).await?;
        story.create_state().await?;
        injector.set_version("v2").await?;
        let daemon = story.daemon(&ENFORCE)?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        strip(story, "web").await?;
        injector.set_version("v3").await?;
        until_held_by(&daemon, "cooldown").await?;
        ensure!(daemon.terminate().await?.success());

        // Nothing in the cluster says any more that it was rolled, but for the state ConfigMap.
        let next = story.daemon(&ENFORCE)?;
        until_held_by(&next, "cooldown").await?;
        ensure!(!stamped(story, "web").await?, "it was rolled again");
        ensure!(next.terminate().await?.success());

        // Nor does a person's own run do what the daemon may not, without a word to that effect.
        let namespace = ["--state-namespace", ns.name()];
        let once = ["rollout", "--confirm"];
        story.run(&[&once[..], &namespace].concat()).await?.success()?;
        ensure!(!stamped(story, "web").await?, "`rollout --confirm` rolled it again");

        // The twin was never rolled, and is.
        ns.deploy(forgetful("twin")).await?;
        injector.set_version("v4").await?;
        let last = story.daemon(&ENFORCE)?;
        let ended = last.until_it_ends_a_rollout_of("Deployment", "twin").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(!stamped(story, "web").await?, "it was rolled again");
        ensure!(last.terminate().await?.success());
        Ok(())
    })
    .await
}
