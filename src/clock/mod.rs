//! The only place that reads a clock, and the clock that counts: the API server's.

mod server;

use std::time::Duration;

use jiff::Timestamp;
use rustix::time::{ClockId, clock_gettime};

pub use self::server::ServerClock;
use crate::core::model::time::Now;

/// Both clocks of this machine, now.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Now {
    Now { elapsed: elapsed(), wall: Timestamp::now() }
}

/// Time since the machine's boot, counting suspend: a lease that ran out while a laptop slept has run out.
pub fn elapsed() -> Duration {
    let boot = clock_gettime(ClockId::Boottime);
    let seconds = u64::try_from(boot.tv_sec).unwrap_or(0);
    let nanos = u32::try_from(boot.tv_nsec).unwrap_or(0);
    Duration::new(seconds, nanos)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_runs_forward() {
        let first = elapsed();
        assert!(first > Duration::ZERO && elapsed() >= first);
    }
}
