//! CloneSets of OpenKruise, with a controller of ours that behaves as theirs is documented to (decision 0012).

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use testbed::{
    Testbed,
    injector::Sidecar,
    skip,
    workload::{Workload, clone_set},
};

use crate::support::{Injector, Rights, story};

fn with_strategy(workload: Workload, field: &str, value: Value) -> Workload {
    workload.with(|manifest| manifest["spec"]["updateStrategy"][field] = value)
}

#[tokio::test]
async fn a_clone_set_is_rolled_with_its_partition_and_not_where_it_updates_in_place() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("clone-set", Rights::Enforce, async |story| {
        let ns = &story.ns;
        let _controller = ns.clone_sets().await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        let set = |name: &str, replicas| clone_set(name, replicas).pod_label(injector.label());
        tokio::try_join!(
            ns.deploy(set("web", 2)),
            ns.deploy(with_strategy(set("half", 3), "partition", json!(2))),
            ns.deploy(with_strategy(set("in-place", 2), "type", json!("InPlaceIfPossible"))),
            ns.deploy(with_strategy(set("paused", 2), "paused", json!(true))),
        )?;
        injector.set_version("v2").await?;
        story.create_state().await?;
        let before = story.uids("CloneSet", "web").await?;
        let half = story.uids("CloneSet", "half").await?;
        let others = (story.uids("CloneSet", "in-place").await?, story.uids("CloneSet", "paused").await?);

        let enforce = [
            "--mode=enforce",
            "--without-guard",
            "--max-rollouts-per-hour=unlimited",
            "--canary=0",
            "--kinds=clonesets",
        ];
        let daemon = story.daemon(&enforce)?;
        for name in ["web", "half"] {
            let ended = daemon.until_it_ends_a_rollout_of("CloneSet", name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{name}: {ended:?}");
        }
        for name in ["in-place", "paused"] {
            daemon.until_verdict(&format!("CloneSet/{name}"), "drifted", None).await?;
        }
        ensure!(daemon.terminate().await?.success());

        assert!(story.uids("CloneSet", "web").await?.is_disjoint(&before));
        let sidecar = Sidecar::new("proxy").version("v2");
        for pod in ns.pods_of("CloneSet", "web").await? {
            assert!(sidecar.is_in(&serde_json::to_value(&pod)?), "{pod:?}");
        }
        assert_eq!(story.uids("CloneSet", "half").await?.intersection(&half).count(), 2, "the partition keeps two");
        assert_eq!(
            (story.uids("CloneSet", "in-place").await?, story.uids("CloneSet", "paused").await?),
            others,
            "one was touched"
        );
        for (name, revisions) in [("web", 2), ("half", 2), ("in-place", 1), ("paused", 1)] {
            assert_eq!(ns.revisions_of("CloneSet", name).await?.len(), revisions, "{name}");
        }
        let again = story.run(&["scan", "--output=json", "--kinds=clonesets"]).await?.document()?;
        let held = |name: &str| anyhow::Ok(again.workload(&format!("CloneSet/{name}"))?["gateInEnforce"].clone());
        assert_eq!((held("in-place")?, held("paused")?), (json!("on_delete"), json!("workload_paused")));
        Ok(())
    })
    .await
}
