//! `cluster` against an API server that a test plays, request by request.

#![expect(clippy::expect_used, clippy::panic, reason = "a test fails by panicking, and so do its helpers")]

mod api;
mod guard;
mod probe;
mod render;
mod rollout;
mod state;
mod watch;
