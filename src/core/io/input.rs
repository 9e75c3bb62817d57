//! What comes in.

use serde::{Deserialize, Serialize};

use super::{
    persisted_state::StateRecord,
    render::RenderReply,
    watch::{WatchEvent, WatchSource},
    write::{AlertsReply, EvictReply, PatchReply},
};
use crate::core::config::Policy;

/// Everything that can happen to the core.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Input {
    /// A watch says something.
    Watch {
        /// Which one.
        source: WatchSource,
        /// What.
        event: WatchEvent,
    },
    /// A rendering came back.
    Rendered(Box<RenderReply>),
    /// A patch was answered.
    Patched(PatchReply),
    /// An eviction was answered.
    Evicted(EvictReply),
    /// We lead, or no longer.
    Leadership(bool),
    /// The state ConfigMap as it is now; `None`: missing or unreadable, which means paused.
    State(Option<StateRecord>),
    /// A probe of the guard was answered: the guard refused it, as it must, or it did not.
    Guard(bool),
    /// Prometheus was asked which alerts fire.
    Alerts(AlertsReply),
    /// The operator changed the configuration: what the watches bring must be the same.
    Policy(Box<Policy>),
    /// The time that [`Effect::WakeAt`] asked for has come.
    Timer,
    /// Stop taking on work.
    Shutdown,
}
