//! The two sides of the pure core: what comes in ([`Input`]) and what is to be done ([`Effect`]).

mod alerts;
pub mod api_response;
mod event;
mod notice;
mod persisted_state;
mod render;
mod watch;
mod write;

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

pub use self::{
    alerts::AlertsAnswer,
    event::{Event, EventReason, LONGEST_NOTE},
    notice::Notice,
    persisted_state::{Canary, Lock, Retry, StateRecord, Stop},
    render::{Confirmation, RenderOutcome, RenderReply, RenderRequest},
    watch::{WatchEvent, WatchKind, WatchSource},
    write::{
        AlertsReply, AlertsRequest, EvictOutcome, EvictReply, EvictRequest, PatchOutcome, PatchReply, PatchRequest,
        WorkloadRef,
    },
};
use crate::core::{
    config::{Policy, Trigger},
    model::Name,
};

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

/// What the core wants done.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Render a workload's Pod. Answered by [`Input::Rendered`], always.
    Render(RenderRequest),
    /// Put the stamp on a workload's Pod template. Answered by [`Input::Patched`], always.
    Patch(PatchRequest),
    /// Evict a Pod, so that its controller makes a new one. Answered by [`Input::Evicted`], always.
    Evict(EvictRequest),
    /// Watch what backs the injectors in exactly these namespaces.
    WatchBackends(BTreeSet<Name>),
    /// Watch what these triggers name. Their places are their numbers; more may be added later, none goes.
    WatchTriggers(Vec<Trigger>),
    /// Write the state ConfigMap. Answered by [`Input::State`].
    WriteState(StateRecord),
    /// Ask for what the guard must refuse. Answered by [`Input::Guard`], always.
    ProbeGuard,
    /// Ask Prometheus which of some alerts fire. Answered by [`Input::Alerts`], always.
    AskAlerts(AlertsRequest),
    /// Say something to people: log, progress line.
    Tell(Notice),
    /// Write an Event. Not answered, and lost if there are too many.
    WriteEvent(Event),
    /// Send [`Input::Timer`] when `Now::elapsed` reaches this. Replaces the one asked for before.
    WakeAt(Duration),
}
