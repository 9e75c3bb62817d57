//! What readers see.

pub mod explain;
pub mod publish;
mod snapshot;

pub use self::snapshot::{IgnoreReport, Report, WorkloadReport};
