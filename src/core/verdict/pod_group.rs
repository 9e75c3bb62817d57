//! Pods that differ alike.

use serde::{Deserialize, Serialize};

use crate::core::{
    compare::{FieldChange, SidecarDifference},
    model::Name,
};

/// Pods of a workload that differ in the same way.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PodGroup {
    /// Their names.
    pub pods: Vec<Name>,
    /// How they differ.
    pub differences: Vec<SidecarDifference>,
    /// What else a restart would change.
    pub collateral: Vec<FieldChange>,
}
