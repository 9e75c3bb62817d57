//! Asking for renderings.

pub mod budget;
pub mod dispatch;
pub mod dry_run_pod;
pub mod queue;
pub mod render_throttle;
