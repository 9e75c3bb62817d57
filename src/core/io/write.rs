//! Writing to workloads and Pods, and asking Prometheus.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::alerts::AlertsAnswer;
use crate::core::{
    config::AlertMatcher,
    model::{Name, Stamp, WorkloadKey},
};

/// A workload's identity for requests.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct WorkloadRef {
    /// Kind, namespace and name.
    pub key: WorkloadKey,
    /// The uid.
    pub uid: Name,
}

/// A stamp that is wanted on a workload's Pod template.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PatchRequest {
    /// Names the reply.
    pub ticket: u64,
    /// Whom. The patch holds only for this uid.
    pub workload: WorkloadRef,
    /// The patch holds only for this version.
    pub resource_version: Name,
    /// Whether the template has annotations already.
    pub has_annotations: bool,
    /// What to write.
    pub stamp: Stamp,
}

/// The answer to [`Effect::Patch`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PatchReply {
    /// The request's.
    pub ticket: u64,
    /// What came of it.
    pub outcome: PatchOutcome,
}

/// What came of a patch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum PatchOutcome {
    /// Written.
    Patched {
        /// `metadata.generation` afterwards.
        generation: i64,
    },
    /// The workload changed since it was read (409, or a failed `test`): read again.
    Conflict,
    /// Admission refused it, or its dry run came back with more than the stamp changed.
    Denied {
        /// One sentence.
        message: String,
    },
    /// The workload is gone.
    Gone,
    /// Not sent: we do not lead any more.
    NotLeader,
    /// Sent, but the answer was lost: it may have been written.
    Unknown {
        /// One sentence.
        message: String,
    },
    /// Not written, try later.
    Failed {
        /// One sentence.
        message: String,
        /// The API server's `Retry-After`.
        retry_after: Option<Duration>,
    },
}

/// The question which alerts fire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertsRequest {
    /// Names the reply.
    pub ticket: u64,
    /// Those that block rollouts: whatever one of these matches.
    pub matchers: Vec<AlertMatcher>,
}

/// The answer to [`Effect::AskAlerts`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct AlertsReply {
    /// The request's.
    pub ticket: u64,
    /// What Prometheus says.
    pub answer: AlertsAnswer,
}

/// An eviction that is wanted: by the Eviction API, which asks the PodDisruptionBudgets, and never by deleting.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EvictRequest {
    /// Names the reply.
    pub ticket: u64,
    /// Whose Pod it is.
    pub workload: WorkloadRef,
    /// The Pod.
    pub pod: Name,
    /// The eviction holds only for this uid: another Pod of that name is none of ours.
    pub uid: Name,
}

/// The answer to [`Effect::Evict`].
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct EvictReply {
    /// The request's.
    pub ticket: u64,
    /// What came of it.
    pub outcome: EvictOutcome,
}

/// What came of an eviction.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum EvictOutcome {
    /// The Pod is on its way out.
    Evicted,
    /// A PodDisruptionBudget leaves no room now (429).
    NoHeadroom {
        /// The API server's `Retry-After`.
        retry_after: Option<Duration>,
    },
    /// That Pod is gone already.
    Gone,
    /// Admission refused it, or we may not.
    Denied {
        /// One sentence.
        message: String,
    },
    /// Not sent: we do not lead any more.
    NotLeader,
    /// Sent, but the answer was lost: the Pod may be on its way out.
    Unknown {
        /// One sentence.
        message: String,
    },
    /// Not evicted, try later.
    Failed {
        /// One sentence.
        message: String,
        /// The API server's `Retry-After`.
        retry_after: Option<Duration>,
    },
}
