//! Documents as JSON or YAML: those that the API has, too, and the one that only a rollout by hand has.

use schemars::JsonSchema;
use serde::Serialize;

use super::{
    follow_up::FollowUp,
    redaction::Redaction,
    rollout::{End, Tally, held},
};
use crate::{
    core::report::Report,
    document::{Rollout, Workload},
};

pub use crate::document::{API_VERSION, Document};

/// What `rollout --confirm` says.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RolloutDocument {
    api_version: &'static str,
    kind: &'static str,
    /// Every workload was asked. When false, what is missing here may still differ.
    complete: bool,
    /// A signal ended it before its time.
    interrupted: bool,
    /// How long all of it took.
    seconds: u64,
    /// Rollouts that went wrong.
    errors: usize,
    /// Rollouts that nobody knows the end of, or that somebody else overtook.
    warnings: usize,
    /// Every rollout, oldest first.
    rollouts: Vec<Rollout>,
    /// Workloads that differ and were not rolled.
    held: Vec<Workload>,
    /// What a person should look at, the rollouts first.
    follow_ups: Vec<FollowUp>,
}

impl RolloutDocument {
    /// What became of the rollouts of `report`, and which workloads are left.
    pub fn new(report: &Report, end: End, tally: Tally, redaction: &Redaction) -> Self {
        let Tally { errors, warnings } = tally;
        let End { seconds, interrupted } = end;
        Self {
            api_version: API_VERSION,
            kind: "Rollout",
            complete: report.complete,
            interrupted,
            seconds,
            errors,
            warnings,
            rollouts: report.rollouts.iter().rev().map(Rollout::of).collect(),
            held: held(report).into_iter().map(|w| Workload::of(w, redaction)).collect(),
            follow_ups: FollowUp::of(report),
        }
    }
}
