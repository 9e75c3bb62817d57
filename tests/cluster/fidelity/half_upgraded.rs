//! An injector of which an old and a new copy answer by turns.

use anyhow::{Result, ensure};
use testbed::injector::{Reach, Sidecar, WebhookOptions};

use super::bystanders::{BY_URL, Bystanders, beside_genuine_drift};
use crate::support::Daemon;

#[tokio::test]
async fn r9_a_half_upgraded_pair_is_held_until_one_hash_is_left() -> Result<()> {
    let behind_a_service = WebhookOptions { reach: Reach::Service, ..BY_URL };
    beside_genuine_drift("half-upgraded", 5, (Sidecar::new("proxy"), behind_a_service), async |fleet| {
        fleet.odd.half_upgrade("v2").await?;
        // Nothing is said of them, whichever copy would answer, while others are rolled.
        let daemon = fleet.daemon()?;
        fleet.until_all_is_done(&daemon, &[("undetermined", "settling"), NOT_ASKED]).await?;
        assert_eq!(fleet.rollouts().await?, (0, 0));
        fleet.odd.finish_upgrade().await?;
        all_are_rolled(fleet, daemon).await
    })
    .await
}

/// A daemon does not tell of what is about to be asked.
const NOT_ASKED: (&str, &str) = ("", "");

#[tokio::test]
async fn r9_a_copy_that_takes_over_without_a_change_of_any_template_is_noticed() -> Result<()> {
    let behind_a_service = WebhookOptions { reach: Reach::Service, ..BY_URL };
    beside_genuine_drift("taken-over", 5, (Sidecar::new("proxy"), behind_a_service), async |fleet| {
        let daemon = fleet.daemon()?;
        fleet.until_all_is_done(&daemon, &[("in_sync", "")]).await?;
        fleet.odd.half_upgrade("v2").await?;
        fleet.odd.finish_upgrade().await?;
        all_are_rolled(fleet, daemon).await
    })
    .await
}

async fn all_are_rolled(fleet: &Bystanders<'_, '_>, daemon: Daemon<'_>) -> Result<()> {
    for name in fleet.odd_ones() {
        let ended = daemon.until_it_ends_a_rollout_of("Deployment", name).await?;
        assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
    }
    ensure!(daemon.terminate().await?.success());
    assert_eq!(fleet.rollouts().await?, (5, 1));
    Ok(())
}
