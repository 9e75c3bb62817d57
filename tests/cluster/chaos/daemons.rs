//! It is the daemons that fail.

use std::time::Duration;

use anyhow::{Result, ensure};
use testbed::{Testbed, eventually, injector::Sidecar, skip};
use tokio::time::sleep;

use super::{ENFORCE, each_was_rolled_exactly_once, fleet, names, with_ledger};
use crate::support::{ACCOUNT, DEADLINE, Daemon, Injector, Rights, Story, story};

/// Thirty workloads that are out of date.
async fn drifted<'t>(story: &Story<'t>) -> Result<Injector<'t>> {
    let mut injector = Injector::install(&story.ns, Sidecar::new("proxy")).await?;
    fleet(&story.ns, &injector.label()).await?;
    injector.set_version("v2").await?;
    story.create_state().await?;
    Ok(injector)
}

async fn until_all_are_in_sync(daemon: &Daemon<'_>) -> Result<()> {
    for name in names() {
        daemon.until_verdict(&format!("Deployment/{name}"), "in_sync", None).await?;
    }
    Ok(())
}

/// Numbers that look random, and are the same each time.
fn draw(state: &mut u64) -> u64 {
    // Knuth's multiplier; the low bits are not random, so the high ones are taken.
    *state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
    *state >> 33
}

/// Each life lasts between nothing and what it takes to roll a few.
#[tokio::test]
async fn killed_twenty_times_at_random_moments() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("chaos-killed", Rights::Enforce, async |story| {
        let _injector = drifted(story).await?;
        // Nobody else is there, and waiting for a lease of the dead would only be slow.
        let arguments = [&ENFORCE[..], &["--leader-election=false"]].concat();
        with_ledger(&story.ns, async |ledger| {
            let mut seed = 20_261_122;
            for life in 1..=20 {
                let daemon = story.daemon(&arguments)?;
                let begun = ledger.done();
                let millis = 200 + draw(&mut seed) % 4_800;
                // The moment is the point, whatever happens in it.
                sleep(Duration::from_millis(millis)).await;
                daemon.kill9();
                println!("life {life}: {millis} ms, {} rolled", ledger.done() - begun);
            }
            let last = story.daemon(&arguments)?;
            until_all_are_in_sync(&last).await?;
            ensure!(last.terminate().await?.success());
            let most = each_was_rolled_exactly_once(&story.ns, ledger).await?;
            println!("each was rolled exactly once, and at most {most} at once");
            Ok(())
        })
        .await
    })
    .await
}

/// Whoever leads is frozen until the other one does, and then wakes.
#[tokio::test]
async fn three_leaders_in_turn_are_frozen_past_their_lease_and_wake() -> Result<()> {
    const SECOND: &str = "second";
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("chaos-frozen", Rights::Enforce, async |story| {
        let _injector = drifted(story).await?;
        let second = story.account(SECOND, Rights::Enforce).await?;
        let arguments = [&ENFORCE[..], &["--lease-duration=3s"]].concat();
        with_ledger(&story.ns, async |ledger| {
            let mut leader = story.daemon(&arguments)?;
            led(&leader, 1).await?;
            let mut other = story.daemon_as(&second, &arguments)?;
            for (turn, terms) in [1, 2, 2].into_iter().enumerate() {
                let begun = ledger.done();
                eventually("another one is rolled", DEADLINE, async || {
                    Ok((ledger.done() > begun || ledger.done() == names().count()).then_some(()))
                })
                .await?;
                leader.freeze()?;
                led(&other, terms).await?;
                leader.thaw()?;
                println!("turn {}: {} rolled", turn + 1, ledger.done());
                std::mem::swap(&mut leader, &mut other);
            }
            until_all_are_in_sync(&leader).await?;
            ensure!(other.terminate().await?.success());
            ensure!(leader.terminate().await?.success());
            let most = each_was_rolled_exactly_once(&story.ns, ledger).await?;
            println!("each was rolled exactly once, and at most {most} at once");
            Ok(())
        })
        .await?;
        // The audit log has it, too: no workload was written to twice, by whomever.
        let Some(audit) = story.testbed().audit() else { return Ok(()) };
        let mut stamped = Vec::new();
        for account in [ACCOUNT, SECOND] {
            let filter = testbed::Filter::default().service_account(story.ns.name(), account);
            let asked = audit.entries(&filter).await?;
            let patches = asked.into_iter().filter(|entry| entry.api_group == "apps" && entry.writes());
            stamped.extend(patches.filter(|entry| entry.code == Some(200)).map(|entry| entry.name));
        }
        stamped.sort();
        assert!(stamped.iter().eq(names().collect::<Vec<_>>().iter()), "{stamped:?}");
        Ok(())
    })
    .await
}

/// Waits until it has begun to lead so often.
async fn led(daemon: &Daemon<'_>, times: usize) -> Result<()> {
    eventually(format_args!("it leads for the {times}. time"), DEADLINE, async || {
        let terms = daemon.lines()?.iter().filter(|line| line.is("leading")).count();
        Ok((terms >= times).then_some(()))
    })
    .await
}
