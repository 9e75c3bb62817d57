//! A thousand Pods to a million, from the stub: what a Pod and an event cost must not grow.

use std::time::Duration;

use anyhow::{Context as _, Result};
use testbed::eventually;
use tokio::time::{Instant, sleep, timeout};

use crate::{
    Settings,
    daemon::{self, Daemon},
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
const SINGLE: usize = 100;

/// The API server of the stub answers at once, so more in flight gain nothing.
const IN_FLIGHT: usize = 8;

pub(crate) async fn measure(settings: &Settings, results: &mut Results) -> Result<()> {
    for (size, pods) in SIZES {
        // Names stay what they are whatever the scale, so that a short run can be seen to work.
        grow(settings, size, Fleet::of_pods(settings.scaled(pods)), results).await?;
    }
    pages(settings, results).await
}

async fn grow(settings: &Settings, size: &str, fleet: Fleet, results: &mut Results) -> Result<()> {
    let stub = Stub::new(fleet);
    let kubeconfig = settings.directory.path().join("stub.kubeconfig");
    let server = stub.serve(&kubeconfig)?;
    let began = Instant::now();
    let mut daemon = Daemon::start(&settings.program, &kubeconfig, IN_FLIGHT).await?;
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
        let delays = verdicts_after_events(&mut daemon, &stub, fleet).await?;
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
        Ok(idle.then_some(()))
    })
    .await?;
    Ok(last.saturating_sub(before) / u32::try_from(EVENTS)?)
}

/// The last Pod of a workload goes, and its verdict is another: from the event to the line that says so.
async fn verdicts_after_events(daemon: &mut Daemon, stub: &Stub, fleet: Fleet) -> Result<Vec<Duration>> {
    let mut delays = Vec::new();
    for deployment in 0..SINGLE.min(fleet.deployments) {
        for replica in 1..fleet.replicas {
            stub.delete_pod(deployment, replica);
        }
        sleep(Duration::from_millis(20)).await;
        let began = Instant::now();
        stub.delete_pod(deployment, 0);
        let workload = format!("Deployment/{}/{}", fleet::namespace_of(deployment), fleet::app(deployment));
        let told = daemon.process.until_it_says(|line| line["workload"] == workload.as_str());
        timeout(Duration::from_secs(30), told).await.with_context(|| format!("nothing is said of {workload}"))??;
        delays.push(began.elapsed());
    }
    Ok(delays)
}

/// Pages for people and programs, of ten thousand workloads.
async fn pages(settings: &Settings, results: &mut Results) -> Result<()> {
    let fleet = Fleet { deployments: settings.scaled(10_000), replicas: 1 };
    let stub = Stub::new(fleet);
    let kubeconfig = settings.directory.path().join("stub.kubeconfig");
    let _server = stub.serve(&kubeconfig)?;
    let mut daemon = Daemon::start(&settings.program, &kubeconfig, IN_FLIGHT).await?;
    daemon.until_complete(fleet.deployments).await?;
    let asked = [
        ("api_page_p99_ms", daemon.api.clone(), "/api/v1/workloads"),
        ("web_page_p99_ms", daemon.api.clone(), "/"),
        ("scrape_p99_ms", daemon.probes.clone(), "/metrics"),
    ];
    for (key, address, path) in asked {
        let mut times = Vec::new();
        for _ in 0..200 {
            times.push(daemon::get(&address, path).await?.0);
        }
        results.note(key, ms(percentile(&times, 99)))?;
    }
    daemon.process.end().await
}
