//! What is measured beside others, on a real API server.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::{Assets, AuditEntry, Filter};
use tokio::{
    io::{AsyncBufReadExt as _, BufReader, stdin},
    time::Instant,
};

use crate::{
    Settings,
    child::Measured,
    cluster::Cluster,
    daemon::{self, Daemon},
    fleet::Fleet,
    predecessor,
    results::{Results, median, number},
    say,
};

/// Short measurements are repeated so often, and the one in the middle counts.
const TIMES: usize = 5;
/// A scan is one in which the API server collects its garbage or does not.
const SCANS: usize = 9;

/// Dry runs in flight, of ours and of the load generator alike: what DESIGN's numbers were measured with.
const IN_FLIGHT: usize = 8;

/// The list of all Pods, by those who keep them whole.
const PATIENCE: Duration = Duration::from_mins(10);

/// A changed policy is in force within a second.
const SETTLE: Duration = Duration::from_secs(2);

/// Pods of the slope's second point, as a multiple of the first.
const MORE: usize = 5;

pub(crate) async fn measure(settings: &Settings, results: &mut Results) -> Result<()> {
    let fleet = Fleet::of_pods(settings.scaled(10_000));
    say(format_args!("a real API server, {} Pods of {} Deployments", fleet.pods(), fleet.deployments));
    let mut cluster = Cluster::start().await?;
    idle(settings, &cluster, results).await?;
    cluster.prepare(fleet.deployments).await?;
    let took = cluster.fill(fleet.replicas).await?;
    say(format_args!("created in {:.0} s", took.as_secs_f64()));

    speed(settings, &cluster, results).await?;
    let small = memory(settings, &cluster, results).await?;
    others(settings, &cluster, small, results).await?;
    sweep(settings, &cluster, results).await?;
    cluster.inject("v1").await?;
    cluster.until_injected("v1").await?;
    predecessors(settings, &cluster, results).await?;
    slope(settings, &mut cluster, small, results).await?;
    cluster.stop().await
}

/// A cluster for whoever profiles something: for each line of standard input what its API server can do just then.
pub(crate) async fn keep(fleet: Fleet, kubeconfig: &Path) -> Result<()> {
    let mut cluster = Cluster::start().await?;
    cluster.prepare(fleet.deployments).await?;
    cluster.fill(fleet.replicas).await?;
    tokio::fs::copy(cluster.kubeconfig(), kubeconfig).await?;
    say(format_args!("{} Pods of {} Deployments behind {}", fleet.pods(), fleet.deployments, kubeconfig.display()));
    let mut lines = BufReader::new(stdin()).lines();
    while lines.next_line().await?.is_some() {
        let (_, list) = cluster.list().await?;
        let renders = cluster.render_all(IN_FLIGHT).await?;
        say(format_args!("raw list {:.2} s, raw dry runs {:.2} s", list.as_secs_f64(), renders.as_secs_f64()));
    }
    cluster.stop().await
}

/// An empty cluster.
async fn idle(settings: &Settings, cluster: &Cluster, results: &mut Results) -> Result<()> {
    let daemon = Daemon::start(settings, cluster.kubeconfig(), IN_FLIGHT).await?;
    daemon.until_complete(0).await?;
    results.note("resident_mib_idle", daemon.process.memory_at_rest().await?.mib())?;
    daemon.process.end().await
}

