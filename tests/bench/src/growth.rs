//! A thousand Pods to a million, from the stub: what a Pod and an event cost must not grow.

use std::{ops::Range, time::Duration};

use anyhow::{Result, anyhow};
use serde_json::Value;
use testbed::eventually;
use tokio::time::{Instant, sleep};

use crate::{
    Settings,
    daemon::Daemon,
    fleet::{self, Fleet},
    results::{Results, ms, number, percentile},
    say,
    stub::Stub,
};

/// What a size is called in the results, and how many Pods it is.
const SIZES: [(&str, usize); 4] = [("1k", 1_000), ("10k", 10_000), ("100k", 100_000), ("1m", 1_000_000)];

/// Events that the cost of one is taken of.
const EVENTS: usize = 20_000;

/// Workloads whose last Pod goes, one at a time.
pub(crate) const SINGLE: usize = 100;

/// A verdict that follows from what is known already, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(30);

/// The API server of the stub answers at once, so more in flight gain nothing.
pub(crate) const IN_FLIGHT: usize = 8;

pub(crate) async fn measure(settings: &Settings, results: &mut Results) -> Result<()> {
    for (size, pods) in SIZES {
        // Names stay what they are whatever the scale, so that a short run can be seen to work.
        grow(settings, size, Fleet::of_pods(settings.scaled(pods)), results).await?;
    }
    Ok(())
}

async fn grow(settings: &Settings, size: &str, fleet: Fleet, results: &mut Results) -> Result<()> {
    let stub = Stub::new(fleet);
    let kubeconfig = settings.home.join("stub.kubeconfig");
    let server = stub.serve(&kubeconfig)?;
    let began = Instant::now();
    let mut daemon = Daemon::start(settings, &kubeconfig, IN_FLIGHT).await?;
    let verdicts = daemon.until_complete(fleet.deployments).await?;
    let took = began.elapsed();
    let cpu = daemon.process.cpu()?;
    let memory = daemon.process.memory_at_rest().await?;
    say(format_args!(
        "stub, {} Pods: {:.1} s, {:.1} MiB resident, {:.1} MiB at most, {verdicts}",
        fleet.pods(),
        took.as_secs_f64(),
        memory.mib(),
        memory.peak_mib(),
    ));
    let resident = if size == "10k" { "resident_mib_10k_stub".to_owned() } else { format!("resident_mib_{size}") };
    results.note(&resident, memory.mib())?;
    results.note(&format!("list_us_per_pod_{size}"), ms(cpu) * 1000.0 / number(fleet.pods()))?;

    let per_event = event(&daemon, &stub, fleet).await?;
    results.note(&format!("event_us_{size}"), ms(per_event) * 1000.0)?;
    if matches!(size, "10k" | "1m") {
        let delays = verdicts_after_events(&mut daemon, &stub, fleet, 0..SINGLE.min(fleet.deployments)).await?;
        results.note(&format!("event_to_verdict_p50_ms_{size}"), ms(percentile(&delays, 50)))?;
        results.note(&format!("event_to_verdict_p99_ms_{size}"), ms(percentile(&delays, 99)))?;
    }
    daemon.process.end().await?;
    drop(server);
    Ok(())
}

/// The processor time that one event of a Pod takes, all threads together, publishing included.
async fn event(daemon: &Daemon, stub: &Stub, fleet: Fleet) -> Result<Duration> {
    let before = daemon.process.cpu()?;
    for number in 0..EVENTS {
        stub.touch_pod(number % fleet.deployments, number / fleet.deployments % fleet.replicas);
        // As fast as a busy cluster, not as fast as memory.
        if number % 100 == 0 {
            sleep(Duration::from_millis(5)).await;
        }
    }
    // The last of them is known to be heard when nothing is done any more.
    let mut last = daemon.process.cpu()?;
    eventually("all events are taken in", Duration::from_mins(2), async || {
        sleep(Duration::from_secs(1)).await;
        let now = daemon.process.cpu()?;
        let idle = now.saturating_sub(std::mem::replace(&mut last, now)) < Duration::from_millis(50);
        if !idle {
            return Err(anyhow!("{:.1} s of processor time so far", now.saturating_sub(before).as_secs_f64()));
        }
        Ok(Some(()))
    })
    .await?;
    Ok(last.saturating_sub(before) / u32::try_from(EVENTS)?)
}

/// The last Pods of these workloads go, one workload after the other, and each verdict is another: from the event to the
/// line that says so.
pub(crate) async fn verdicts_after_events(
    daemon: &mut Daemon,
    stub: &Stub,
    fleet: Fleet,
    of: Range<usize>,
) -> Result<Vec<Duration>> {
    let mut delays = Vec::new();
    daemon.process.forget_log();
    for deployment in of {
        for replica in 1..fleet.replicas {
            stub.delete_pod(deployment, replica);
        }
        sleep(Duration::from_millis(20)).await;
        let workload = format!("Deployment/{}/{}", fleet::namespace_of(deployment), fleet::app(deployment));
        let began = Instant::now();
        stub.delete_pod(deployment, 0);
        let what = format!("that {workload} has no Pods");
        let no_pods = |line: &Value| line["workload"] == workload.as_str() && line["to"] == "no_pods";
        let (_, at) = daemon.process.until_it_says(what, PATIENCE, no_pods).await?;
        delays.push(at - began);
    }
    Ok(delays)
}
