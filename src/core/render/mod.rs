//! Asking for renderings.
//!
//! Owns the queue of workloads that want one, the budget of dry runs, what is in flight, and how fast each injector answers.
//! Is given wishes, the needs of rollouts, and the API server's replies.
//! Gives requests, and each [`Answered`] to what was asked; tells who could not be asked now.
//! May never look into an answer, and knows nothing of verdicts.

pub mod budget;
pub mod dry_run_pod;
mod queue;
mod render_throttle;
mod renders;

pub use self::{
    queue::Priority,
    render_throttle::{Limits, REST, SLOW_INJECTOR_BUDGET},
    renders::{Answered, Asked, Need, Renders, Unsent, Wish},
};
