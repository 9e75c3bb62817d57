//! The words, names and objects that everything else speaks of: what Kubernetes means, and our closed vocabularies.
//!
//! Owns nothing.
//! Is given the API server's objects as values.
//! Gives snapshots of them, what is compared of a Pod in canonical form, and how far the platform says that a rollout is.
//! May never know of a rendering, a verdict or a rollout of ours.

pub mod canonical;
mod changed_by;
mod digit_runs;
pub mod fingerprint;
mod glob;
mod injector;
mod key;
pub mod lease;
mod name;
mod object;
pub mod owner;
pub mod quoted;
pub mod recent;
pub mod resource_version;
pub mod rollout_status;
pub mod shape;
#[cfg(test)]
pub(in crate::core) mod test_objects;
pub mod time;
mod uid;
pub mod words;

pub use self::{
    changed_by::ChangedBy,
    digit_runs::digit_runs,
    glob::Glob,
    injector::{Added, InjectorEntry, InjectorKind, InjectorSnapshot, Operator, Params, Requirement, Selector},
    key::{ObjectKey, WorkloadKey},
    name::Name,
    object::{
        Attempt, ConfigKind, ConfigSnapshot, Counts, DisruptionBudgetSnapshot, EndpointsSnapshot, NamespaceSnapshot,
        NodeSnapshot, Object, Owner, PodSnapshot, PodState, PodWait, ReplicaSetSnapshot, ServiceSnapshot, Stamp,
        Strategy, TemplateSnapshot, TriggerSnapshot, WorkloadSnapshot,
    },
    uid::Uid,
};
