//! New Pods that crash: the breaker opens, and the rest of the fleet is left alone, whoever leads by then.

use anyhow::{Result, ensure};
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use crate::{
    events::until_seen,
    support::{Injector, Rights, Story, story},
};

/// Late and crashing is failed, so that nobody waits for a minute of crashes.
const ENFORCE: [&str; 9] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=0",
    "--timeout=5s",
    "--cooldown=0s",
    "--daily-cap=100",
    "--lease-duration=3s",
    "--listen=127.0.0.1:0",
];

const FLEET: [&str; 4] = ["one", "two", "three", "four"];

/// kwok lets Pods crash that run an image of this version.
const SICK: &str = "crash";

/// How many revisions each workload has.
async fn revisions(story: &Story<'_>) -> Result<Vec<usize>> {
    let mut all = Vec::new();
    for name in FLEET {
        all.push(story.ns.revisions_of("Deployment", name).await?.len());
    }
    Ok(all)
}

/// It is open where they failed, and not for the cluster.
fn held(story: &Story<'_>) -> [String; 3] {
    [
        format!("sidecar_drift_breaker_open_namespaces{{namespace=\"{}\"}} 1", story.ns.name()),
        "sidecar_drift_stopped{by=\"breaker\"} 0".to_owned(),
        "sidecar_drift_held_workloads{gate=\"breaker_open\"} 2".to_owned(),
    ]
}

#[tokio::test]
async fn a_sick_rollout_opens_the_breaker_which_outlives_kill_9_and_a_change_of_leader() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !Injector::supported(testbed) || testbed.assets().is_none() {
        return skip("there is no injector that this cluster can have, or no kubectl");
    }
    story("sick", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        for name in FLEET {
            ns.deploy(deployment(name, 1).pod_label(injector.label())).await?;
        }
        story.create_state().await?;
        let others = [story.account("second", Rights::Enforce).await?, story.account("third", Rights::Enforce).await?];

        injector.set_version(SICK).await?;
        let daemon = story.daemon(&ENFORCE)?;
        let said =
            daemon.until_it_says("the breaker opened", |line| line.text("message").starts_with("the breaker")).await?;
        ensure!(said.text("reason").contains("failed"), "{said:?}");
        let held = held(story);
        let held = held.each_ref().map(String::as_str);
        daemon.until_metrics_say(&held).await?;
        daemon.until_metrics_say(&["sidecar_drift_rollouts_total{outcome=\"failed\"} 2"]).await?;
        let after = revisions(story).await?;
        assert_eq!(after.iter().filter(|n| **n == 2).count(), 2, "{after:?}");
        let untouched: Vec<_> = FLEET.into_iter().zip(&after).filter(|(_, n)| **n == 1).map(|(name, _)| name).collect();
        assert_eq!(untouched.len(), 2, "{after:?}");
        for name in &untouched {
            until_seen(story, name, &[("BreakerOpen", 1)]).await?;
        }

        // Killed; and then another replica takes over from one that was asked to stop.
        daemon.kill9();
        let [second, third] = others;
        let second = story.daemon_as(&second, &ENFORCE)?;
        second.until_metrics_say(&held).await?;
        let third = story.daemon_as(&third, &ENFORCE)?;
        ensure!(second.terminate().await?.success());
        third.until_metrics_say(&held).await?;
        assert_eq!(revisions(story).await?, after);

        // It was the breaker that held them: once the injector is well and a person resumes, they are rolled.
        injector.set_version("v3").await?;
        let arguments = ["resume", "--state-namespace", ns.name()];
        story.run_anywhere(testbed.kubeconfig(), &arguments).await?.success()?;
        for name in untouched {
            let ended = third.until_it_ends_a_rollout_of("Deployment", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }
        ensure!(third.terminate().await?.success());
        Ok(())
    })
    .await
}
