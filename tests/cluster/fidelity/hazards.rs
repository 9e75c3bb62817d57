//! Injectors that fail, waver or treat us differently: none of their workloads is restarted for it.

use std::time::Duration;

use anyhow::Result;
use k8s_openapi::api::core::v1::ResourceQuota;
use serde_json::json;
use testbed::{
    eventually,
    injector::{Failure, Sidecar, WebhookOptions},
    workload::Workload,
};

use super::bystanders::{BY_URL, beside_genuine_drift, beside_genuine_drift_of};
use crate::support::DEADLINE;

const UNAVAILABLE: (&str, &str) = ("undetermined", "injector_unavailable");
const IN_SYNC: (&str, &str) = ("in_sync", "");

#[tokio::test]
async fn r7_an_injector_that_is_down_with_ignore_takes_no_sidecar_away() -> Result<()> {
    beside_genuine_drift("hazard-ignore", ODD, (Sidecar::native("proxy"), BY_URL), async |fleet| {
        for failure in [Failure::Hangup, Failure::InternalError] {
            fleet.odd.set(|knobs| knobs.failure = Some(failure));
            let (verdict, reason) = UNAVAILABLE;
            assert_eq!(fleet.scan(&[]).await?, [(verdict.to_owned(), reason.to_owned())], "{failure:?}");
        }
        // It says that all is well, and does nothing.
        fleet.odd.set(|knobs| knobs.failure = Some(Failure::Unpatched));
        fleet.none_is_rolled(&[UNAVAILABLE]).await
    })
    .await
}

#[tokio::test]
async fn r6_an_injector_that_is_down_with_fail_is_an_error_and_no_drift() -> Result<()> {
    beside_genuine_drift("hazard-fail", ODD, (Sidecar::new("proxy"), refusing()), async |fleet| {
        fleet.odd.set(|knobs| knobs.failure = Some(Failure::InternalError));
        fleet.none_is_rolled(&[UNAVAILABLE]).await
    })
    .await
}

/// As many as one injector has in a small cluster.
const ODD: usize = 20;

fn refusing() -> WebhookOptions {
    WebhookOptions { ignore_failures: false, ..BY_URL }
}

#[tokio::test]
async fn r7_an_injector_that_knows_only_the_controllers_takes_no_sidecar_away() -> Result<()> {
    beside_genuine_drift("hazard-caller", ODD, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.controllers_only = true);
        fleet.none_is_rolled(&[UNAVAILABLE]).await
    })
    .await
}

#[tokio::test]
async fn r10_a_slow_injector_is_left_alone_and_others_are_served() -> Result<()> {
    beside_genuine_drift("hazard-slow", ODD, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.edit_webhook(|webhook| webhook["timeoutSeconds"] = json!(5)).await?;
        fleet.odd.set(|knobs| knobs.delay = Duration::from_secs(2));
        let daemon = fleet.daemon()?;
        fleet.until_all_is_done(&daemon, &[IN_SYNC, ("undetermined", "throttled")]).await?;
        daemon.until_it_says("the injector is slow", |line| line.text("message").starts_with("answers slowly")).await?;
        assert_eq!(fleet.rollouts().await?, (0, 0));
        Ok(())
    })
    .await
}

#[tokio::test]
async fn r8_an_injector_that_flaps_between_two_versions_makes_no_drift() -> Result<()> {
    beside_genuine_drift("hazard-flapping", ODD, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.alternates_with = Some("v2".to_owned()));
        fleet.none_is_rolled(&[IN_SYNC, ("undetermined", "unstable_rendering")]).await
    })
    .await
}

#[tokio::test]
async fn r8_a_value_that_is_new_in_each_rendering_makes_no_drift() -> Result<()> {
    // From the beginning, so that each Pod has its own.
    let sidecar = Sidecar::new("proxy").env("NONCE", "0");
    beside_genuine_drift("hazard-volatile", ODD, (sidecar, BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.nonce = Some("NONCE".to_owned()));
        fleet.none_is_rolled(&[IN_SYNC]).await
    })
    .await
}

#[tokio::test]
async fn c3_c5_random_order_of_the_environment_and_of_a_list_inside_makes_no_drift() -> Result<()> {
    let sidecar = Sidecar::new("proxy").env("A", "1").env("B", "2").env("C", "3").env("LIST", "W10=");
    beside_genuine_drift("hazard-order", ODD, (sidecar, BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.shuffled_list = Some("LIST".to_owned()));
        // The Pods so far have an empty list; these have one in an order of their own.
        fleet.renew().await?;
        fleet.odd.set(|knobs| knobs.shuffles_env = true);
        fleet.none_is_rolled(&[IN_SYNC]).await
    })
    .await
}

#[tokio::test]
async fn c4_the_generated_name_of_the_token_volume_makes_no_drift() -> Result<()> {
    beside_genuine_drift("hazard-token", ODD, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.copies_token_volume = true);
        fleet.renew().await?;
        fleet.none_is_rolled(&[IN_SYNC]).await
    })
    .await
}

#[tokio::test]
async fn c6_a_limit_range_that_is_added_makes_no_drift() -> Result<()> {
    beside_genuine_drift("hazard-limit-range", ODD, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        let limits = json!([{
            "type": "Container",
            "default": {"cpu": "200m", "memory": "64Mi"},
            "defaultRequest": {"cpu": "100m", "memory": "32Mi"},
        }]);
        let limit_range = json!({
            "apiVersion": "v1", "kind": "LimitRange", "metadata": {"name": "limits"}, "spec": {"limits": limits},
        });
        fleet.story.ns.create(limit_range).await?;
        fleet.none_is_rolled(&[IN_SYNC]).await
    })
    .await
}

#[tokio::test]
async fn r6_a_full_quota_makes_no_drift_and_its_pods_come_back() -> Result<()> {
    // Only Pods of this class count, so that the others can be rolled.
    let class = "system-cluster-critical";
    let of_the_class = |workload: Workload| {
        workload.with(|manifest| manifest["spec"]["template"]["spec"]["priorityClassName"] = json!(class))
    };
    let injector = (Sidecar::new("proxy"), BY_URL);
    beside_genuine_drift_of("hazard-quota", ODD, injector, of_the_class, async |fleet| {
        let scope = json!([{"scopeName": "PriorityClass", "operator": "In", "values": [class]}]);
        let ns = &fleet.story.ns;
        ns.create(json!({
            "apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "full"},
            "spec": {"hard": {"pods": ODD.to_string()}, "scopeSelector": {"matchExpressions": scope}},
        }))
        .await?;
        let quotas: kube::Api<ResourceQuota> = ns.api();
        eventually("the quota is used up", DEADLINE, async || {
            let used = quotas.get("full").await?.status.and_then(|status| status.used).unwrap_or_default();
            Ok(used.get("pods").is_some_and(|pods| pods.0 == ODD.to_string()).then_some(()))
        })
        .await?;
        fleet.odd.set_version("v2");
        fleet.none_is_rolled(&[("undetermined", "quota_full")]).await?;
        // What is said is true: it is full, and yet each Pod comes back.
        fleet.renew().await
    })
    .await
}
