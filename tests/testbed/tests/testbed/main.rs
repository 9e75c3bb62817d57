//! The testbed tested: on the control plane that it starts.

mod control_plane;
mod policy_injector;
mod webhook_injector;