/// Start to full verdict, and dry runs a second, as the API server saw them. What the API server can do is measured right before
/// each scan and right after it, since a machine that others use, too, is not equally fast for minutes.
async fn speed(settings: &Settings, cluster: &Cluster, results: &mut Results) -> Result<()> {
    let audit = cluster.testbed.audit().context("no audit log")?;
    // The first list fills caches.
    cluster.list().await?;
    let (mut lists, mut renders, mut scans, mut starts, mut rates) = (vec![], vec![], vec![], vec![], vec![]);
    let mut before = raw(cluster).await?;
    for _ in 0..SCANS {
        let marker = audit.marker()?;
        let (report, scan) = daemon::scan(settings, cluster.kubeconfig(), IN_FLIGHT).await?;
        results.note("needless_restarts", number(differing(&report)))?;
        let ours = audit.entries(&Filter::default().since(marker).user_agent("sidecar-drift/")).await?;
        let dry_runs: Vec<_> = ours.iter().filter(|entry| entry.is_dry_run()).collect();
        ensure!(dry_runs.len() == cluster.deployments, "{} dry runs", dry_runs.len());
        let rendering = span(&dry_runs)?;
        say(format_args!(
            "scan {:.2} s, its dry runs {:.2} s: {}",
            scan.as_secs_f64(),
            rendering.as_secs_f64(),
            report["summary"]["verdicts"],
        ));
        let after = raw(cluster).await?;
        let around = (before.list + before.renders + after.list + after.renders) / 2;
        starts.push(scan.div_duration_f64(around));
        rates.push(((before.renders + after.renders) / 2).div_duration_f64(rendering));
        lists.push(before.list.as_secs_f64());
        renders.push(before.renders.as_secs_f64());
        scans.push(scan.as_secs_f64());
        before = after;
    }
    results.note("raw_list_seconds", median(lists))?;
    results.note("raw_renders_per_second", number(cluster.deployments) / median(renders))?;
    results.note("scan_seconds", median(scans))?;
    results.note("start_ratio_to_raw", median(starts))?;
    results.note("render_ratio_to_load_generator", median(rates))
}

/// How long the API server takes for the list of all Pods, and for the dry runs of all Deployments.
struct Raw {
    list: Duration,
    renders: Duration,
}

async fn raw(cluster: &Cluster) -> Result<Raw> {
    let (bytes, list) = cluster.list().await?;
    let renders = cluster.render_all(IN_FLIGHT).await?;
    say(format_args!(
        "raw list {:.2} s, {:.0} bytes a Pod; raw dry runs {:.2} s",
        list.as_secs_f64(),
        number(bytes) / number(cluster.fleet().pods()),
        renders.as_secs_f64(),
    ));
    Ok(Raw { list, renders })
}

/// From the first of these that came in to the last that was answered.
fn span(entries: &[&AuditEntry]) -> Result<Duration> {
    let first = entries.iter().map(|entry| entry.received).min().context("no requests")?;
    let last = entries.iter().map(|entry| entry.reached).max().context("no requests")?;
    Ok(last.duration_since(first).try_into()?)
}

/// Workloads that a rollout would be made for.
fn differing(report: &Value) -> usize {
    let verdicts = report["summary"]["verdicts"].as_object().into_iter().flatten();
    let fine = ["in_sync", "not_injected", "no_pods", "undetermined"];
    let differing = verdicts.filter(|(verdict, _)| !fine.contains(&verdict.as_str()));
    differing.filter_map(|(_, count)| count.as_u64()).filter_map(|count| usize::try_from(count).ok()).sum()
}

/// Resident memory of a daemon that has every verdict, in MiB.
async fn memory(settings: &Settings, cluster: &Cluster, results: &mut Results) -> Result<f64> {
    let daemon = Daemon::start(settings, cluster.kubeconfig(), IN_FLIGHT).await?;
    daemon.until_complete(cluster.deployments).await?;
    let memory = daemon.process.memory_at_rest().await?;
    results.note("resident_mib_10k", memory.mib())?;
    results.note("peak_mib_10k", memory.peak_mib())?;
    daemon.process.end().await?;
    Ok(memory.mib())
}

/// The memory of those who keep every Pod whole.
async fn others(settings: &Settings, cluster: &Cluster, ours: f64, results: &mut Results) -> Result<()> {
    let informer = tokio::task::spawn_blocking(Assets::informer).await??;
    let client_go = resident(settings, &informer, &[], cluster.kubeconfig()).await?;
    results.note("resident_mib_client_go", client_go)?;
    results.note("resident_ratio_to_client_go", ours / client_go)?;
    let reflector = resident(settings, &std::env::current_exe()?, &["reflector"], cluster.kubeconfig()).await?;
    results.note("resident_mib_reflector", reflector)?;
    results.note("resident_ratio_to_reflector", ours / reflector)
}

