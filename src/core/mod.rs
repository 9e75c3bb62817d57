//! The pure half: everything that decides. No clock, no client, no async, no environment; time, randomness and
//! configuration are arguments, so that a test is a list of inputs with times.

pub mod body;
pub mod canonical;
pub mod compare;
pub mod fingerprint;
pub mod io;
pub mod model;
pub mod outcome;
pub mod owner;
pub mod policy;
pub mod report;
pub mod shape;
pub mod state;
pub mod time;
pub mod words;
