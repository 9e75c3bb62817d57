//! The guard of kinds that are looked at only where they are named.

use anyhow::Result;
use serde_json::{Value, json};
use testbed::{
    Testbed,
    workload::{replica_set, replication_controller, rollout},
};

use super::guard::{denied, story_with};
use crate::described::stores::Stores;

#[tokio::test]
async fn an_argo_rollout_may_be_restarted_and_nothing_else_may_be_done_with_it() -> Result<()> {
    const ONLY_THE_STAMP: &str = "only the stamp on the Pod template may change, not the rest of the spec";
    if Testbed::shared().await?.assets().is_none() {
        return testbed::skip("the CRDs of an existing cluster are its owner's");
    }
    story_with("guard-argo", json!({ "kinds": ["deployments", "rollouts"] }), async |account, ns| {
        let _argo = ns.argo_rollouts().await?;
        ns.create(rollout("web", 1)).await?;
        let path = format!("/apis/argoproj.io/v1alpha1/namespaces/{}/rollouts/web", account.namespace);
        let change = async |spec: Value| {
            account.send("PATCH", &path, "application/merge-patch+json", &json!({ "spec": spec })).await
        };
        let (code, answer) = change(json!({ "restartAt": "2026-01-01T00:00:00Z" })).await?;
        assert_eq!(code, 200, "{answer}");
        for spec in [
            json!({ "paused": true }),
            json!({ "replicas": 2 }),
            json!({ "restartAt": "2026-01-02T00:00:00Z", "paused": true }),
            json!({ "template": { "metadata": { "annotations": { "sidecarRollout.rollout.timestamp": "x" } } } }),
            json!({ "template": { "spec": { "hostNetwork": true } } }),
        ] {
            denied(&change(spec).await?, ONLY_THE_STAMP);
        }
        let answer = account.send("DELETE", &path, "application/json", &json!({})).await?;
        denied(&answer, "workloads may be stamped, and nothing else may be done with them");
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_described_kind_may_be_stamped_where_its_template_is_and_nothing_else_may_be_done_with_it() -> Result<()> {
    if Testbed::shared().await?.assets().is_none() {
        return testbed::skip("the CRDs of an existing cluster are its owner's");
    }
    let owners = json!([{ "api": "guarded.example.com/v1", "kind": "Store", "template": "spec.server.pod" }]);
    story_with("guard-described", json!({ "owners": owners }), async |account, ns| {
        let stores = Stores::in_group(ns, "guarded.example.com");
        stores.serve().await?;
        stores.create("web", None, false).await?;
        let path = format!("/apis/guarded.example.com/v1/namespaces/{}/stores/web", account.namespace);
        let change = async |spec: Value| {
            account.send("PATCH", &path, "application/merge-patch+json", &json!({ "spec": spec })).await
        };
        let annotated = |key: &str| json!({ "server": { "pod": { "metadata": { "annotations": { key: "x" } } } } });
        for _ in 0..2 {
            let (code, answer) = change(annotated("sidecarRollout.rollout.timestamp")).await?;
            assert_eq!(code, 200, "{answer}");
        }
        for (spec, why) in [
            (
                annotated("example.com/mine"),
                "of the Pod template's annotations only the stamp may be set, and none removed",
            ),
            (
                json!({ "server": { "pod": { "spec": { "hostNetwork": true } } } }),
                "only the stamp on the Pod template may change, not what it runs",
            ),
            (
                json!({ "server": { "pod": { "metadata": { "labels": { "a": "b" } } } } }),
                "only the stamp on the Pod template may change, not its other metadata",
            ),
            (
                json!({ "server": { "count": 3 } }),
                "only the stamp on the Pod template may change, not what is beside the template",
            ),
            (json!({ "suspended": true }), "only the stamp on the Pod template may change, not the rest of the spec"),
        ] {
            denied(&change(spec).await?, why);
        }
        let status = json!({ "status": { "seen": 99 } });
        let answer = account.send("PATCH", &format!("{path}/status"), "application/merge-patch+json", &status).await?;
        denied(&answer, "workloads may be stamped, and nothing else may be done with them");
        denied(
            &account.send("DELETE", &path, "application/json", &json!({})).await?,
            "workloads may be stamped, and nothing else may be done with them",
        );
        stores.serve_no_more().await
    })
    .await
}

#[tokio::test]
async fn what_is_only_evicted_may_be_stamped_and_nothing_else_may_be_done_with_it() -> Result<()> {
    let config = json!({ "kinds": ["replicasets", "replicationcontrollers"], "evict-on-delete": true });
    story_with("guard-replicas", config, async |account, ns| {
        ns.create(replica_set("alone", 1)).await?;
        ns.create(replication_controller("old", 1)).await?;
        let here = &account.namespace;
        for path in [
            format!("/apis/apps/v1/namespaces/{here}/replicasets/alone"),
            format!("/api/v1/namespaces/{here}/replicationcontrollers/old"),
        ] {
            let change = async |spec: Value| {
                account.send("PATCH", &path, "application/merge-patch+json", &json!({ "spec": spec })).await
            };
            let annotated = |key: &str| json!({ "template": { "metadata": { "annotations": { key: "x" } } } });
            let (code, answer) = change(annotated("sidecarRollout.rollout.timestamp")).await?;
            assert_eq!(code, 200, "{answer}");
            for (spec, why) in [
                (
                    annotated("example.com/mine"),
                    "of the Pod template's annotations only the stamp may be set, and none removed",
                ),
                (json!({ "replicas": 2 }), "only the stamp on the Pod template may change, not the rest of the spec"),
            ] {
                denied(&change(spec).await?, why);
            }
            let nothing_else = "workloads may be stamped, and nothing else may be done with them";
            denied(&account.send("DELETE", &path, "application/json", &json!({})).await?, nothing_else);
        }
        Ok(())
    })
    .await
}
