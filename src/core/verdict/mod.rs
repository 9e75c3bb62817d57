//! Verdicts.

pub mod admission_evidence;
mod assess;
pub mod case;
pub mod judge;
mod pod_group;
pub mod removal_probe;

pub use self::pod_group::PodGroup;
