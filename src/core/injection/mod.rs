//! What injection depends on, and what moved.
//!
//! Owns the version of each scope, who answers for each injector, and the changes that are still to take effect.
//! Is given the changes of the inventory, and what the kept renderings depend on.
//! Gives [`ScopeChanges`]: the scopes that moved and the workloads that are affected; and answers what a rendering depends on.
//! May never judge, ask for a rendering, or remember anything of a single workload.

pub mod backends;
mod concerned;
mod controller_labels;
mod heed;
mod reach;
mod scope;
mod scope_changes;
mod scope_report;
#[cfg(test)]
mod tests;
mod tracker;
mod triggered;
mod unannounced_changes;
mod versions;
mod view;

pub use self::{
    concerned::{entries_of, exchanged, injector_scopes, injectors_of},
    reach::Reach,
    scope::{NoScope, Scope, VersionVector, scope_of},
    scope_report::ScopeMove,
    tracker::{ComparedRendering, InjectionTracker, KeptRenderings, ScopeChanges},
    unannounced_changes::ALL,
    versions::{ScopeVersion, VectorPool},
    view::{Lifecycle, View},
};
