//! What people decided: the operator by the configuration, owners by annotations.
//!
//! Owns nothing.
//! Is given validated values, and the annotations of workloads and Namespaces.
//! Gives the [`Policy`] that everything above works by, and what an owner's annotations say.
//! May never look at the cluster.

mod alert_matcher;
mod filter;
pub mod owner_annotations;
mod policy;
mod trigger;
mod what_if;
pub mod window;

pub use self::{
    alert_matcher::AlertMatcher,
    filter::{AnnotationMatch, Filter},
    owner_annotations::OwnerAnnotations,
    policy::{Mode, Policy},
    trigger::{Trigger, Triggers},
    what_if::WhatIf,
    window::{Opening, Window, Windows},
};
