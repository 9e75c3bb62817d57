//! A clock that counts suspend: a lease that ran out while a laptop slept has run out.

use std::time::Duration;

/// Time since some moment before the process began.
///
/// Linux has a clock for it; its monotonic clock, which the standard library reads, stands still during suspend. That of macOS goes
/// on.
#[cfg(unix)]
pub fn elapsed() -> Duration {
    use rustix::time::{ClockId, clock_gettime};

    #[cfg(target_os = "linux")]
    const CLOCK: ClockId = ClockId::Boottime;
    #[cfg(not(target_os = "linux"))]
    const CLOCK: ClockId = ClockId::Monotonic;

    let time = clock_gettime(CLOCK);
    Duration::new(u64::try_from(time.tv_sec).unwrap_or(0), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Time since a second before it was asked first: the performance counter, which the standard library reads, goes on during
/// suspend, but what it counts from is not told.
#[cfg(windows)]
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn elapsed() -> Duration {
    use std::{sync::LazyLock, time::Instant};

    static BEGAN: LazyLock<Instant> = LazyLock::new(Instant::now);

    BEGAN.elapsed() + Duration::from_secs(1)
}
