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

/// How long to wait as somebody outside asks for it, and what to tell people if that is more than we ever wait.
pub fn bounded_wait(asked: Duration, longest: Duration) -> (Duration, Option<String>) {
    let told = (asked > longest)
        .then(|| format!("asks for a wait of {} s; the longest wait is {} s", asked.as_secs(), longest.as_secs()));
    (asked.min(longest), told)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_wait_beyond_the_longest_is_cut_and_told() {
        let longest = Duration::from_mins(1);
        assert_eq!(bounded_wait(Duration::ZERO, longest), (Duration::ZERO, None));
        assert_eq!(bounded_wait(longest, longest), (longest, None));
        let (wait, told) = bounded_wait(Duration::MAX, longest);
        assert_eq!(wait, longest);
        assert!(told.unwrap().ends_with("the longest wait is 60 s"));
    }
}
