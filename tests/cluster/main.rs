//! The product on a real control plane: one file a user story.
//!
//! Each test has a namespace of its own, in which its daemon lives; the control plane is shared. Nothing sleeps: a test
//! waits for a condition, and when it fails, it shows its namespace and the logs of its daemons.

mod absence;
mod alerts;
mod argo;
mod asking;
mod budgets;
mod chaos;
mod clocks;
mod collateral;
mod connect;
mod crash;
mod described;
mod detection;
mod ended;
mod enforce;
mod errors;
mod events;
mod evictions;
mod fidelity;
mod half_rolled;
mod hostile;
mod identity;
mod injectors;
mod install;
mod kubectl_output;
mod late;
mod leaders;
mod many_replicas;
mod memory;
mod neighbours;
mod node;
mod noticing;
mod openkruise;
mod owners_word;
mod patched_live;
mod predecessor;
mod quiet;
mod recording;
mod reload;
mod report_mode;
mod secrets;
mod shutdown;
mod sick;
mod stalled;
mod stays_well;
mod strategies;
mod support;
mod unlisted;
