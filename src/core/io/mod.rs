//! The two sides of the core: what comes in ([`Input`]) and what is to be done ([`Effect`]).
//!
//! Owns nothing but the [`Outbox`] of the step under way. It is plain data, below the parts that exchange it, so that each
//! of them can leave an effect where it belongs in the order. It may never decide anything.

mod alerts;
pub mod api_response;
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
    effect::Effect,
    event::{Event, EventReason, LONGEST_NOTE},
    input::Input,
    notice::Notice,
    outbox::Outbox,
    persisted_state::{Canary, Lock, Retry, StateRecord, Stop},
    render::{Confirmation, RenderOutcome, RenderReply, RenderRequest},
    watch::{WatchEvent, WatchKind, WatchSource},
    write::{
        AlertsReply, AlertsRequest, EvictOutcome, EvictReply, EvictRequest, PatchOutcome, PatchReply, PatchRequest,
        WorkloadRef,
    },
};
