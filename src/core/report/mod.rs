//! What readers see.
//!
//! Owns the report of each workload as it was made last, and the rollouts that ended.
//! Is given the keys of what changed, and looks at all other parts.
//! Gives [`Report`]: a snapshot that is never changed afterwards.
//! May never change anything else, and never makes anew what did not change.

mod explain;
mod reports;
mod snapshot;
mod sources;
mod story;

pub use self::{
    reports::Reports,
    snapshot::{IgnoreReport, Report, WorkloadReport},
    sources::Sources,
    story::{Dependency, Story},
};
