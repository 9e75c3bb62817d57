//! Time as an argument.

use std::time::Duration;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// One reading of both clocks, taken by the caller; `core` never reads one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Now {
    /// Time since an arbitrary start, never set back, counting suspend. For delays, back-off and deadlines.
    pub elapsed: Duration,
    /// The wall clock, UTC; may jump. Only for what is written into or read from the cluster.
    pub wall: Timestamp,
}

impl Now {
    /// How long ago `then` was by the wall clock; zero when it lies in the future (clocks of two machines differ).
    pub fn since(self, then: Timestamp) -> Duration {
        Duration::try_from(self.wall.duration_since(then)).unwrap_or_default()
    }
}
