//! Asking for renderings.

use std::{collections::BTreeMap, time::Duration};

use serde::{Deserialize, Serialize};

use super::write::WorkloadRef;
use crate::core::{
    compare::Rendering,
    config::WhatIf,
    model::{Attempt, Name, WorkloadSnapshot, shape::FieldSet, words::UndeterminedReason},
};

/// A dry-run Pod creation that is wanted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenderRequest {
    /// Names the reply.
    pub ticket: u64,
    /// For whom.
    pub workload: WorkloadRef,
    /// The object that holds the template: the ReplicaSet's or the ControllerRevision's name; where nothing but the workload
    /// holds it, [`TemplateSnapshot::identity`](crate::core::model::TemplateSnapshot::identity).
    pub revision: Name,
    /// StatefulSet: ordinals that exist, lowest and highest. The Pod is named above the highest, its claims below it.
    pub ordinals: Option<(u32, u32)>,
    /// StatefulSet: the ordinal that the rendering before was for. This one is for another, so that two of them show what
    /// follows from it (rule R3).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub other_than: Option<u32>,
    /// DaemonSet: the Node that its controller would make the Pod for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub node: Option<Name>,
    /// A Pod whose labels the rendering must have, because its kind was described by a person.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sample: Option<Name>,
    /// Whether the workload and its history are read, too, because a rollout is about to start.
    pub confirm: bool,
    /// Hashes of the templates, this one's among them, of Deployments of this namespace that are asked for next: as the label
    /// `pod-template-hash` has them. They may be read in one request. Empty: none but this one.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub together: Vec<Name>,
    /// Which fields are compared.
    #[serde(default, skip_serializing_if = "FieldSet::is_default")]
    pub fields: FieldSet,
    /// What is supposed; never anything where `confirm` is set.
    #[serde(default, skip_serializing_if = "WhatIf::is_nothing")]
    pub what_if: WhatIf,
}

/// The answer to [`Effect::Render`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct RenderReply {
    /// The request's.
    pub ticket: u64,
    /// How long the answer took, from our request for it on.
    pub took: Duration,
    /// What came of it.
    pub outcome: RenderOutcome,
    /// With `confirm`: the workload as it is now, and its past stamps. `None` when it could not be read.
    pub confirmation: Option<Box<Confirmation>>,
}

/// What is read right before a rollout.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Confirmation {
    /// The workload.
    pub workload: WorkloadSnapshot,
    /// The stamps in all retained revisions, the current one included.
    pub history: Vec<Attempt>,
    /// The name of each retained ControllerRevision, and the hash of its template without our stamp, as in
    /// [`TemplateSnapshot::hash`](crate::core::model::TemplateSnapshot::hash). Empty for kinds that have none.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub templates: BTreeMap<Name, Name>,
}

/// What came of a rendering (rule R6).
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RenderOutcome {
    /// 201 and a whole Pod.
    Rendered(Rendering),
    /// The Pod would be refused.
    Rejected {
        /// The API server's words.
        message: String,
    },
    /// No statement can be made.
    Undetermined {
        /// Why.
        reason: UndeterminedReason,
        /// One sentence for people.
        message: String,
        /// The API server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// The workload or its revision does not exist any more.
    Gone,
}
