//! How many may be in flight under a ceiling, found by trying (decision 0017).
//!
//! What counts is what comes back in a second. Where a server works on one thing after another, more at once only wait for
//! each other: as much comes back with fewer, each of them sooner, and whoever else asks that server is served sooner, too.
//! So a few answers are awaited with fewer in flight, between two times as many with as many as before. If as much came back,
//! fewer stay; if less, as many as before. By the same trial with more it climbs back.
//!
//! No latency is right or wrong by itself: one namespace's webhook may take a hundred times as long as another's. It only says
//! whether a trial is worth its while: if they take no longer than they did with fewer in flight, none waits for another.

use std::time::Duration;

/// Answers that one rate is taken of, at least.
const WINDOW: usize = 24;
/// As much comes back if it is no less than this share: two rates are never quite equal.
const AS_MUCH: f64 = 0.97;
/// If they take less than this share of what they took with fewer in flight, that was long ago.
const OUTDATED: f64 = 0.8;
/// Windows before the first trial: a sweep of few hundreds is not worth any.
const FIRST_PATIENCE: u32 = 8;
/// After so many trials in vain, that many windows pass before the next one, at most.
const LONGEST_PATIENCE: u32 = 64;
/// What was found is believed for so long without being seen again; then one more is allowed, and so on.
const FORGETS: Duration = Duration::from_mins(1);

/// A limit that nobody set. As high as its ceiling at first, and never above it or below 1.
#[derive(Debug)]
pub(crate) struct Limit {
    /// What was found; `None`: the ceiling.
    found: Option<usize>,
    phase: Phase,
    window: Window,
    /// Answers to come that were asked for under another limit.
    stale: usize,
    /// By how many the next trial differs; `None`: by half.
    stride: Option<usize>,
    /// Windows until the next trial, and how many that was when it was set.
    wait: u32,
    patience: u32,
    /// Whether the next trial is with more, where both would do.
    upwards: bool,
    /// Fewer, with which as much came back in the last trial. They stay if that happens twice.
    promising: Option<usize>,
    /// How long they took with fewer in flight than were found, on average, and with how many; `None`: not known.
    fewer_took: Option<(usize, Duration)>,
    /// When it was halved last. What was sent before says nothing new.
    halved: Option<Duration>,
    /// When what was found was last seen to hold.
    seen: Duration,
}

#[derive(Clone, Copy, Debug, Default)]
enum Phase {
    /// With as many as were found.
    #[default]
    Steady,
    /// With another number; what came back in a second before.
    Trying { limit: usize, before: f64 },
    /// With as many as were found again; what came back in a second before and with the other number.
    Comparing { limit: usize, before: f64, tried: f64 },
}

/// Answers that are counted together.
#[derive(Clone, Copy, Debug, Default)]
struct Window {
    answers: u32,
    took: Duration,
}

impl Window {
    fn mean(&self) -> Duration {
        self.took / self.answers.max(1)
    }

    /// How many come back in a second if so many are always in flight (Little's law): a mean is far steadier than a count of
    /// answers, which come in bursts.
    #[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 in flight")]
    fn rate(&self, in_flight: usize) -> f64 {
        in_flight as f64 / self.mean().max(Duration::from_micros(1)).as_secs_f64()
    }
}

impl Default for Limit {
    fn default() -> Self {
        Self {
            found: None,
            phase: Phase::Steady,
            window: Window::default(),
            stale: 0,
            stride: None,
            wait: FIRST_PATIENCE,
            patience: 0,
            upwards: false,
            promising: None,
            fewer_took: None,
            halved: None,
            seen: Duration::ZERO,
        }
    }
}

impl Limit {
    /// How many may be in flight now, a trial's number while one is under way.
    pub(crate) fn most(&self, ceiling: usize) -> usize {
        match self.phase {
            Phase::Trying { limit, .. } => limit.clamp(1, ceiling.max(1)),
            Phase::Steady | Phase::Comparing { .. } => self.found(ceiling),
        }
    }

    /// How many may be in flight as far as is known.
    pub(crate) fn found(&self, ceiling: usize) -> usize {
        self.found.unwrap_or(ceiling).clamp(1, ceiling.max(1))
    }

    /// One was answered that was sent then; `in_flight` were under way, this one among them.
    pub(crate) fn answered(&mut self, in_flight: usize, sent: Duration, ceiling: usize, now: Duration) {
        self.forget(ceiling, now);
        if self.stale > 0 {
            self.stale -= 1;
            return;
        }
        if in_flight < self.most(ceiling) {
            // Something else held them back, so they say nothing of this limit.
            self.settle();
            return;
        }
        self.seen = now;
        self.window.answers += 1;
        self.window.took += now.saturating_sub(sent);
        self.compare(ceiling);
    }

    /// One that was sent then was refused, or timed out: half as many from now on. So many others are under way.
    pub(crate) fn halve(&mut self, under_way: usize, sent: Duration, ceiling: usize, now: Duration) {
        if self.halved.is_some_and(|at| sent <= at) {
            return;
        }
        self.found = Some((self.most(ceiling) / 2).max(1));
        (self.halved, self.seen) = (Some(now), now);
        self.start_over();
        (self.upwards, self.stale) = (true, under_way);
        self.settle();
    }

