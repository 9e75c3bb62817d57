//! The gauges of one scrape, computed from the published report.

use std::collections::BTreeMap;

use ::metrics::gauge;

use super::table::{
    BUILD_INFO, COMPLETE, HELD, IGNORED, LEADER, OLDEST_DRIFT, PODS_DIFFERING, QUEUE, ROLLOUTS_IN_FLIGHT, STOPPED,
    UNDETERMINED, WORKLOADS,
};
use crate::core::{
    report::{Report, WorkloadReport},
    words::Word,
};

/// The text of all gauges, from a recorder that is thrown away afterwards.
pub(super) fn render(report: Option<&Report>) -> String {
    let recorder = super::recorder();
    let handle = recorder.handle();
    ::metrics::with_local_recorder(&recorder, || {
        gauge!(BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1);
        if let Some(report) = report {
            write(report);
        }
    });
    handle.render()
}

fn write(report: &Report) {
    gauge!(LEADER.name).set(yes(report.leader));
    gauge!(STOPPED.name, "by" => "pause").set(yes(report.paused.is_some()));
    gauge!(STOPPED.name, "by" => "breaker").set(yes(report.breaker.is_some()));
    gauge!(STOPPED.name, "by" => "guard").set(yes(report.guard == Some(false)));
    // A follower asks nothing, so what it knows of workloads is old or nothing at all.
    if report.leader {
        write_findings(report);
    }
}

fn write_findings(report: &Report) {
    let workloads = &report.workloads;
    let verdicts = count(workloads.iter().map(|w| (w.namespace.clone(), w.kind.clone(), w.verdict)));
    for ((namespace, kind, verdict), n) in verdicts {
        gauge!(WORKLOADS.name, "namespace" => namespace, "kind" => kind, "verdict" => verdict.as_str()).set(number(n));
    }
    for (reason, n) in count(workloads.iter().filter_map(|w| w.reason)) {
        gauge!(UNDETERMINED.name, "reason" => reason.as_str()).set(number(n));
    }
    for (gate, n) in count(workloads.iter().filter_map(|w| w.gate)) {
        gauge!(HELD.name, "gate" => gate.as_str()).set(number(n));
    }
    let mut pods = BTreeMap::new();
    for workload in workloads {
        *pods.entry(workload.namespace.clone()).or_default() += differing(workload);
    }
    for (namespace, n) in pods {
        gauge!(PODS_DIFFERING.name, "namespace" => namespace).set(number(n));
    }
    for (place, rule) in (1_usize..).zip(&report.ignore) {
        gauge!(IGNORED.name, "rule" => place.to_string()).set(number(rule.fields));
    }
    gauge!(OLDEST_DRIFT.name).set(oldest(report));
    gauge!(QUEUE.name).set(number(report.queued));
    let in_flight = report.rollouts.iter().filter(|rollout| rollout.outcome.is_none()).count();
    gauge!(ROLLOUTS_IN_FLIGHT.name).set(number(in_flight));
    gauge!(COMPLETE.name).set(yes(report.complete));
}

fn differing(workload: &WorkloadReport) -> usize {
    workload.differing.iter().map(|group| group.pods.len()).sum()
}

/// Seconds between the first sight of the oldest difference and the report.
fn oldest(report: &Report) -> f64 {
    let first = report.workloads.iter().filter(|w| !w.differing.is_empty()).filter_map(|w| w.first_seen).min();
    first.map_or(0.0, |first| report.taken.duration_since(first).as_secs_f64().max(0.0))
}

fn count<K: Ord>(keys: impl Iterator<Item = K>) -> BTreeMap<K, usize> {
    let mut counts = BTreeMap::new();
    for key in keys {
        *counts.entry(key).or_default() += 1;
    }
    counts
}

#[expect(clippy::cast_precision_loss, reason = "no cluster has 2^52 of anything")]
fn number(n: usize) -> f64 {
    n as f64
}

fn yes(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
