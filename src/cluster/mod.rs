//! The API server's side: the only place that talks to it.
//!
//! | module | what it does |
//! | --- | --- |
//! | [`client`] | one factory for the connection: credentials, time-outs, counting; and what the server can do |
//! | [`convert`] | API objects → the snapshots of [`core::model`](crate::core::model::object) |
//! | [`watch`] | watch streams → [`Input::Watch`](crate::core::io::Input::Watch) |
//! | [`render`] | [`Effect::Render`](crate::core::io::Effect::Render): dry-run Pod creations |
//! | [`evict`] | [`Effect::Evict`](crate::core::io::Effect::Evict): one Pod, pinned to its uid |
//! | [`rollout`] | [`Effect::Patch`](crate::core::io::Effect::Patch): the stamp, first as a dry run, then for real |
//! | [`last_read`] | workloads from the confirmation of a rollout to its patch |
//! | [`guard`] | [`Effect::ProbeGuard`](crate::core::io::Effect::ProbeGuard): a dry run that must be refused |
//! | [`accept`] | the annotations by which a person accepts the drift of a workload |
//! | [`events`] | [`Effect::WriteEvent`](crate::core::io::Effect::WriteEvent): Events about workloads |
//! | [`lease`] | the Lease that says which replica leads |
//! | [`state`] | the ConfigMap that outlives the process |
//!
//! Nothing here decides anything about workloads, and nothing here repeats a request by itself, with two exceptions
//! that are bounded and harmless: a watch is taken up again, and a StatefulSet's dry run asks for the next ordinal.

pub mod accept;
pub mod client;
pub mod convert;
pub mod events;
pub mod evict;
pub mod guard;
pub mod last_read;
pub mod lease;
mod paths;
pub mod render;
pub mod rollout;
pub mod state;
pub mod watch;