    /// Ends a trial without a result.
    fn settle(&mut self) {
        (self.phase, self.window) = (Phase::Steady, Window::default());
    }

    /// What was found long ago may not be so any more.
    fn forget(&mut self, ceiling: usize, now: Duration) {
        let Some(found) = self.found else { return };
        let minutes = now.saturating_sub(self.seen).as_secs() / FORGETS.as_secs();
        if minutes > 0 {
            self.set(found.saturating_add(usize::try_from(minutes).unwrap_or(usize::MAX)), ceiling);
            self.seen = now;
            self.start_over();
            self.wait = FIRST_PATIENCE;
            self.settle();
        }
    }

    /// Nothing that trials taught holds any more.
    fn start_over(&mut self) {
        (self.stride, self.wait, self.patience, self.fewer_took, self.promising) = (None, 0, 0, None, None);
    }

    fn set(&mut self, found: usize, ceiling: usize) {
        self.found = (found < ceiling).then_some(found);
    }

    fn compare(&mut self, ceiling: usize) {
        let found = self.found(ceiling);
        let answers = usize::try_from(self.window.answers).unwrap_or(usize::MAX);
        let most = self.most(ceiling);
        let (rate, full) = (self.window.rate(most), answers >= WINDOW.max(2 * most));
        let mean = self.window.mean();
        match self.phase {
            Phase::Steady if full => {
                self.window = Window::default();
                if self.wait > 0 {
                    self.wait -= 1;
                } else if let Some(limit) = self.worth_trying(found, mean, ceiling) {
                    self.turn(Phase::Trying { limit, before: rate }, found);
                }
            }
            // Far less comes back: no need to lose more by it.
            Phase::Trying { limit, before }
                if answers >= found.max(WINDOW / 3) && limit < found && rate < before * halfway(limit, found) =>
            {
                self.fewer_took = Some((limit, mean));
                self.turn(Phase::Steady, limit);
                self.in_vain(found);
            }
            Phase::Trying { limit, before } if full => {
                if limit < found {
                    self.fewer_took = Some((limit, mean));
                }
                self.turn(Phase::Comparing { limit, before, tried: rate }, limit);
            }
            Phase::Comparing { limit, before, tried } if full => {
                // Where these two differ something else changed meanwhile, and in doubt no fewer are asked.
                let better = if limit < found {
                    tried >= before.max(rate) * AS_MUCH
                } else {
                    tried * AS_MUCH > f64::midpoint(before, rate)
                };
                self.turn(Phase::Steady, found);
                if better && limit < found && self.promising.replace(limit) != Some(limit) {
                    self.wait = 0;
                } else if better {
                    let stride = self.stride(found) * 2;
                    self.start_over();
                    (self.stride, self.upwards) = (Some(stride), limit > found);
                    self.set(limit, ceiling);
                } else {
                    self.in_vain(found);
                }
            }
            Phase::Steady | Phase::Trying { .. } | Phase::Comparing { .. } => {}
        }
    }

    /// Goes on with another number; so many are under way under the old one.
    fn turn(&mut self, phase: Phase, under_way: usize) {
        (self.phase, self.window, self.stale) = (phase, Window::default(), under_way);
    }

    /// With how many to try, if at all.
    fn worth_trying(&self, found: usize, mean: Duration, ceiling: usize) -> Option<usize> {
        let stride = self.stride(found);
        // Nearer to what they take if none waits for another than to what they take if all do.
        let as_ever = |(limit, took): (usize, Duration)| {
            mean.mul_f64(halfway(limit, found)) <= took && mean >= took.mul_f64(OUTDATED)
        };
        let wait = !self.fewer_took.is_some_and(as_ever);
        let fewer = (found > 1 && wait).then(|| found - stride);
        let more = (found < ceiling).then(|| found.saturating_add(stride).min(ceiling));
        if self.upwards { more.or(fewer) } else { fewer.or(more) }
    }

    fn stride(&self, found: usize) -> usize {
        let half = (found / 2).max(1);
        self.stride.unwrap_or(half).clamp(1, half)
    }

    /// A smaller step next time, the other way; and ever more seldom.
    fn in_vain(&mut self, found: usize) {
        let stride = self.stride(found);
        if stride > 1 {
            self.stride = Some(stride / 2);
        }
        self.promising = None;
        self.patience = (self.patience * 2).clamp(1, LONGEST_PATIENCE);
        self.wait = self.patience;
        self.upwards = !self.upwards;
    }
}

/// Between what comes back if each takes as long as before, and what if all wait for each other.
#[expect(clippy::cast_precision_loss, reason = "nobody has 2^52 in flight")]
fn halfway(limit: usize, found: usize) -> f64 {
    f64::midpoint(1.0, limit as f64 / found as f64)
}

#[cfg(test)]
mod tests;
