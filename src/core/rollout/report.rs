//! Rollouts, for readers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::model::{Name, words::Outcome};

/// One rollout.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RolloutReport {
    /// The workload's kind.
    pub kind: Name,
    /// Its namespace.
    pub namespace: Name,
    /// Its name.
    pub name: Name,
    /// What it is for.
    pub change: String,
    /// When it was started.
    pub started: Timestamp,
    /// How it ended; `None`: under way. `timed_out` may be followed by another.
    pub outcome: Option<Outcome>,
    /// It is under way, and disrupts nothing any more: its new Pods are ready, and are looked at.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub watched: bool,
    /// Where it stands, in the words of `kubectl rollout status`.
    pub message: String,
    /// How long it took, or has taken.
    pub seconds: u64,
}

/// Whether alerts hold all rollouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertsReport {
    /// They do.
    pub blocking: bool,
    /// Which, or why that is not known; empty if they do not.
    pub message: String,
}
