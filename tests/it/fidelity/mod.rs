//! The comparator against Pods as injectors leave them: small ones of our own, and recordings of real injectors.

mod fixtures;
mod properties;
mod recordings;
mod rules;
