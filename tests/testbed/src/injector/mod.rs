//! Injectors: what puts a sidecar into the Pods of a test, and can be told to put another one.

mod policy;
mod sidecar;

pub use policy::PolicyInjector;
pub use sidecar::{Placement, Selection, Sidecar};
