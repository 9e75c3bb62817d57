//! The words, names and objects that everything else speaks of: what Kubernetes means, and our closed vocabularies.

pub mod canonical;
pub mod fingerprint;
mod glob;
mod injector;
mod key;
pub mod lease;
mod name;
mod object;
pub mod owner;
pub mod recent;
pub mod rollout_status;
pub mod shape;
#[cfg(test)]
pub(in crate::core) mod test_objects;
pub mod time;
mod uid;
pub mod words;

pub use self::{
    glob::Glob,
    injector::{InjectorEntry, InjectorKind, InjectorSnapshot, Operator, Params, Requirement, Selector},
    key::{ObjectKey, WorkloadKey},
    name::Name,
    object::{
        Attempt, ChangedBy, ConfigKind, ConfigSnapshot, Counts, DisruptionBudgetSnapshot, EndpointsSnapshot,
        NamespaceSnapshot, NodeSnapshot, Object, Owner, PodSnapshot, PodState, ReplicaSetSnapshot, ServiceSnapshot,
        Stamp, Strategy, TemplateSnapshot, TriggerSnapshot, WorkloadSnapshot,
    },
    uid::Uid,
};
