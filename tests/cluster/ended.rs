//! What ended, ended: neither a daemon that is started again nor a person's own run takes it up, or counts it once more.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::apps::v1::Deployment;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{Testbed, eventually, injector::Sidecar, skip, workload::deployment};

use crate::support::{DEADLINE, Injector, Rights, Story, story};

/// No breaker, and no canary: only that it ended holds it.
const ENFORCE: [&str; 7] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--canary=0",
    "--cooldown=0s",
    "--lease-duration=3s",
    "--listen=127.0.0.1:0",
];

/// Outcomes on record, newest last.
async fn recent(story: &Story<'_>) -> Result<Value> {
    let namespace = ["--state-namespace", story.ns.name()];
    let said = story.run_anywhere(story.kubeconfig(), &[&["status", "--output=json"][..], &namespace].concat()).await?;
    said.document()?.0.get("recent").cloned().context("no outcomes")
}

#[tokio::test]
async fn a_rollout_that_ended_is_neither_adopted_nor_counted_again() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("ended", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        // Whatever does not come up fails soon.
        let impatient = deployment("web", 1).with(|manifest| manifest["spec"]["progressDeadlineSeconds"] = json!(8));
        ns.deploy(impatient.pod_label(injector.label())).await?;
        story.create_state().await?;
        // Each version, how its rollout ends, and what is on record from then on.
        let [converged, failed] = ["converged", "failed"];
        for (version, outcome, on_record) in
            [("v2", converged, json!([converged])), ("crash", failed, json!([converged, failed]))]
        {
            injector.set_version(version).await?;
            let daemon = story.daemon(&ENFORCE)?;
            let ended = daemon.until_it_ends_a_rollout_of("Deployment", "web").await?;
            assert_eq!(ended.text("outcome"), outcome, "{ended:?}");
            eventually("that is on record", DEADLINE, async || Ok((recent(story).await? == on_record).then_some(())))
                .await?;
            daemon.kill9();
            let revisions = ns.revisions_of("Deployment", "web").await?.len();

            // Whoever comes next finds a rollout of ours that is finished, or its wreck, and makes nothing of it.
            let namespace = ["--state-namespace", ns.name()];
            let once = ["rollout", "--confirm", "--timeout=20s", "--output=json"];
            let ran = story.run(&[&once[..], &namespace].concat()).await?;
            let done: Value = serde_json::from_str(&ran.out).with_context(|| format!("{version}: {ran:?}"))?;
            assert_eq!(done["rollouts"], json!([]), "{version}: {ran:?}");
            let next = story.daemon(&ENFORCE)?;
            next.until_metrics_say(&["sidecar_drift_report_complete 1"]).await?;
            let outcomes = next.lines()?.iter().filter(|line| !line.text("outcome").is_empty()).count();
            assert_eq!(outcomes, 0, "{version}: {:#?}", next.lines()?);
            ensure!(next.terminate().await?.success());
            assert_eq!(recent(story).await?, on_record, "{version}");
            assert_eq!(ns.revisions_of("Deployment", "web").await?.len(), revisions, "{version}");
        }
        Ok(())
    })
    .await
}

/// The twin: what had not ended is followed to its end by whoever comes next, and counted once.
#[tokio::test]
async fn a_rollout_that_had_not_ended_is_counted_by_who_follows_it() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("ended-not", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let slow = deployment("web", 1).pod_annotation("testbed.sidecar-drift/ready-after", "6s");
        ns.deploy(slow.pod_label(injector.label())).await?;
        story.create_state().await?;
        injector.set_version("v2").await?;
        let daemon = story.daemon(&ENFORCE)?;
        daemon.until_it_says("it has begun", |line| line.is("rollout started")).await?;
        daemon.kill9();
        let next = story.daemon(&ENFORCE)?;
        let ended = next.until_it_ends_a_rollout_of("Deployment", "web").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        let once = json!(["converged"]);
        eventually("that is on record, once", DEADLINE, async || Ok((recent(story).await? == once).then_some(())))
            .await?;
        ensure!(next.terminate().await?.success());
        assert_eq!(ns.revisions_of("Deployment", "web").await?.len(), 2);
        Ok(())
    })
    .await
}

/// A person undoes our rollout: no daemon fights with that, not even for new drift, and neither does the next one.
#[tokio::test]
async fn a_rollout_that_a_person_undid_is_not_made_again() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("ended-undone", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        tokio::try_join!(
            ns.deploy(deployment("undone", 1).pod_label(injector.label())),
            ns.deploy(deployment("twin", 1).pod_label(injector.label())),
        )?;
        story.create_state().await?;
        let api: Api<Deployment> = Api::namespaced(ns.client().clone(), ns.name());
        let first = api.get("undone").await?.spec.template;
        injector.set_version("v2").await?;
        let daemon = story.daemon(&ENFORCE)?;
        for name in ["undone", "twin"] {
            let ended = daemon.until_it_ends_a_rollout_of("Deployment", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{name}: {ended:?}");
        }

        // As `kubectl rollout undo` does: the template is what its first revision says.
        let undo = json!([{ "op": "replace", "path": "/spec/template", "value": first }]);
        let undo = Patch::<Value>::Json(serde_json::from_value(undo)?);
        api.patch("undone", &PatchParams::default(), &undo).await?;
        ns.wait_for_rollout("Deployment", "undone").await?;
        let before = story.uids("Deployment", "undone").await?;
        injector.set_version("v3").await?;
        let held = ["sidecar_drift_held_workloads{gate=\"reverted\"} 1"];
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", "twin").await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        daemon.until_metrics_say(&held).await?;
        ensure!(daemon.terminate().await?.success());

        // One that knows only what the revisions say.
        let next = story.daemon(&ENFORCE)?;
        next.until_metrics_say(&held).await?;
        assert_eq!(story.uids("Deployment", "undone").await?, before, "it was rolled again");
        ensure!(next.terminate().await?.success());
        Ok(())
    })
    .await
}
