//! Out of date sidecars are replaced, and nothing else is touched.

use std::collections::BTreeSet;

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams};
use serde_json::{Value, json};
use testbed::{
    Testbed,
    injector::Sidecar,
    skip,
    workload::{daemon_set, deployment, stateful_set},
};

use crate::support::{Injector, Rights, Story, story};

const DRIFTED: [(&str, &str); 3] = [("Deployment", "web"), ("StatefulSet", "db"), ("DaemonSet", "agent")];
const UNTOUCHED: [(&str, &str); 3] = [("Deployment", "fresh"), ("Deployment", "private"), ("Deployment", "plain")];

/// Three that are out of date, one that is not, one whose owner opted out, and one without a sidecar.
async fn fleet<'t>(story: &Story<'t>) -> Result<Injector<'t>> {
    let ns = &story.ns;
    let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
    let opted_out = deployment("private", 1).annotation("sidecar-drift/mode", "report");
    tokio::try_join!(
        ns.deploy(deployment("web", 2).pod_label(injector.label())),
        ns.deploy(stateful_set("db", 2).pod_label(injector.label())),
        ns.deploy(daemon_set("agent").pod_label(injector.label())),
        ns.deploy(opted_out.pod_label(injector.label())),
        ns.deploy(deployment("plain", 1)),
    )?;
    injector.set_version("v2").await?;
    ns.deploy(deployment("fresh", 2).pod_label(injector.label())).await?;
    Ok(injector)
}

type Uids = BTreeSet<String>;

async fn uids_of_all(story: &Story<'_>, workloads: &[(&str, &str)]) -> Result<Vec<Uids>> {
    let mut all = Vec::new();
    for (kind, name) in workloads {
        all.push(story.uids(kind, name).await?);
    }
    Ok(all)
}

/// It was rolled once: all Pods are new and have the new sidecar, and the newest template says when, why and what for.
async fn is_rolled(story: &Story<'_>, (kind, name): (&str, &str), old: &Uids) -> Result<()> {
    story.ns.wait_for_rollout(kind, name).await?;
    assert!(story.uids(kind, name).await?.is_disjoint(old), "{kind} {name}: not all Pods are new");
    let sidecar = Sidecar::new("proxy").version("v2");
    for pod in story.ns.pods_of(kind, name).await? {
        assert!(sidecar.is_in(&serde_json::to_value(&pod)?), "{pod:?}");
    }
    let revisions = story.ns.revisions_of(kind, name).await?;
    let [first, second] = revisions.as_slice() else { anyhow::bail!("not rolled exactly once: {revisions:#?}") };
    assert!(first.annotations.is_empty(), "{first:?}");
    let stamp = |key: &str| second.annotations.get(&format!("sidecarRollout.rollout.{key}")).context("no stamp");
    let timestamp = stamp("timestamp")?;
    ensure!(timestamp.ends_with('Z') && timestamp.parse::<jiff::Timestamp>().is_ok(), "{timestamp}");
    assert_eq!(stamp("reason")?, "Update sidecars proxy");
    let fingerprint = stamp("fingerprint")?.strip_prefix("v1:").context("another version")?;
    ensure!(fingerprint.len() == 64 && fingerprint.chars().all(|c| c.is_ascii_hexdigit()), "{fingerprint}");
    assert_eq!(second.annotations.len(), 3, "{second:?}");
    Ok(())
}

/// Nobody touched them.
async fn are_as_they_were(story: &Story<'_>, workloads: &[(&str, &str)], before: &[Uids]) -> Result<()> {
    assert_eq!(uids_of_all(story, workloads).await?, before, "{workloads:?}");
    for (kind, name) in workloads {
        assert_eq!(story.ns.revisions_of(kind, name).await?.len(), 1, "{kind} {name}");
    }
    Ok(())
}

#[tokio::test]
async fn the_daemon_rolls_what_drifted_and_nothing_else() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("enforce", Rights::Enforce, async |story| {
        let _injector = fleet(story).await?;
        story.create_state().await?;
        let before = uids_of_all(story, &DRIFTED).await?;
        let others = uids_of_all(story, &UNTOUCHED).await?;
        let beginning = story.marker()?;

        let enforce = ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--soak=1s"];
        let daemon = story.daemon(&enforce)?;
        for (kind, name) in DRIFTED {
            let ended = daemon.until_it_ends_a_rollout_of(kind, name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }
        ensure!(daemon.terminate().await?.success());

        for (workload, old) in DRIFTED.into_iter().zip(&before) {
            is_rolled(story, workload, old).await?;
        }
        are_as_they_were(story, &UNTOUCHED, &others).await?;
        let Some(beginning) = beginning else { return Ok(()) };
        let asked = story.asked(beginning).await?;
        let writes: BTreeSet<_> = asked
            .iter()
            .filter(|entry| {
                entry.writes() && !["selfsubjectaccessreviews", "leases", "events"].contains(&entry.resource.as_str())
            })
            .map(|entry| format!("{} {}/{}", entry.verb, entry.resource, entry.name))
            .collect();
        let ours = ["configmaps/sidecar-drift-state", "daemonsets/agent", "deployments/web", "statefulsets/db"];
        assert_eq!(writes, ours.iter().map(|what| format!("patch {what}")).collect());
        Ok(())
    })
    .await
}

