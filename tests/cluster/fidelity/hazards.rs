//! Injectors that fail, waver or treat us differently: none of their workloads is restarted for it.

use std::time::Duration;

use anyhow::Result;
use serde_json::json;
use testbed::injector::{Failure, Sidecar, WebhookOptions};

use super::bystanders::{BY_URL, beside_genuine_drift};

const UNAVAILABLE: (&str, &str) = ("undetermined", "injector_unavailable");
const IN_SYNC: (&str, &str) = ("in_sync", "");

#[tokio::test]
async fn r7_an_injector_that_is_down_with_ignore_takes_no_sidecar_away() -> Result<()> {
    beside_genuine_drift("hazard-ignore", 5, (Sidecar::native("proxy"), BY_URL), async |fleet| {
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
    beside_genuine_drift("hazard-fail", 5, (Sidecar::new("proxy"), refusing()), async |fleet| {
        fleet.odd.set(|knobs| knobs.failure = Some(Failure::InternalError));
        fleet.none_is_rolled(&[UNAVAILABLE]).await
    })
    .await
}

fn refusing() -> WebhookOptions {
    WebhookOptions { ignore_failures: false, ..BY_URL }
}

#[tokio::test]
async fn r7_an_injector_that_knows_only_the_controllers_takes_no_sidecar_away() -> Result<()> {
    beside_genuine_drift("hazard-caller", 5, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.controllers_only = true);
        fleet.none_is_rolled(&[UNAVAILABLE]).await
    })
    .await
}

#[tokio::test]
async fn r10_a_slow_injector_is_left_alone_and_others_are_served() -> Result<()> {
    beside_genuine_drift("hazard-slow", 8, (Sidecar::new("proxy"), BY_URL), async |fleet| {
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
    beside_genuine_drift("hazard-flapping", 20, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.alternates_with = Some("v2".to_owned()));
        fleet.none_is_rolled(&[IN_SYNC, ("undetermined", "unstable_rendering")]).await
    })
    .await
}

#[tokio::test]
async fn r8_a_value_that_is_new_in_each_rendering_makes_no_drift() -> Result<()> {
    // From the beginning, so that each Pod has its own.
    let sidecar = Sidecar::new("proxy").env("NONCE", "0");
    beside_genuine_drift("hazard-volatile", 5, (sidecar, BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.nonce = Some("NONCE".to_owned()));
        fleet.none_is_rolled(&[IN_SYNC]).await
    })
    .await
}

#[tokio::test]
async fn c3_c5_random_order_of_the_environment_and_of_a_list_inside_makes_no_drift() -> Result<()> {
    let sidecar = Sidecar::new("proxy").env("A", "1").env("B", "2").env("C", "3").env("LIST", "W10=");
    beside_genuine_drift("hazard-order", 5, (sidecar, BY_URL), async |fleet| {
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
    beside_genuine_drift("hazard-token", 5, (Sidecar::new("proxy"), BY_URL), async |fleet| {
        fleet.odd.set(|knobs| knobs.copies_token_volume = true);
        fleet.renew().await?;
        fleet.none_is_rolled(&[IN_SYNC]).await
    })
    .await
}

#[tokio::test]
async fn c6_a_limit_range_that_is_added_makes_no_drift() -> Result<()> {
    beside_genuine_drift("hazard-limit-range", 5, (Sidecar::new("proxy"), BY_URL), async |fleet| {
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
