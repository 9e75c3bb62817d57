//! What readers get of ten thousand workloads, and what the engine feels of them.

use std::time::Duration;

use anyhow::Result;
use tokio::{task::JoinSet, time::sleep};

use crate::{
    Settings,
    daemon::{self, Daemon},
    fleet::Fleet,
    growth::{IN_FLIGHT, SINGLE, verdicts_after_events},
    results::{Results, ms, percentile},
    say,
    stub::Stub,
};

/// How often each page is asked for while nothing else is.
const LOOKS: usize = 200;

/// Clients that read while verdicts are measured.
const READERS: usize = 50;

/// How long each of them waits between an answer and its next question: a browser waits twice as long.
const READ_AGAIN: Duration = Duration::from_secs(1);

/// Pages for people and programs, of ten thousand workloads that all differ, which is the most that there can be to say;
/// and what the engine feels of those who read.
pub(crate) async fn measure(settings: &Settings, results: &mut Results) -> Result<()> {
    let fleet = Fleet { deployments: settings.scaled(10_000), replicas: 1 };
    let stub = Stub::new(fleet);
    stub.inject("v2");
    let kubeconfig = settings.home.join("stub.kubeconfig");
    let _server = stub.serve(&kubeconfig)?;
    let mut daemon = Daemon::start(settings, &kubeconfig, IN_FLIGHT).await?;
    let verdicts = daemon.until_complete(fleet.deployments).await?;
    say(format_args!("stub, {} workloads: {verdicts}", fleet.deployments));
    let asked = [
        ("api_page_p99_ms", daemon.api.clone(), "/api/v1/workloads"),
        ("web_page_p99_ms", daemon.api.clone(), "/"),
        ("scrape_p99_ms", daemon.probes.clone(), "/metrics"),
    ];
    for (key, address, path) in &asked {
        let mut times = Vec::new();
        for _ in 0..LOOKS {
            times.push(daemon::get(address, path).await?.0);
        }
        results.note(key, ms(percentile(&times, 99)))?;
    }

    let half = SINGLE.min(fleet.deployments / 2);
    let alone = verdicts_after_events(&mut daemon, &stub, fleet, 0..half).await?;
    let mut readers = JoinSet::new();
    for number in 0..READERS {
        if let Some((_, address, path)) = asked.get(number % asked.len()) {
            readers.spawn(read_on(address.clone(), path));
        }
    }
    let read = verdicts_after_events(&mut daemon, &stub, fleet, half..2 * half).await?;
    readers.abort_all();
    while let Some(reader) = readers.join_next().await {
        // Whoever was not ended by us got no answer.
        reader.unwrap_or(Ok(()))?;
    }
    for (percent, keys) in [
        (50, ["event_to_verdict_p50_ms_alone", "event_to_verdict_p50_ms_read"]),
        (99, ["event_to_verdict_p99_ms_alone", "event_to_verdict_p99_ms_read"]),
    ] {
        for (key, delays) in keys.into_iter().zip([&alone, &read]) {
            results.note(key, ms(percentile(delays, percent)))?;
        }
    }
    daemon.process.end().await
}

/// Reads again and again, until it is aborted or gets no answer.
async fn read_on(address: String, path: &'static str) -> Result<()> {
    loop {
        daemon::get(&address, path).await?;
        sleep(READ_AGAIN).await;
    }
}
