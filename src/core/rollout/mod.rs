//! Rollouts: planned, confirmed, patched, watched, verified.
//!
//! Owns the rollouts under way, the ledger of what was done, the budget, the state ConfigMap, the guard and the alerts.
//! Is given judgements, scope changes, and the answers to patches, evictions and questions; looks at verdicts and renders.
//! Gives effects, and [`RolloutEvent`]s: what ended, what is to be judged or rendered again, what contradicted a rendering.
//! May never change a verdict, and never write what was not rendered and judged right before.

mod adopt;
pub mod alerts;
mod breaker;
mod canaries;
mod confirm;
mod context;
mod evict;
pub mod gate;
mod guard;
mod holds;
mod kept;
mod ledger;
mod patch;
mod plan;
mod plan_schedule;
mod planning;
mod record;
mod report;
mod rollout_state;
mod rollouts;
mod stalled;
mod starts;
mod state_store;
mod stays_well;
mod traces;
mod watch;

pub use self::{
    confirm::ConfirmationAnswer,
    context::{Context, RolloutEvent},
    report::{AlertsReport, RolloutReport},
    rollouts::Rollouts,
};
