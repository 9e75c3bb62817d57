//! sidecar-drift as it is measured: the release build, its ceilings lifted.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, anyhow, bail, ensure};
use serde_json::Value;
use testbed::eventually;
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
    time::{Instant, timeout},
};

use crate::{
    Settings,
    child::{self, Measured},
};

/// No ceiling of ours is reached.
const UNLIMITED: [&str; 3] = ["--max-renders-per-second=10000", "--render-burst=10000", "--render-spacing=0s"];

/// The first list of a million Pods and fifty thousand dry runs: four minutes of processor time, on a machine of which we may
/// have a tenth.
const PATIENCE: Duration = Duration::from_mins(45);

/// Anything that is asked of the daemon itself.
const ANSWER: Duration = Duration::from_secs(30);

/// A running daemon in report mode.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub(crate) process: Measured,
    pub(crate) probes: String,
    pub(crate) api: String,
}

impl Daemon {
    /// Starts it; `in_flight`: dry runs at once.
    pub(crate) async fn start(settings: &Settings, kubeconfig: &Path, in_flight: usize) -> Result<Self> {
        Self::settling(settings, kubeconfig, in_flight, Duration::ZERO).await
    }

    /// The same, and it waits so long after a move.
    pub(crate) async fn settling(
        settings: &Settings,
        kubeconfig: &Path,
        in_flight: usize,
        settle: Duration,
    ) -> Result<Self> {
        let (kubeconfig, in_flight) = (format!("--kubeconfig={}", kubeconfig.display()), in_flight_flag(in_flight));
        let settle = format!("--settle={}s", settle.as_secs());
        let mut arguments = vec!["run", "--mode=report", "--log-format=json", &kubeconfig, &in_flight, &settle];
        arguments.extend(["--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0"]);
        arguments.extend(UNLIMITED);
        let mut process = Measured::start(&settings.home, &settings.program, &arguments)?;
        let mut addresses = Vec::new();
        while addresses.len() < 2 {
            let address = |line: &Value| line["address"].is_string();
            let (line, _) = process.until_it_says("where it listens", ANSWER, address).await?;
            addresses.extend(line["address"].as_str().map(str::to_owned));
        }
        let api = addresses.pop().context("two addresses")?;
        let probes = addresses.pop().context("two addresses")?;
        Ok(Self { process, probes, api })
    }

    /// Waits until every one of so many workloads has its verdict; returns how often each verdict was given.
    pub(crate) async fn until_complete(&self, workloads: usize) -> Result<Value> {
        let what = format!("each of {workloads} workloads has its verdict");
        let status = eventually(what, PATIENCE, async || {
            let status = self.status().await?;
            let all = status["summary"]["workloads"].as_u64().is_some_and(|n| n >= workloads as u64);
            if status["complete"] != true || !all {
                return Err(anyhow!("synced: {}, progress: {}", status["synced"], status["progress"]));
            }
            Ok(Some(status))
        });
        Ok(status.await?["summary"]["verdicts"].clone())
    }

    pub(crate) async fn status(&self) -> Result<Value> {
        Ok(serde_json::from_str(&get(&self.api, "/api/v1/status").await?.1)?)
    }

    /// Reads its log until so many workloads have had a verdict; when the first and the last of these lines came.
    pub(crate) async fn verdicts(&mut self, count: usize, verdict: &str) -> Result<(Instant, Instant)> {
        let mut times = Vec::with_capacity(count);
        for number in 1..=count {
            let what = format!("`{verdict}` for the {number}th time of {count}");
            times.push(self.process.until_it_says(what, ANSWER, |line| line["to"] == verdict).await?.1);
        }
        times.first().copied().zip(times.last().copied()).context("no verdict was waited for")
    }
}

fn in_flight_flag(in_flight: usize) -> String {
    format!("--renders-in-flight={in_flight}")
}

/// One look at everything: the report as JSON, and how long it took from start to exit.
pub(crate) async fn scan(settings: &Settings, kubeconfig: &Path, in_flight: usize) -> Result<(Value, Duration)> {
    let (kubeconfig, in_flight) = (format!("--kubeconfig={}", kubeconfig.display()), in_flight_flag(in_flight));
    let mut arguments = vec!["scan", "--output=json", &kubeconfig, &in_flight, "--settle=0s"];
    arguments.extend(UNLIMITED);
    let (text, took) = child::run(&settings.home, &settings.program, &arguments).await?;
    let report: Value = serde_json::from_str(&text)?;
    ensure!(report["complete"] == true, "the report is not complete");
    Ok((report, took))
}

/// An answer over a connection of its own, and how long it took.
pub(crate) async fn get(address: &str, path: &str) -> Result<(Duration, String)> {
    timeout(ANSWER, answer(address, path)).await.with_context(|| format!("no answer in time: {path}"))?
}

async fn answer(address: &str, path: &str) -> Result<(Duration, String)> {
    let began = Instant::now();
    let mut stream = TcpStream::connect(address).await?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    let took = began.elapsed();
    let Some((head, body)) = text.split_once("\r\n\r\n") else { bail!("{path}: not an answer") };
    ensure!(head.split(' ').nth(1) == Some("200"), "{path}: {}", head.lines().next().unwrap_or_default());
    Ok((took, body.to_owned()))
}
