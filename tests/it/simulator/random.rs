//! Chance from a seed: the same seed, the same history, on every machine.

use std::time::Duration;

/// A generator of the kind called splitmix64: small, and good enough for dice.
#[derive(Clone, Debug)]
pub(super) struct Random(u64);

impl Random {
    /// `of` keeps apart what different parts of a history are decided by.
    pub(super) fn new(seed: u64, of: u64) -> Self {
        let mut random = Self(seed ^ of.wrapping_mul(0xA24B_AED4_963E_E407));
        random.next();
        random
    }

    pub(super) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        mixed ^ (mixed >> 31)
    }

    /// A number below `n`.
    pub(super) fn below(&mut self, n: u64) -> u64 {
        self.next() % n.max(1)
    }

    pub(super) fn percent(&mut self, percent: u64) -> bool {
        self.below(100) < percent
    }

    pub(super) fn pick<'a, T>(&mut self, from: &'a [T]) -> &'a T {
        let at = usize::try_from(self.below(from.len() as u64)).unwrap_or(0);
        &from[at]
    }

    /// One of them.
    pub(super) fn one_of<T: Copy>(&mut self, from: &[T]) -> T {
        *self.pick(from)
    }

    /// A time between two, in milliseconds.
    pub(super) fn between(&mut self, from: Duration, to: Duration) -> Duration {
        let span = u64::try_from(to.saturating_sub(from).as_millis()).unwrap_or(u64::MAX);
        from + Duration::from_millis(self.below(span + 1))
    }

    pub(super) fn seconds(&mut self, from: u64, to: u64) -> Duration {
        self.between(Duration::from_secs(from), Duration::from_secs(to))
    }

    pub(super) fn millis(&mut self, from: u64, to: u64) -> Duration {
        self.between(Duration::from_millis(from), Duration::from_millis(to))
    }
}
