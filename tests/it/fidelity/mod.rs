//! The comparator against Pods as injectors leave them: small ones of our own, and recordings of real injectors.

mod corpus;
mod fixtures;
mod properties;
mod recorded_properties;
mod recordings;
mod rules;
mod shapes;
