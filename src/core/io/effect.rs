//! What is to be done.

use std::{collections::BTreeSet, time::Duration};

use serde::{Deserialize, Serialize};

use super::{
    event::Event,
    notice::Notice,
    persisted_state::StateRecord,
    render::RenderRequest,
    write::{AlertsRequest, EvictRequest, PatchRequest},
};
use crate::core::{config::Trigger, model::Name};

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
    WriteState(Box<StateRecord>),
    /// Ask for what the guard must refuse. Answered by [`Input::Guard`], always.
    ProbeGuard,
    /// Ask Prometheus which of some alerts fire. Answered by [`Input::Alerts`], always.
    AskAlerts(AlertsRequest),
    /// Say something to people: log, progress line.
    #[serde(rename = "tell")]
    Notify(Notice),
    /// Write an Event. Not answered, and lost if there are too many.
    WriteEvent(Event),
    /// Send [`Input::Timer`] when `Now::elapsed` reaches this. Replaces the one asked for before.
    WakeAt(Duration),
}
