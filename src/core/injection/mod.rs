//! What injection depends on.

pub mod backends;
pub mod scope;
mod scope_changes;
mod scope_report;
pub mod triggered;
pub mod unannounced_changes;

pub use self::scope_report::GenerationReport;