/// The twin of the test above: the same fleet, the same rights, but the mode is `report`.
#[tokio::test]
async fn in_report_mode_the_daemon_leaves_the_same_fleet_alone() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("enforce-twin", Rights::Enforce, async |story| {
        let mut injector = fleet(story).await?;
        story.create_state().await?;
        let everything = [DRIFTED, UNTOUCHED].concat();
        let before = uids_of_all(story, &everything).await?;

        let daemon = story.daemon(&["--without-guard", "--max-rollouts-per-hour=unlimited", "--soak=1s"])?;
        for (kind, name) in DRIFTED {
            daemon.until_verdict(&format!("{kind}/{name}"), "drifted", Some("proxy image v1 → v2")).await?;
        }
        // By the time that it has looked at everything once more, its twin has long begun to roll.
        injector.set_version("v1").await?;
        for (kind, name) in DRIFTED {
            daemon.until_verdict(&format!("{kind}/{name}"), "in_sync", None).await?;
        }
        assert!(!daemon.lines()?.iter().any(|line| line.is("rollout started")));
        ensure!(daemon.terminate().await?.success());
        are_as_they_were(story, &everything, &before).await
    })
    .await
}

/// Kind and name of every rollout that the command says it made, and its outcome.
fn rolled(document: &Value) -> Vec<String> {
    let rollouts = document["rollouts"].as_array().into_iter().flatten();
    let field = |rollout: &Value, name: &str| rollout[name].as_str().unwrap_or_default().to_owned();
    rollouts.map(|one| format!("{}/{} {}", field(one, "kind"), field(one, "name"), field(one, "outcome"))).collect()
}

#[tokio::test]
async fn a_person_sees_a_plan_first_and_chooses_the_kinds() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("rollout", Rights::Enforce, async |story| {
        let _injector = fleet(story).await?;
        let [web, db, agent] = DRIFTED;
        let everything = [DRIFTED, UNTOUCHED].concat();
        let before = uids_of_all(story, &everything).await?;

        // The plan.
        let plan = story.run(&["rollout", "--include-statefulset"]).await?.success()?.out;
        assert!(plan.contains("2 workloads to roll out"), "{plan}");
        assert!(plan.contains("Nothing was done. Add `--confirm`"), "{plan}");
        are_as_they_were(story, &everything, &before).await?;

        // Deployments only, unless more is asked for.
        let done = story.run(&["rollout", "--confirm", "--output=json"]).await?.document()?;
        assert_eq!(rolled(&done.0), ["Deployment/web converged"], "{:#}", done.0);
        is_rolled(story, web, &before[0]).await?;
        are_as_they_were(story, &everything[1..], &before[1..]).await?;

        // StatefulSets, too; what is up to date by now is left alone.
        let web_now = story.uids(web.0, web.1).await?;
        let done = story.run(&["rollout", "--confirm", "--include-statefulset", "--output=json"]).await?.document()?;
        assert_eq!(rolled(&done.0), ["StatefulSet/db converged"], "{:#}", done.0);
        is_rolled(story, db, &before[1]).await?;
        assert_eq!(story.uids(web.0, web.1).await?, web_now);
        are_as_they_were(story, &[&[agent], &UNTOUCHED[..]].concat(), &before[2..]).await
    })
    .await
}

/// What only the state ConfigMap knows of (revisions are not retained, a tool takes stamps away) holds what a person would roll out,
/// so the plan says so, too.
#[tokio::test]
async fn what_is_on_record_alone_holds_the_plan_as_it_holds_the_rollout() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("plan-record", Rights::Enforce, async |story| {
        let _injector = fleet(story).await?;
        story.create_state().await?;
        let state = ["--state-namespace", story.ns.name()];
        let plan = story.run(&[&["rollout"][..], &state].concat()).await?.success()?.out;
        assert!(plan.contains("1 workload to roll out"), "{plan}");

        let (kind, name) = DRIFTED[0];
        let web = story.ns.workloads(kind)?.get(name).await?;
        let uid: String = web.metadata.uid.unwrap_or_default().chars().filter(|c| *c != '-').take(12).collect();
        let tried = format!("{} converged by_hand", sidecar_drift::clock::now().wall.as_second() - 60);
        let record = json!({ "attempts": { uid: [tried] } }).to_string();
        let api: Api<ConfigMap> = story.ns.api();
        let patch = Patch::Merge(json!({ "data": { "state.json": record } }));
        api.patch("sidecar-drift-state", &PatchParams::default(), &patch).await?;
        for confirm in ["--confirm=false", "--confirm"] {
            let held = story.run(&[&["rollout", confirm][..], &state].concat()).await?.success()?.out;
            assert!(held.contains("cooldown") && !held.contains("1 workload to roll out"), "{confirm}: {held}");
        }
        Ok(())
    })
    .await
}
