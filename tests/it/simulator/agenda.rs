//! What will happen in a history.

use std::time::Duration;

use sidecar_drift::core::{
    io::{EvictRequest, Input, PatchRequest, RenderRequest, StateRecord, WatchEvent, WatchSource},
    model::WorkloadKey,
};

/// What will happen.
#[derive(Debug)]
pub(super) enum Event {
    /// A fault begins.
    Begins(usize),
    /// It ends.
    Ends(usize),
    /// A tool puts a template back, again and again until then.
    Fights(WorkloadKey, Duration),
    /// The injector has read its configuration.
    TakesEffect(u32),
    /// A controller looks at a workload.
    Controller(WorkloadKey),
    /// A process begins, in this place.
    Starts(usize),
    /// Something for the process of this incarnation.
    Process(usize, u64, Call),
    /// What lasts until the end comes again.
    Weather(usize),
    /// What is told is compared with what is so.
    Inspects,
    /// Everything is well from here on.
    Heals,
    LastMove,
}

/// What a process hears, or what it asked for has arrived at the API server.
#[derive(Debug)]
pub(super) enum Call {
    Hears(Box<Input>),
    Watch(WatchSource, Vec<WatchEvent>),
    Relists(WatchSource),
    Wakes(Duration),
    Resumes,
    Elects,
    /// What comes of trying to renew the lease, sent then.
    Renews(Duration),
    Renders(Box<RenderRequest>, Duration),
    Reads(Box<PatchRequest>),
    Patches(Box<PatchRequest>),
    SendsEviction(Box<EvictRequest>),
    Evicts(Box<EvictRequest>),
    WritesState(Box<StateRecord>),
    HearsOfState,
    Probes,
    /// Which alerts fire, by the ticket of the question.
    AsksAlerts(u64),
}
