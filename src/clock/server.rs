//! The API server's clock, as far as the `Date` header of its answers tells.
//!
//! Whatever we compare with, the API server dated: when a Pod was created, when a rollout was stamped. A clock of ours that is
//! ten seconds late would take Pods for older than the rendering that they must match. So our wall clock is moved, by as
//! little as the answers allow; one that they cannot tell from the API server's is left alone.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp, fmt::rfc2822};

use crate::core::model::time::Now;

/// `Date` names a second, which lasts that long.
const RESOLUTION: SignedDuration = SignedDuration::from_secs(1);

/// Clocks of two machines drift apart by no more than one part in so many.
const DRIFT: u32 = 5000;

/// What is known of the API server's clock. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct ServerClock(Arc<Mutex<Option<Bounds>>>);

/// What the API server's clock shows when ours, which is never set, shows zero: between these two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Bounds {
    earliest: Timestamp,
    latest: Timestamp,
    /// When they were true, by our clock.
    at: Duration,
}

impl ServerClock {
    /// Both clocks, now; the wall clock as the API server's.
    pub fn now(&self) -> Now {
        self.correct(super::now())
    }

    /// Learns from an answer whose header `Date` is `date`, to a request that was sent and answered at these times, by
    /// [`elapsed`](super::elapsed). What is no date teaches nothing.
    pub fn observe(&self, date: &str, sent: Duration, answered: Duration) {
        let Ok(date) = rfc2822::DateTimeParser::new().parse_timestamp(date) else { return };
        let Some(seen) = Bounds::of(date, sent, answered) else { return };
        let mut known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        // Where both cannot be true, one of the clocks was set, or another API server answers: what was heard last counts.
        *known = Some(known.and_then(|known| known.aged(answered).both(seen)).unwrap_or(seen));
    }

    /// This time as the API server's clock has it, as far as that is known.
    pub fn correct(&self, now: Now) -> Now {
        let known = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(known) = known.map(|known| known.aged(now.elapsed)) else { return now };
        let Some((earliest, latest)) = known.shown_at(now.elapsed) else { return now };
        Now { wall: now.wall.clamp(earliest, latest), ..now }
    }

    /// By how much our wall clock is ahead of the API server's at least; negative: behind it. `None`: nothing is known yet.
    pub fn skew(&self, now: Now) -> Option<SignedDuration> {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner).is_some();
        known.then(|| now.wall.duration_since(self.correct(now).wall))
    }
}

impl Bounds {
    fn of(date: Timestamp, sent: Duration, answered: Duration) -> Option<Self> {
        let earliest = date.checked_sub(answered).ok()?;
        let latest = date.checked_add(RESOLUTION).ok()?.checked_sub(sent).ok()?;
        (earliest <= latest).then_some(Self { earliest, latest, at: answered })
    }

    /// As far as they can still be true later.
    fn aged(self, at: Duration) -> Self {
        let by = at.saturating_sub(self.at) / DRIFT;
        Self {
            earliest: self.earliest.checked_sub(by).unwrap_or(Timestamp::MIN),
            latest: self.latest.checked_add(by).unwrap_or(Timestamp::MAX),
            at: self.at.max(at),
        }
    }

    fn both(self, other: Self) -> Option<Self> {
        let (earliest, latest) = (self.earliest.max(other.earliest), self.latest.min(other.latest));
        (earliest <= latest).then_some(Self { earliest, latest, at: self.at.max(other.at) })
    }

