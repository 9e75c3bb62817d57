//! What the operating system says of this process.

/// What a process uses.
#[derive(Clone, Copy, Debug)]
pub struct Usage {
    /// Processor time, in seconds.
    pub cpu_seconds: f64,
    /// Memory that it has, in bytes.
    pub resident_bytes: f64,
    /// Addresses that it has, in bytes.
    pub virtual_bytes: f64,
    /// Open files.
    pub open_files: Option<f64>,
    /// So many files it may open; `None`: as many as it likes, or it is not known.
    pub max_open_files: Option<f64>,
    /// When it began, in seconds since 1970.
    pub started: Option<f64>,
}

/// What this process uses now; `None`: that cannot be read.
#[cfg(target_os = "linux")]
pub fn usage() -> Option<Usage> {
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
    Some(Usage {
        cpu_seconds: seconds(stat.utime + stat.stime),
        resident_bytes: number(stat.rss) * number(page_size()),
        virtual_bytes: number(stat.vsize),
        open_files: process.fd_count().ok().and_then(|count| count.try_into().ok()).map(number),
        max_open_files: max.map(number),
        started: boot_time_secs().ok().map(|boot| number(boot) + seconds(stat.starttime)),
    })
}

/// Nothing: a daemon runs on Linux, and nobody scrapes a command line.
#[cfg(not(target_os = "linux"))]
pub fn usage() -> Option<Usage> {
    None
}

#[cfg(target_os = "linux")]
#[expect(clippy::cast_precision_loss, reason = "no process has 2^52 of anything")]
fn number(n: u64) -> f64 {
    n as f64
}
