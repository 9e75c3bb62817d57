//! The pure half: everything that decides. No clock, no client, no async, no environment; time, randomness and
//! configuration are arguments, so that a test is a list of inputs with times.

pub mod compare;
pub mod config;
pub mod injection;
pub mod inventory;
pub mod io;
pub mod model;
pub mod render;
pub mod report;
pub mod rollout;
pub mod step;
pub mod verdict;
