//! Results as log lines: one for each notable workload, and one for the sum. They give a whole run in one format, with a time
//! on each line.

use tracing::{error, info, warn};

use super::output::{
    follow_up::FollowUp,
    rollout::{Tally, held},
    scan::{differs, remarks},
    summary::Summary,
};
use crate::core::{
    model::words::{Gate, Outcome, Word},
    report::{Report, WorkloadReport},
};

/// Logs the result of a scan.
pub(super) fn report(report: &Report) {
    for w in report.workloads.iter().filter(|w| differs(w)) {
        let (gate, then) = (w.gate.map(Gate::as_str), w.gate_in_enforce.map(Gate::as_str));
        info!(workload = name(w), verdict = %w.verdict, change = w.change, gate, gate_in_enforce = then, "differs");
    }
    follow_ups(report);
    let Summary { workloads, namespaces, .. } = Summary::of(report);
    let verdicts = Summary::of(report).line();
    info!(workloads, namespaces, complete = report.complete, verdicts, "looked");
}

/// Logs the result of rollouts.
pub(super) fn rolled(report: &Report, seconds: u64) {
    for rollout in &report.rollouts {
        let workload = format!("{}/{}/{}", rollout.kind, rollout.namespace, rollout.name);
        let (took, status) = (rollout.seconds, &rollout.message);
        match rollout.outcome {
            Some(outcome @ (Outcome::Converged | Outcome::Superseded)) => {
                info!(workload, %outcome, took, status, "rolled out");
            }
            Some(outcome @ Outcome::TimedOut) => {
                warn!(workload, %outcome, took, status, "not finished in time; it may still succeed");
            }
            Some(outcome) => error!(workload, %outcome, took, status, "rollout went wrong"),
            None => warn!(workload, took, status, "still under way"),
        }
    }
    for w in held(report) {
        info!(workload = name(w), verdict = %w.verdict, gate = w.gate.map(Gate::as_str), "held");
    }
    follow_ups(report);
    let Tally { errors, warnings } = Tally::of(report);
    let workloads = report.rollouts.len();
    info!(workloads, errors, warnings, seconds, "completed");
}

fn follow_ups(report: &Report) {
    for FollowUp { workload, what } in FollowUp::of(report) {
        warn!(workload, what, "to follow up");
    }
    for remark in remarks(report) {
        warn!("{remark}");
    }
}

fn name(w: &WorkloadReport) -> String {
    format!("{}/{}/{}", w.kind, w.namespace, w.name)
}