async fn resident(settings: &Settings, program: &Path, first: &[&str], kubeconfig: &Path) -> Result<f64> {
    let kubeconfig = kubeconfig.display().to_string();
    let arguments: Vec<_> = first.iter().copied().chain([kubeconfig.as_str()]).collect();
    let mut process = Measured::start(&settings.home, program, &arguments)?;
    process.until_it_prints("synced", PATIENCE).await?;
    let memory = process.memory_at_rest().await?;
    process.end().await?;
    Ok(memory.mib())
}

/// The injector changes, and every workload has to be looked at twice: what differs is asked for again. What the API server can do
/// is measured around each sweep: each dry run twice, too, since in a run half as long it may or may not collect its garbage.
async fn sweep(settings: &Settings, cluster: &Cluster, results: &mut Results) -> Result<()> {
    let raw = async || anyhow::Ok(cluster.render_all(IN_FLIGHT).await? + cluster.render_all(IN_FLIGHT).await?);
    let mut daemon = Daemon::settling(settings, cluster.kubeconfig(), IN_FLIGHT, SETTLE).await?;
    daemon.until_complete(cluster.deployments).await?;
    let (mut firsts, mut ratios) = (Vec::new(), Vec::new());
    let mut before = raw().await?;
    for round in 0..TIMES {
        daemon.process.forget_log();
        // The time that it was told to wait is none that it takes.
        let began = Instant::now() + SETTLE;
        cluster.inject(&format!("v{}", round + 2)).await?;
        let (first, last) = daemon.verdicts(cluster.deployments, "drifted").await?;
        let after = raw().await?;
        firsts.push((first - began).as_secs_f64());
        ratios.push((last - began).div_duration_f64((before + after) / 2));
        say(format_args!(
            "sweep: last verdict after {:.2} s; raw, each twice: {:.2} s before, {:.2} s after",
            (last - began).as_secs_f64(),
            before.as_secs_f64(),
            after.as_secs_f64(),
        ));
        before = after;
    }
    results.note("sweep_first_verdict_seconds", median(firsts))?;
    results.note("sweep_ratio_to_raw", median(ratios))?;
    daemon.process.end().await
}

/// The predecessor's method, between two looks of ours at the same cluster.
async fn predecessors(settings: &Settings, cluster: &Cluster, results: &mut Results) -> Result<()> {
    let (_, before) = daemon::scan(settings, cluster.kubeconfig(), IN_FLIGHT).await?;
    match predecessor::run(settings, cluster).await {
        Ok(found) => {
            let (_, after) = daemon::scan(settings, cluster.kubeconfig(), IN_FLIGHT).await?;
            results.note("predecessor_seconds", found.took.as_secs_f64())?;
            results.note("needless_restarts_predecessor", number(found.restarts))?;
            results.note("report_time_ratio_to_predecessor", ((before + after) / 2).div_duration_f64(found.took))
        }
        Err(error) => {
            say(format_args!("the predecessor's method is left out: {error:#}"));
            Ok(())
        }
    }
}

/// What one Pod more costs, all else being equal.
async fn slope(settings: &Settings, cluster: &mut Cluster, small: f64, results: &mut Results) -> Result<()> {
    let before = cluster.fleet();
    cluster.fill(before.replicas * MORE).await?;
    let after = cluster.fleet();
    let daemon = Daemon::start(settings, cluster.kubeconfig(), IN_FLIGHT).await?;
    daemon.until_complete(cluster.deployments).await?;
    let large = daemon.process.memory_at_rest().await?;
    say(format_args!("{} Pods: {:.1} MiB", after.pods(), large.mib()));
    let bytes = (large.mib() - small) * 1024.0 * 1024.0;
    results.note("bytes_per_pod", bytes / number(after.pods() - before.pods()))?;
    daemon.process.end().await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_a_rollout_would_be_made_for_counts_as_differing() {
        let report = serde_json::json!({"summary": {"verdicts": {"in_sync": 7, "drifted": 2, "missing": 1}}});
        assert_eq!(differing(&report), 3);
    }
}
