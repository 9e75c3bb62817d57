//! What people should hear of.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::watch::WatchSource;
use crate::core::model::{
    Name, WorkloadKey,
    words::{Gate, Outcome, UndeterminedReason, Verdict},
};

/// Something that people should hear of.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "notice", rename_all = "snake_case")]
pub enum Notice {
    /// Something that injection depends on moved.
    #[serde(rename = "generation_moved")]
    ScopeMoved {
        /// The scope: `cluster`, `injector istio-sidecar-injector`, `namespace shop`, ...
        scope: String,
        /// What moved it, by whom, when.
        cause: String,
        /// How many workloads depend on it.
        workloads: usize,
    },
    /// A workload's verdict changed, or it differs in another way than before.
    VerdictChanged {
        /// Whose.
        workload: WorkloadKey,
        /// From.
        from: Verdict,
        /// To.
        to: Verdict,
        /// The reason of an `undetermined`.
        reason: Option<UndeterminedReason>,
        /// What changed, in short: `istio-proxy image 1.27.0 → 1.27.1`.
        change: String,
    },
    /// An injector answers so slowly that it is left alone for a while.
    InjectorSlow {
        /// The scope.
        scope: String,
        /// For how long.
        seconds: u64,
    },
    /// Fewer, or more, dry runs than before are in flight at once, because so many are answered best.
    RenderLimit {
        /// The scope; `None`: the API server, all of them.
        scope: Option<String>,
        /// How many.
        limit: usize,
    },
    /// A rollout was started.
    RolloutStarted {
        /// Whose.
        workload: WorkloadKey,
        /// For what.
        reason: String,
    },
    /// A rollout moved on.
    RolloutProgress {
        /// Whose.
        workload: WorkloadKey,
        /// `2 of 3 updated`
        message: String,
    },
    /// A Pod was evicted, because nobody else replaces it.
    PodEvicted {
        /// Whose.
        workload: WorkloadKey,
        /// Its name.
        pod: Name,
    },
    /// A rollout ended, or (`timed_out`) is late.
    RolloutEnded {
        /// Whose.
        workload: WorkloadKey,
        /// How.
        outcome: Outcome,
        /// One sentence.
        message: String,
        /// How long it took.
        seconds: u64,
    },
    /// A confirmation found that a planned rollout is not to be made now.
    RolloutHeld {
        /// Whose.
        workload: WorkloadKey,
        /// By what.
        gate: Gate,
    },
    /// We were asked to stop: nothing new is begun.
    Stopping {
        /// Rollouts under way, which are followed to their end where somebody waits for it.
        rollouts: usize,
    },
    /// The breaker opened.
    BreakerOpened {
        /// Whose rollout was the last one.
        workload: WorkloadKey,
        /// Where nothing is rolled out any more; `None`: everywhere.
        namespace: Option<Name>,
        /// Why.
        reason: String,
        /// When.
        at: Timestamp,
    },
    /// Whether the API server holds us to dry runs, found out for the first time or changed.
    Guard {
        /// It does.
        in_force: bool,
    },
    /// Whether alerts hold all rollouts, found out for the first time or changed.
    Alerts {
        /// They do.
        blocking: bool,
        /// Which, or why that is not known; empty if they do not.
        message: String,
    },
    /// A watch could not be started.
    WatchUnavailable {
        /// Which.
        source: WatchSource,
        /// One sentence.
        message: String,
    },
    /// The bad value of an annotation.
    BadAnnotation {
        /// Where.
        workload: WorkloadKey,
        /// What is wrong and what would be right.
        message: String,
    },
}
