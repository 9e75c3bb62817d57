//! Token buckets.

use std::time::Duration;

/// So many a second, and so many at once after a pause.
#[derive(Clone, Debug)]
pub struct TokenBucket {
    per_second: f64,
    burst: f64,
    tokens: f64,
    filled: Duration,
}

impl TokenBucket {
    /// A bucket that holds `burst` tokens now.
    pub fn full(per_second: f64, burst: u32, now: Duration) -> Self {
        Self { per_second, burst: f64::from(burst), tokens: f64::from(burst), filled: now }
    }

    /// A bucket that holds nothing yet, so that a restart never refills it.
    pub fn empty(per_second: f64, burst: u32, now: Duration) -> Self {
        Self { tokens: 0.0, ..Self::full(per_second, burst, now) }
    }

    fn fill(&mut self, now: Duration) {
        let passed = now.saturating_sub(self.filled);
        self.filled = self.filled.max(now);
        self.tokens = (self.tokens + passed.as_secs_f64() * self.per_second).min(self.burst);
    }

    /// Takes a token; otherwise tells when the next one is there.
    pub fn take(&mut self, now: Duration) -> Result<(), Duration> {
        self.ready(now)?;
        self.tokens -= 1.0;
        Ok(())
    }

    /// Whether a token is there; otherwise when.
    pub fn ready(&mut self, now: Duration) -> Result<(), Duration> {
        self.fill(now);
        if self.tokens >= 1.0 {
            return Ok(());
        }
        let missing = (1.0 - self.tokens) / self.per_second;
        // Rounded up to the next millisecond: a timer must not fire a moment too early and find nothing.
        Err(now + Duration::from_secs_f64(missing.clamp(0.001, 86_400.0)) + Duration::from_millis(1))
    }

    /// Whole tokens there.
    pub fn available(&self, now: Duration) -> u32 {
        let mut copy = self.clone();
        copy.fill(now);
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "0 <= tokens <= burst, a u32")]
        let whole = copy.tokens as u32;
        whole
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const S: Duration = Duration::from_secs(1);

    #[test]
    fn a_full_bucket_gives_its_burst_and_then_one_a_period() {
        let mut bucket = TokenBucket::full(10.0, 2, S);
        assert_eq!((bucket.take(S), bucket.take(S)), (Ok(()), Ok(())));
        let next = bucket.take(S).unwrap_err();
        assert!(next > S + Duration::from_millis(99) && next < S + Duration::from_millis(110), "{next:?}");
        assert_eq!(bucket.take(next), Ok(()));
        assert!(bucket.take(next).is_err());
    }

    #[test]
    fn an_empty_bucket_gives_nothing_at_the_start_and_never_more_than_its_burst() {
        let mut bucket = TokenBucket::empty(1.0, 2, S);
        assert!(bucket.take(S).is_err());
        assert_eq!(bucket.available(S * 3600), 2);
    }

    #[test]
    fn a_clock_that_stands_still_or_goes_back_adds_nothing() {
        let mut bucket = TokenBucket::empty(1.0, 5, S * 10);
        assert!(bucket.take(S * 5).is_err());
        assert!(bucket.take(S * 10).is_err());
        assert_eq!(bucket.available(S * 11), 1);
    }
}
