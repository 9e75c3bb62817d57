//! What the operating system says of this process, read at each scrape. Elsewhere than on Linux it is left out.

use std::{fmt::Write, fs};

use rustix::param::{clock_ticks_per_second, page_size};

use super::{
    Metric, Type,
    table::{PROCESS_CPU, PROCESS_FDS, PROCESS_MAX_FDS, PROCESS_MEMORY, PROCESS_START, PROCESS_VIRTUAL},
};

/// The text of all metrics of the process. Written here, because a counter of the recorder is a whole number.
pub(super) fn render() -> String {
    let mut text = String::new();
    let stat = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let field = |number| field(&stat, number);
    let all = [
        (PROCESS_CPU, field(14).zip(field(15)).map(|(user, system)| (user + system) / ticks())),
        (PROCESS_MEMORY, field(24).map(|pages| pages * number(page_size()))),
        (PROCESS_VIRTUAL, field(23)),
        (PROCESS_FDS, fs::read_dir("/proc/self/fd").ok().map(|all| number(all.count()))),
        (PROCESS_MAX_FDS, max_fds()),
        (PROCESS_START, field(22).zip(boot()).map(|(since, boot)| boot + since / ticks())),
    ];
    for (metric, value) in all {
        if let Some(value) = value {
            let Metric { name, help, kind, .. } = metric;
            let kind = if kind == Type::Counter { "counter" } else { "gauge" };
            _ = write!(text, "# HELP {name} {help}\n# TYPE {name} {kind}\n{name} {value}\n\n");
        }
    }
    text
}

/// A field of `/proc/self/stat`, counted from 1 as in `man 5 proc_pid_stat`.
fn field(stat: &str, number: usize) -> Option<f64> {
    // The second one is a name that may hold anything, in brackets.
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(number.checked_sub(3)?)?.parse().ok()
}

fn max_fds() -> Option<f64> {
    let limits = fs::read_to_string("/proc/self/limits").ok()?;
    let line = limits.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
}

/// When the machine came up, in seconds since 1970.
fn boot() -> Option<f64> {
    let stat = fs::read_to_string("/proc/stat").ok()?;
    stat.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()
}

#[expect(clippy::cast_precision_loss, reason = "a hundred")]
fn ticks() -> f64 {
    clock_ticks_per_second() as f64
}

#[expect(clippy::cast_precision_loss, reason = "no process has 2^52 of anything")]
fn number(n: usize) -> f64 {
    n as f64
}
