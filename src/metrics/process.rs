//! What the operating system says of this process, read at each scrape. Elsewhere than on Linux it is left out.

use std::fmt::Write;

use super::{
    Metric, Type,
    table::{PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_MEMORY, PROCESS_START, PROCESS_VIRTUAL},
};

/// The text of all metrics of the process. Written here, because a counter of the recorder is a whole number.
pub(super) fn render() -> String {
    let mut text = String::new();
    for (metric, value) in read().into_iter().flatten() {
        if let Some(value) = value {
            let Metric { name, help, kind, .. } = metric;
            let kind = if kind == Type::Counter { "counter" } else { "gauge" };
            _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
    text
}

/// What can be read; `None`: nothing can.
#[cfg(target_os = "linux")]
fn read() -> Option<[(Metric, Option<f64>); 6]> {
    use procfs::{
        boot_time_secs, page_size,
        process::{LimitValue, Process},
        ticks_per_second,
    };

    let process = Process::myself().ok()?;
    let stat = process.stat().ok()?;
    let seconds = |ticks: u64| number(ticks) / number(ticks_per_second());
    let max = process.limits().ok().and_then(|limits| match limits.max_open_files.soft_limit {
        LimitValue::Value(limit) => Some(limit),
        LimitValue::Unlimited => None,
    });
    Some([
        (PROCESS_CPU, Some(seconds(stat.utime + stat.stime))),
        (PROCESS_MEMORY, Some(number(stat.rss) * number(page_size()))),
        (PROCESS_VIRTUAL, Some(number(stat.vsize))),
        (PROCESS_FDS, process.fd_count().ok().and_then(|count| count.try_into().ok()).map(number)),
        (PROCESS_MAX_FDS, max.map(number)),
        (PROCESS_START, boot_time_secs().ok().map(|boot| number(boot) + seconds(stat.starttime))),
    ])
}

#[cfg(not(target_os = "linux"))]
fn read() -> Option<[(Metric, Option<f64>); 6]> {
    None
}

#[expect(clippy::cast_precision_loss, reason = "no process has 2^52 of anything")]
fn number(n: u64) -> f64 {
    n as f64
}