    fn shown_at(self, elapsed: Duration) -> Option<(Timestamp, Timestamp)> {
        Some((self.earliest.checked_add(elapsed).ok()?, self.latest.checked_add(elapsed).ok()?))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BEGINNING: i64 = 1_700_000_000;

    /// Ours, which is ahead by so many milliseconds.
    fn ours(millis: u64, ahead: i64) -> Now {
        let wall = Timestamp::from_second(BEGINNING).unwrap() + SignedDuration::from_millis(ahead);
        let elapsed = Duration::from_millis(millis);
        Now { elapsed, wall: wall + elapsed }
    }

    /// The header that the API server writes when our clock that is never set shows this.
    fn date(millis: u64) -> String {
        let second = Timestamp::from_second(BEGINNING).unwrap() + Duration::from_millis(millis);
        second.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
    }

    fn answer(clock: &ServerClock, sent: u64, stamped: u64, answered: u64) {
        clock.observe(&date(stamped), Duration::from_millis(sent), Duration::from_millis(answered));
    }

    #[test]
    fn a_clock_that_is_behind_is_corrected_to_within_a_second() {
        let clock = ServerClock::default();
        assert_eq!(clock.skew(ours(0, -10_000)), None);
        assert_eq!(clock.correct(ours(0, -10_000)), ours(0, -10_000));
        answer(&clock, 5000, 5010, 5020);
        let error = clock.correct(ours(6000, -10_000)).wall.duration_since(ours(6000, 0).wall);
        assert!(error.abs() <= SignedDuration::from_secs(1), "{error:?}");
        let skew = clock.skew(ours(6000, -10_000)).unwrap();
        assert!(skew < SignedDuration::from_secs(-8) && skew > SignedDuration::from_secs(-11), "{skew:?}");
    }

    #[test]
    fn a_clock_that_the_answers_agree_with_is_left_alone() {
        let clock = ServerClock::default();
        for second in 1..100 {
            answer(&clock, second * 1000, second * 1000 + 17, second * 1000 + 20);
        }
        assert_eq!(clock.correct(ours(200_000, 0)), ours(200_000, 0));
        assert_eq!(clock.skew(ours(200_000, 0)), Some(SignedDuration::ZERO));
    }

    #[test]
    fn an_api_server_whose_clock_is_set_is_believed_at_once() {
        let clock = ServerClock::default();
        answer(&clock, 1000, 1010, 1020);
        answer(&clock, 2000, 602_010, 2020);
        let error = clock.correct(ours(3000, 0)).wall.duration_since(ours(603_000, 0).wall);
        assert!(error.abs() <= SignedDuration::from_secs(1), "{error:?}");
    }

    #[test]
    fn what_is_no_date_teaches_nothing() {
        let clock = ServerClock::default();
        for text in ["", "yesterday", "Mon, 99 Foo 2026 00:00:00 GMT", "\u{202e}", &"9".repeat(10_000)] {
            clock.observe(text, Duration::ZERO, Duration::from_secs(1));
        }
        // Dates at the ends of what can be written down, and answers before their requests.
        clock.observe("Fri, 31 Dec 9999 23:59:59 GMT", Duration::ZERO, Duration::ZERO);
        clock.observe("Sat, 01 Jan 0001 00:00:00 GMT", Duration::MAX, Duration::MAX);
        clock.observe(&date(0), Duration::from_secs(9), Duration::ZERO);
        let now = ours(1000, 0);
        assert!(clock.correct(now).elapsed == now.elapsed);
    }

    proptest! {
        /// Whatever the skew and however slow the answers: what is corrected is off by no more than a second and the
        /// quickest answer, and a clock that is right is never moved.
        #[test]
        fn the_correction_is_as_good_as_the_quickest_answer(
            ahead in -100_000_000_i64..100_000_000,
            trips in prop::collection::vec((0_u64..60_000, 0_u64..2000, 0_u64..2000), 1..40),
        ) {
            let clock = ServerClock::default();
            let (mut at, mut quickest) = (0, u64::MAX);
            for (wait, there, back) in trips {
                let sent = at + wait;
                at = sent + there + back;
                answer(&clock, sent, sent + there, at);
                quickest = quickest.min(there + back);
            }
            let aged = i64::try_from(at / u64::from(DRIFT)).unwrap();
            let allowed = SignedDuration::from_millis(1001 + i64::try_from(quickest).unwrap() + aged);
            let error = clock.correct(ours(at, ahead)).wall.duration_since(ours(at, 0).wall);
            prop_assert!(error.abs() <= allowed, "{error:?}");
            prop_assert_eq!(clock.correct(ours(at, 0)), ours(at, 0));
        }
    }
}
