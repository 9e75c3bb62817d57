//! What the operating system says of this process, read at each scrape. Elsewhere than on Linux it is left out.

use std::fmt::Write;

use super::{
    Metric, Type,
    table::{PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_MEMORY, PROCESS_START, PROCESS_VIRTUAL},
};
use crate::platform::process::usage;

/// The text of all metrics of the process. Written here, because a counter of the recorder is a whole number.
pub(super) fn render() -> String {
    let mut text = String::new();
    let Some(usage) = usage() else { return text };
    for (metric, value) in [
        (PROCESS_CPU, Some(usage.cpu_seconds)),
        (PROCESS_MEMORY, Some(usage.resident_bytes)),
        (PROCESS_VIRTUAL, Some(usage.virtual_bytes)),
        (PROCESS_FDS, usage.open_files),
        (PROCESS_MAX_FDS, usage.max_open_files),
        (PROCESS_START, usage.started),
    ] {
        if let Some(value) = value {
            let Metric { name, help, kind, .. } = metric;
            let kind = if kind == Type::Counter { "counter" } else { "gauge" };
            _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
    text
}
