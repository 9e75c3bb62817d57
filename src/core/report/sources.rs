//! Where reports come from.

use crate::core::{injection::View, render::Renders, rollout::Rollouts, verdict::Verdicts};

/// All parts, for looking.
#[derive(Clone, Copy, Debug)]
pub struct Sources<'a> {
    /// The configuration, the cluster and the time.
    pub view: View<'a>,
    /// What is known of each workload.
    pub verdicts: &'a Verdicts,
    /// What is being rendered.
    pub renders: &'a Renders,
    /// What is being rolled.
    pub rollouts: &'a Rollouts,
}
