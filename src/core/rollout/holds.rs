//! Which Events are written of what is held: drift that is not rolled out by itself, and what is no part of the ordinary course.
//!
//! What is rolled out is told by its rollout. Drift, start and success of a hundred workloads would be three hundred Events.

use super::ledger::Entry;
use crate::core::{
    io::{EventReason, Outbox},
    model::{
        WorkloadKey,
        words::{Gate, Verdict},
    },
    verdict::Judged,
};

/// Writes an Event of drift that is not rolled out by itself, once for each change.
pub(super) fn record_drift(key: &WorkloadKey, gate: Gate, judged: &Judged, entry: &mut Entry, out: &mut Outbox) {
    let Judged { verdict, change, .. } = judged;
    // Of one that did not converge its outcome told, and a refusal has an Event of its own.
    let drift = matches!(verdict, Verdict::Drifted | Verdict::Missing | Verdict::Removed);
    if drift && waits_for_somebody(gate) && entry.told.as_ref() != Some(change) {
        entry.told = Some(change.clone());
        out.record_event(key, EventReason::DriftDetected, format!("{verdict}: {change}"));
    }
}

/// Writes an Event of a workload's being held, if that is no part of the ordinary course of things.
pub(super) fn record_hold(key: &WorkloadKey, gate: Gate, out: &mut Outbox) {
    let reason = match gate {
        Gate::BreakerOpen => EventReason::BreakerOpen,
        Gate::GuardMissing => EventReason::GuardMissing,
        _ => return,
    };
    out.record_event(key, reason, reason.meaning().to_owned());
}

/// Whether a gate lets go only when its owner, or an operator, does something; the others pass, and then it is rolled out.
fn waits_for_somebody(gate: Gate) -> bool {
    match gate {
        Gate::ReportOnly
        | Gate::DifferenceNotEnabled
        | Gate::PatchedLive
        | Gate::LossUnproven
        | Gate::OptedOut
        | Gate::Accepted
        | Gate::Excluded
        | Gate::ExcludedSystem
        | Gate::BadAnnotation
        | Gate::Paused
        | Gate::WorkloadPaused
        | Gate::PdbConflict
        | Gate::SingleReplica
        | Gate::RecreateStrategy
        | Gate::OnDelete
        | Gate::UnsupportedOwner
        | Gate::SelfRolling
        | Gate::CollateralChange
        | Gate::AlreadyTried
        | Gate::Reverted
        | Gate::Rejected => true,
        // The first two have Events of their own.
        Gate::BreakerOpen
        | Gate::GuardMissing
        | Gate::Unseen
        | Gate::Rolling
        | Gate::Unhealthy
        | Gate::ClusterBusy
        | Gate::Cooldown
        | Gate::DailyCap
        | Gate::OutsideWindow
        | Gate::PdbHeadroom
        | Gate::SurgeQuota
        | Gate::RateLimit
        | Gate::Concurrency
        | Gate::NamespaceConcurrency
        | Gate::Canary
        | Gate::InjectorUnhealthy
        | Gate::AlertFiring
        | Gate::NotLeader
        | Gate::BackingOff
        | Gate::FirstSweep => false,
    }
}
