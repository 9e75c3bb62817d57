//! What a run was made on: no time means anything without it.

use std::{fs, thread};

/// `2 processors, 23.4 GiB, Linux 6.1.0, load average 0.52`
pub(crate) fn facts() -> String {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let processors = thread::available_parallelism().map_or(1, usize::from);
    let kernel = read("/proc/sys/kernel/osrelease");
    let (memory, load) = (gib(&read("/proc/meminfo")), read("/proc/loadavg"));
    let load = load.split(' ').next().unwrap_or_default();
    format!("{processors} processors, {memory} GiB, Linux {}, load average {load}", kernel.trim())
}

/// The machine's memory, with one decimal.
fn gib(meminfo: &str) -> String {
    let kib = meminfo.lines().find_map(|line| line.strip_prefix("MemTotal:")?.trim().strip_suffix(" kB")?.parse().ok());
    let tenths: u64 = kib.unwrap_or(0_u64) * 10 / (1024 * 1024);
    format!("{}.{}", tenths / 10, tenths % 10)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_is_read_as_the_kernel_writes_it() {
        assert_eq!(gib("MemTotal:       24602920 kB\nMemFree: 1 kB\n"), "23.4");
    }
}
