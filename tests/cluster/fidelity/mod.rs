//! Whatever an injector does, a verdict is true or honestly `undetermined`, and nothing is restarted needlessly.
//!
//! The names of the tests begin with the rule that they hold (docs/fidelity.md).

mod absence;
mod bodies;
mod by_hand;
mod bystanders;
mod caller;
mod comes_back;
mod half_upgraded;
mod hazards;
mod matrix;
mod never_settles;
mod resources;
mod sweep;
mod triggers;
mod what_if;

pub(crate) use self::bystanders::supported;
