//! A rendering.

use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::core::model::{Name, shape::PodShape};

/// One rendering beside the template that it was made from.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Rendering {
    /// The template as the controller would send it, before admission.
    pub template: Arc<PodShape>,
    /// What admission made of it.
    pub rendered: Arc<PodShape>,
    /// The name the Pod was given (StatefulSets only: names of the others are made after admission).
    pub pod_name: Option<Name>,
    /// The ordinal of the Pod whose claims it was given (StatefulSets only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub claims: Option<u32>,
    /// The Node that it was made for (DaemonSets only).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
}
