//! What people decided: the operator by the configuration, owners by annotations.

mod alert_matcher;
mod filter;
pub mod owner_annotations;
mod policy;
pub mod trigger;
mod what_if;
pub mod window;

pub use self::{
    alert_matcher::AlertMatcher,
    filter::{AnnotationMatch, Filter},
    owner_annotations::Says,
    policy::{Mode, Policy},
    trigger::{Trigger, Triggers},
    what_if::WhatIf,
    window::{Opening, Window, Windows},
};
