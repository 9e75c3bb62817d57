//! The gauges of one scrape, computed from the published report.

use std::collections::BTreeMap;

use ::metrics::{Label, gauge};

use super::table::{
    BUILD_INFO, CLOCK_AHEAD, COMPLETE, GUARD, HELD, IGNORED, LEADER, OLDEST_DRIFT, PODS_DIFFERING, QUEUE, QUEUE_AGE,
    RENDER_LIMIT, ROLLOUTS_IN_FLIGHT, ROLLOUTS_LEFT, SIDECARS, STOPPED, UNDETERMINED, WINDOW, WORKLOADS,
};
use crate::{
    core::{
        config::Mode,
        model::words::{Verdict, Word},
        report::Report,
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
    gauge!(LEADER.name).set(flag(report.leader));
    if let Some(ahead) = report.clock_ahead {
        gauge!(CLOCK_AHEAD.name).set(ahead.as_secs_f64());
    }
    gauge!(STOPPED.name, "by" => "pause").set(flag(report.paused.is_some()));
    gauge!(STOPPED.name, "by" => "breaker").set(flag(report.breaker.is_some()));
    if let Some(open) = report.window_open {
        gauge!(WINDOW.name).set(flag(open));
    }
    // A follower asks nothing, so what it knows of workloads, guard and alerts is old or nothing at all.
    if report.leader {
        write_findings(report, by_namespace);
    }
}

fn write_findings(report: &Report, by_namespace: bool) {
    gauge!(STOPPED.name, "by" => "guard").set(flag(report.guard == Some(false) && report.mode == Mode::Enforce));
    if let Some(in_force) = report.guard {
        gauge!(GUARD.name).set(flag(in_force));
    }
    gauge!(STOPPED.name, "by" => "alerts").set(flag(report.alerts.as_ref().is_some_and(|alerts| alerts.blocking)));
    workloads(report, by_namespace);
    gauge!(COMPLETE.name).set(flag(report.complete));
    gauge!(OLDEST_DRIFT.name).set(oldest_difference(report));
    gauge!(QUEUE.name).set(from_usize(report.queued));
    gauge!(QUEUE_AGE.name).set(from_u64(report.queued_seconds));
    gauge!(RENDER_LIMIT.name, "who" => "api_server").set(from_usize(report.render_limits.api_server));
    if let Some(limit) = report.render_limits.injector {
        gauge!(RENDER_LIMIT.name, "who" => "injector").set(from_usize(limit));
    }
    let in_flight = report.rollouts.iter().filter(|rollout| rollout.outcome.is_none()).count();
    gauge!(ROLLOUTS_IN_FLIGHT.name).set(from_usize(in_flight));
    if let Some(left) = report.rollouts_left {
        gauge!(ROLLOUTS_LEFT.name).set(f64::from(left));
    }
}

/// What is counted of the workloads of one namespace, or of all.
#[derive(Default)]
struct Counts<'r> {
    verdicts: BTreeMap<(&'r str, Verdict), usize>,
    sidecars: BTreeMap<(&'r str, Verdict), usize>,
    differing: usize,
}

/// One pass over all workloads: there may be tens of thousands. Words are borrowed from the report until they are written.
fn workloads(report: &Report, by_namespace: bool) {
    let mut namespaces = BTreeMap::<Option<&str>, Counts<'_>>::new();
    let (mut reasons, mut gates) = (BTreeMap::new(), BTreeMap::new());
    // They are sorted by namespace, so that it is looked up once for each.
    for neighbours in report.workloads.chunk_by(|a, b| !by_namespace || a.namespace == b.namespace) {
        let namespace = neighbours.first().filter(|_| by_namespace).map(|w| &*w.namespace);
        let counts = namespaces.entry(namespace).or_default();
        for w in neighbours {
            *counts.verdicts.entry((&*w.kind, w.verdict)).or_default() += 1;
            for sidecar in &w.sidecars {
                *counts.sidecars.entry((&**sidecar, w.verdict)).or_default() += 1;
            }
            counts.differing += differing(w);
            if let Some(reason) = w.reason {
                *reasons.entry(reason).or_default() += 1;
            }
            if let Some(gate) = w.gate {
                *gates.entry(gate).or_default() += 1;
            }
        }
    }
    for (namespace, counts) in namespaces {
        write_counts(namespace, &counts);
    }
    for (reason, n) in reasons {
        gauge!(UNDETERMINED.name, "reason" => reason.as_str()).set(from_usize(n));
    }
    for (gate, n) in gates {
        gauge!(HELD.name, "gate" => gate.as_str()).set(from_usize(n));
    }
    for (place, rule) in (1_usize..).zip(&report.ignore) {
        gauge!(IGNORED.name, "rule" => place.to_string()).set(from_usize(rule.fields));
    }
}

fn write_counts(namespace: Option<&str>, counts: &Counts<'_>) {
    let namespace = namespace.map(|namespace| Label::new("namespace", namespace.to_owned()));
    let labels = |others: Vec<Label>| namespace.iter().cloned().chain(others).collect::<Vec<_>>();
    let of_verdict = |label: &'static str, word: &str, verdict: Verdict| {
        labels(vec![Label::new(label, word.to_owned()), Label::from_static_parts("verdict", verdict.as_str())])
    };
    for ((kind, verdict), n) in &counts.verdicts {
        gauge!(WORKLOADS.name, of_verdict("kind", kind, *verdict)).set(from_usize(*n));
    }
    for ((sidecar, verdict), n) in &counts.sidecars {
        gauge!(SIDECARS.name, of_verdict("sidecar", sidecar, *verdict)).set(from_usize(*n));
    }
    gauge!(PODS_DIFFERING.name, labels(Vec::new())).set(from_usize(counts.differing));
}

/// Seconds between the first sight of the oldest difference and the report.
fn oldest_difference(report: &Report) -> f64 {
    let first = report.workloads.iter().filter(|w| !w.differing.is_empty()).filter_map(|w| w.first_seen).min();
    first.map_or(0.0, |first| report.taken.duration_since(first).as_secs_f64().max(0.0))
}

#[expect(clippy::cast_precision_loss, reason = "no cluster has 2^52 of anything")]
fn from_usize(n: usize) -> f64 {
    n as f64
}

#[expect(clippy::cast_precision_loss, reason = "nothing waits for 2^52 seconds")]
fn from_u64(n: u64) -> f64 {
    n as f64
}

fn flag(is: bool) -> f64 {
    if is { 1.0 } else { 0.0 }
}
