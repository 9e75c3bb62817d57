//! Kubernetes Events: what of all that is told is written beside the object that it is about, where `kubectl describe`
//! shows it to its owner, who may not read our log.

use serde::{Deserialize, Serialize};

use super::{notice::Notice, write::WorkloadRef};
use crate::core::model::{
    WorkloadKey,
    words::{Outcome, Verdict},
};

/// The API server takes no longer note; in bytes.
pub const LONGEST_NOTE: usize = 1024;

/// One Event. It holds no value of an env variable or an argument.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Event {
    /// What it is about.
    pub workload: WorkloadRef,
    /// What happened, in one word.
    pub reason: EventReason,
    /// What happened, in a sentence of at most [`LONGEST_NOTE`] bytes. The same sentence about the same workload is the same
    /// Event, seen again.
    pub note: String,
}

macro_rules! reasons {
    ($($name:ident $kind:ident $action:literal $meaning:literal;)+) => {
        /// What an Event can say happened.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
        pub enum EventReason {
            $(#[doc = $meaning] $name,)+
        }

        impl EventReason {
            /// Every reason.
            pub const ALL: &'static [Self] = &[$(Self::$name),+];

            /// The reason as it is written.
            pub fn as_str(self) -> &'static str {
                match self { $(Self::$name => stringify!($name)),+ }
            }

            /// `Normal` or `Warning`.
            pub fn kind(self) -> &'static str {
                match self { $(Self::$name => stringify!($kind)),+ }
            }

            /// What we did when it happened.
            pub fn action(self) -> &'static str {
                match self { $(Self::$name => $action),+ }
            }

            /// When it is written.
            pub fn meaning(self) -> &'static str {
                match self { $(Self::$name => $meaning),+ }
            }
        }
    };
}

reasons! {
    DriftDetected Normal "Compare" "its Pods run a sidecar that would be injected differently now, or not at all, and it is not rolled out by itself";
    Rejected Warning "Compare" "its Pods would be refused if they were recreated now";
    RolloutStarted Normal "Rollout" "its Pods are being replaced; of a rollout that converges nothing more is said";
    RolloutFailed Warning "Rollout" "the rollout ended otherwise, or is late";
    NonConvergent Warning "Rollout" "the rollout has finished, but the new Pods still differ";
    BreakerOpen Warning "Plan" "too many rollouts went wrong, so it is not rolled out until `sidecar-drift resume`";
    GuardMissing Warning "Plan" "the API server does not hold us to dry runs, so it is not rolled out";
    BadAnnotation Warning "Read" "one of its annotations, or of its namespace's, means nothing";
}

/// The Event that says the same as a notice, if there is one: about which workload, why, and in which words.
pub(super) fn event_of(notice: &Notice) -> Option<(&WorkloadKey, EventReason, String)> {
    match notice {
        Notice::VerdictChanged { workload, to, .. } => match to {
            // In whose words it would be refused is in the log and in `scan`: they may quote the Pod.
            Verdict::Rejected => Some((workload, EventReason::Rejected, EventReason::Rejected.meaning().to_owned())),
            // Drift that is rolled out is told by its rollout, and the other by what holds it: one Event for each, not three.
            Verdict::Drifted
            | Verdict::Missing
            | Verdict::Removed
            | Verdict::NonConvergent
            | Verdict::Undetermined
            | Verdict::NoPods
            | Verdict::InSync
            | Verdict::NotInjected => None,
        },
        Notice::RolloutEnded { workload, outcome, message, .. } => match outcome {
            Outcome::Converged => None,
            Outcome::NonConvergent => Some((workload, EventReason::NonConvergent, message.clone())),
            Outcome::TimedOut
            | Outcome::Stalled
            | Outcome::Failed
            | Outcome::Reverted
            | Outcome::Superseded
            | Outcome::Conflict
            | Outcome::Denied => Some((workload, EventReason::RolloutFailed, format!("{outcome}: {message}"))),
        },
        Notice::BreakerOpened { workload, reason, .. } => Some((workload, EventReason::BreakerOpen, reason.clone())),
        Notice::BadAnnotation { workload, message } => Some((workload, EventReason::BadAnnotation, message.clone())),
        Notice::Guard { .. }
        | Notice::Alerts { .. }
        | Notice::ScopeMoved { .. }
        | Notice::InjectorSlow { .. }
        | Notice::RenderLimit { .. }
        | Notice::RolloutStarted { .. }
        | Notice::RolloutProgress { .. }
        | Notice::PodEvicted { .. }
        | Notice::RolloutHeld { .. }
        | Notice::Stopping { .. }
        | Notice::WatchUnavailable { .. } => None,
    }
}

/// Cut to what the API server takes, where one character ends.
pub(super) fn cut(mut note: String) -> String {
    const MORE: &str = " ...";
    if note.len() > LONGEST_NOTE {
        note.truncate(note.floor_char_boundary(LONGEST_NOTE - MORE.len()));
        note.push_str(MORE);
    }
    note
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_note_is_cut_between_two_characters() {
        assert_eq!(cut("short".to_owned()), "short");
        assert_eq!(cut("x".repeat(LONGEST_NOTE)).len(), LONGEST_NOTE);
        for shift in 0..4 {
            let note = cut("x".repeat(shift) + &"→".repeat(500));
            assert!(note.len() <= LONGEST_NOTE && note.len() > LONGEST_NOTE - 8, "{}", note.len());
            assert!(note.ends_with("→ ..."), "{note}");
        }
    }
}
