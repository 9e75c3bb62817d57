//! What rollouts look at, and what they tell the other parts.

use std::time::Duration;

use super::report::RolloutReport;
use crate::core::{
    injection::View,
    io::{Effect, Notice, Outbox},
    model::WorkloadKey,
    render::Renders,
    verdict::{Contradiction, Verdicts},
};

/// What rollouts may look at, and never change.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// The configuration, the cluster and the time.
    pub view: View<'a>,
    /// What is known of each workload.
    pub verdicts: &'a Verdicts,
    /// What is being rendered.
    pub renders: &'a Renders,
}

/// What happened to a rollout that another part should know of.
#[derive(Clone, Debug, PartialEq)]
pub enum RolloutEvent {
    /// One ended, or is late.
    Ended(RolloutReport),
    /// What is known of this workload may be something else now.
    Recheck(WorkloadKey),
    /// One more rendering of this workload is needed, not before then.
    Confirm(WorkloadKey, Duration),
    /// New Pods are not as rendered.
    Contradicted(Contradiction),
}

/// Where rollouts leave effects and events.
#[derive(Debug)]
pub(super) struct Emitter<'o> {
    out: &'o mut Outbox,
    events: Vec<RolloutEvent>,
}

impl<'o> Emitter<'o> {
    pub(super) fn new(out: &'o mut Outbox) -> Self {
        Self { out, events: Vec::new() }
    }

    /// The events in their order.
    pub(super) fn into_events(self) -> Vec<RolloutEvent> {
        self.events
    }

    pub(super) fn outbox(&mut self) -> &mut Outbox {
        self.out
    }

    pub(super) fn notify(&mut self, notice: Notice) {
        self.out.notify(notice);
    }

    pub(super) fn push(&mut self, effect: Effect) {
        self.out.push(effect);
    }

    pub(super) fn invalidate_report(&mut self, key: &WorkloadKey) {
        self.out.invalidate_report(key);
    }

    pub(super) fn recheck(&mut self, key: &WorkloadKey) {
        self.events.push(RolloutEvent::Recheck(key.clone()));
    }

    pub(super) fn confirm(&mut self, key: &WorkloadKey, at: Duration) {
        self.events.push(RolloutEvent::Confirm(key.clone(), at));
    }

    pub(super) fn ended(&mut self, report: RolloutReport) {
        self.events.push(RolloutEvent::Ended(report));
    }

    pub(super) fn contradicted(&mut self, contradiction: Contradiction) {
        self.events.push(RolloutEvent::Contradicted(contradiction));
    }
}
