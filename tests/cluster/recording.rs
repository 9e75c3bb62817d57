//! A daemon that records what it hears: support can play it again.

use anyhow::{Result, ensure};
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use crate::support::{Injector, Rights, story};

/// A value of the sidecar that nobody may see.
const SECRET: &str = "a-planted-secret";

#[tokio::test]
async fn what_a_daemon_did_can_be_played_again() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("recording", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy").env("TOKEN", SECRET)).await?;
        ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let file = story.testbed().directory().join(format!("{}.jsonl", ns.name()));
        let file = file.to_str().unwrap_or_default();

        let enforce = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--soak=1s"];
        let daemon = story.daemon(&[&enforce[..], &["--record", file]].concat())?;
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        ensure!(daemon.terminate().await?.success());

        let recording = std::fs::read_to_string(file)?;
        ensure!(recording.contains("TOKEN") && !recording.contains(SECRET), "a value is in the recording");
        let replayed = story.run_anywhere(story.kubeconfig(), &["replay", file]).await?.success()?;
        ensure!(replayed.err.contains("the same effects"), "{}{}", replayed.out, replayed.err);
        let shown = story.run_anywhere(story.kubeconfig(), &["replay", file, "--at", "2999-01-01T00:00:00Z"]).await?;
        ensure!(shown.success()?.out.contains("web"), "the workload is not shown");
        Ok(())
    })
    .await
}
