//! The only place that reads a clock, and the clock that counts: the API server's.

mod server;

use std::time::Duration;

use jiff::Timestamp;

pub use self::server::ServerClock;
use crate::{core::model::time::Now, platform};

/// Both clocks of this machine, now.
#[expect(clippy::disallowed_methods, reason = "this is the place")]
pub fn now() -> Now {
    Now { elapsed: elapsed(), wall: Timestamp::now() }
}

/// Time since some moment before the process began, counting suspend: a lease that ran out while a laptop slept has run out.
pub fn elapsed() -> Duration {
    platform::clock::elapsed()
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
