//! The two sides of the core: what comes in ([`Input`]) and what is to be done ([`Effect`]).
//!
//! Owns the [`Outbox`] of the step under way, and nothing else.
//! Is given effects, notices and invalid reports by each part, as they come.
//! Gives them to the engine in that order. It is plain data, and stands below the parts that exchange it.
//! May never decide anything.

mod alerts;
pub mod api_response;
mod attempts;
mod covered;
mod effect;
mod event;
mod input;
mod notice;
mod outbox;
mod persisted_state;
mod render;
mod watch;
mod write;

pub use self::{
    alerts::AlertsAnswer,
    attempts::{Attempts, Tried},
    covered::Covered,
    effect::Effect,
    event::{Event, EventReason, LONGEST_NOTE},
    input::Input,
    notice::Notice,
    outbox::Outbox,
    persisted_state::{Canary, Lock, OutcomeIn, RECENT_OUTCOMES, Retry, Starts, StateRecord, Stop},
    render::{Confirmation, RenderOutcome, RenderReply, RenderRequest},
    watch::{WatchEvent, WatchKind, WatchSource},
    write::{
        AlertsReply, AlertsRequest, EvictOutcome, EvictReply, EvictRequest, PatchOutcome, PatchReply, PatchRequest,
        WorkloadRef,
    },
};
