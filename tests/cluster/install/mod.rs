//! The product as the chart installs it: rendered by Helm, applied as it is, run as the chart's ServiceAccount.

mod empty_root;
mod fields;
mod guard;
mod guard_missing;
mod guarded_kinds;
pub(crate) mod helm;
mod manifests;
mod meaning;
mod missing_right;
mod refusals;
mod release;
mod rendering;
mod rights;
