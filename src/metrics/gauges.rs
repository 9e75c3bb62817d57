//! The gauges of one scrape, computed from the published report.

use std::collections::BTreeMap;

use ::metrics::{Label, gauge};

use super::table::{
    BUILD_INFO, COMPLETE, HELD, IGNORED, LEADER, OLDEST_DRIFT, PODS_DIFFERING, QUEUE, QUEUE_AGE, ROLLOUTS_IN_FLIGHT,
    ROLLOUTS_LEFT, SIDECARS, STOPPED, UNDETERMINED, WINDOW, WORKLOADS,
};
use crate::{
    core::{
        report::{Report, WorkloadReport},
        shape::Name,
        words::Word,
    },
    document::summary::differing,
};

/// The text of all gauges, from a recorder that is thrown away afterwards.
pub(super) fn render(report: Option<&Report>, by_namespace: bool) -> String {
    let recorder = super::recorder();
    let handle = recorder.handle();
    ::metrics::with_local_recorder(&recorder, || {
        gauge!(BUILD_INFO.name, "version" => env!("CARGO_PKG_VERSION")).set(1);
        if let Some(report) = report {
            write(report, by_namespace);
        }
    });
    handle.render()
}

fn write(report: &Report, by_namespace: bool) {
    gauge!(LEADER.name).set(yes(report.leader));
    gauge!(STOPPED.name, "by" => "pause").set(yes(report.paused.is_some()));
    gauge!(STOPPED.name, "by" => "breaker").set(yes(report.breaker.is_some()));
    gauge!(STOPPED.name, "by" => "guard").set(yes(report.guard == Some(false)));
    gauge!(STOPPED.name, "by" => "alerts").set(yes(report.alerts.as_ref().is_some_and(|alerts| alerts.blocking)));
    if let Some(open) = report.window_open {
        gauge!(WINDOW.name).set(yes(open));
    }
    // A follower asks nothing, so what it knows of workloads is old or nothing at all.
    if report.leader {
        write_findings(report, by_namespace);
    }
}

fn write_findings(report: &Report, by_namespace: bool) {
    workloads(report, by_namespace);
    gauge!(COMPLETE.name).set(yes(report.complete));
    gauge!(OLDEST_DRIFT.name).set(oldest(report));
    gauge!(QUEUE.name).set(number(report.queued));
    gauge!(QUEUE_AGE.name).set(whole(report.queued_seconds));
    let in_flight = report.rollouts.iter().filter(|rollout| rollout.outcome.is_none()).count();
    gauge!(ROLLOUTS_IN_FLIGHT.name).set(number(in_flight));
    if let Some(left) = report.rollouts_left {
        gauge!(ROLLOUTS_LEFT.name).set(f64::from(left));
    }
}

fn workloads(report: &Report, by_namespace: bool) {
    let workloads = &report.workloads;
    let namespace = |w: &WorkloadReport| by_namespace.then(|| w.namespace.clone());
    let labels = |namespace: Option<Name>, others: Vec<Label>| {
        namespace.map(|namespace| Label::new("namespace", namespace)).into_iter().chain(others).collect::<Vec<_>>()
    };
    let verdicts = count(workloads.iter().map(|w| (namespace(w), w.kind.clone(), w.verdict)));
    for ((namespace, kind, verdict), n) in verdicts {
        let others = vec![Label::new("kind", kind), Label::from_static_parts("verdict", verdict.as_str())];
        gauge!(WORKLOADS.name, labels(namespace, others)).set(number(n));
    }
    let sidecars = workloads.iter().flat_map(|w| w.sidecars.iter().map(move |s| (namespace(w), s.clone(), w.verdict)));
    for ((namespace, sidecar, verdict), n) in count(sidecars) {
        let others = vec![Label::new("sidecar", sidecar), Label::from_static_parts("verdict", verdict.as_str())];
        gauge!(SIDECARS.name, labels(namespace, others)).set(number(n));
    }
    let mut pods = BTreeMap::new();
    for workload in workloads {
        *pods.entry(namespace(workload)).or_default() += differing(workload);
    }
    for (namespace, n) in pods {
        gauge!(PODS_DIFFERING.name, labels(namespace, vec![])).set(number(n));
    }
    for (reason, n) in count(workloads.iter().filter_map(|w| w.reason)) {
        gauge!(UNDETERMINED.name, "reason" => reason.as_str()).set(number(n));
    }
    for (gate, n) in count(workloads.iter().filter_map(|w| w.gate)) {
        gauge!(HELD.name, "gate" => gate.as_str()).set(number(n));
    }
    for (place, rule) in (1_usize..).zip(&report.ignore) {
        gauge!(IGNORED.name, "rule" => place.to_string()).set(number(rule.fields));
    }
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

#[expect(clippy::cast_precision_loss, reason = "nothing waits for 2^52 seconds")]
fn whole(n: u64) -> f64 {
    n as f64
}

fn yes(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
