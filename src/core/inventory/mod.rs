//! Everything that is known of the cluster, kept from watch events alone.
//!
//! Owns the index of all watched objects, and which namespaces back injectors.
//! Is given what watches say, and workloads that were just read.
//! Gives [`Changes`], and answers questions about the cluster; asks for the watches that follow from what it sees.
//! May never judge, and knows nothing of renderings, verdicts and rollouts.

mod compact;
mod compact_map;
mod containers;
mod index;
mod intern;
mod intern_table;
pub mod on_delete;
mod params;
mod pod_classes;
mod query;
mod replica_sets;
mod revision;
mod take;

pub use self::{
    compact::{Made, Pod, ReplicaSet},
    index::{BACKING_KINDS, Change, Index},
    params::params,
    pod_classes::PodClass,
    revision::{Revision, current_revision, pods_in, revisions, youngest_pod},
    take::Changes,
};

#[cfg(test)]
mod tests;
