//! The pure half: everything that decides. No clock, no client, no async, no environment; time, randomness and
//! configuration are arguments, so that a test is a list of inputs with times.

mod assess;
pub mod body;
mod breaker;
pub mod budget;
mod canaries;
pub mod canonical;
pub mod compare;
pub mod filter;
pub mod fingerprint;
pub mod gate;
mod guard;
pub mod ignore;
pub mod index;
pub mod io;
pub mod judge;
pub mod lease;
mod locks;
#[cfg(test)]
mod made;
pub mod model;
mod obey;
pub mod outcome;
pub mod owner;
pub mod pace;
pub mod plan;
mod planning;
pub mod policy;
mod publish;
pub mod queue;
mod record;
pub mod report;
mod rollout;
pub mod says;
pub mod scope;
pub mod shape;
pub mod state;
pub mod status;
pub mod step;
pub mod story;
pub mod time;
pub mod trigger;
pub mod truth;
mod unseen;
pub mod what_if;
pub mod words;
pub mod work;
