//! sidecar-drift finds running Pods whose sidecar is no longer the one that the cluster would inject today, proves it
//! field by field, and, if it is let, rolls out only those workloads, slowly and safely.
//!
//! It re-implements no injector. It asks the API server: the Pod that the controller would create now is submitted as a
//! server-side dry run through the real admission chain, and what comes back is compared with what runs.
//!
//! ```text
//!  watch ──▶ index ──▶ queue ──▶ render ──▶ compare ──▶ classify ──▶ plan ──▶ roll out ──▶ verify
//!  (IO)      (pure)    (pure)    (IO,        (pure)      (pure)      (pure)    (IO)         (pure)
//!                                dry run)                               └──▶ report
//! ```
//!
//! One task owns all state. It calls one pure function, [`core::step::Core::step`], with each input and the time, and
//! carries out the effects that come back.
//!
//! # Where to find what
//!
//! | module | what |
//! | --- | --- |
//! | [`core`] | everything that decides; no clock, no client, no async |
//! | [`clock`] | this machine's clocks, and the API server's |
//! | [`platform`] | what operating systems do differently |
//! | [`cluster`] | everything that talks to the API server |
//! | [`daemon`] | the loop between the two |
//! | [`operator`] | what a person does to an installation that runs: pause, resume, retry, accept, status |
//! | [`cli`] | the commands and their output |
//! | [`document`] | the shapes of JSON and YAML that leave the program, values masked |
//! | [`http`] | health, readiness, metrics; the API and the web page |
//! | [`metrics`] | the table of every metric |
//! | [`notify`] | one webhook: new drift, rollouts that ended, the breaker |
//! | [`outbound`] | the client for what is not the API server; which alerts of Prometheus fire |
//! | [`config`] | flags over environment over file, validated once |

pub mod cli;
pub mod clock;
pub mod cluster;
pub mod config;
pub mod core;
pub mod daemon;
pub mod document;
pub mod http;
pub mod metrics;
pub mod notify;
pub mod operator;
pub mod outbound;
pub mod platform;
