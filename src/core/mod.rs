//! The pure half: everything that decides. No clock, no client, no async, no environment; time, randomness and
//! configuration are arguments, so that a test is a list of inputs with times.

pub mod budget;
pub mod compare;
pub mod fingerprint;
pub mod gate;
pub mod index;
pub mod io;
pub mod model;
pub mod owner;
pub mod plan;
pub mod policy;
pub mod queue;
pub mod report;
pub mod says;
pub mod scope;
pub mod shape;
pub mod state;
pub mod status;
pub mod time;
pub mod words;
