//! `cluster` against an API server that a test plays, request by request.

mod api;
mod described;
mod events;
mod evict;
mod first_list;
mod guard;
mod lease;
mod pace;
mod probe;
mod render;
mod rollout;
mod state;
mod together;
mod undecodable;
mod watch;
