//! The testbed tested: on the control plane that it starts.

mod api_proxy;
mod control_plane;
mod end;
mod policy_injector;
mod webhook_injector;
