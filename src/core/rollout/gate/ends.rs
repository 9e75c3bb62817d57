//! When a gate lets go by itself: the plan is made again then, and not every second.

use std::time::Duration;

use jiff::Timestamp;

use super::{Candidate, DAY, Situation, opening, rolled_within, unproven};
use crate::core::rollout::alerts::Alarm;
use crate::core::{
    config::Opening,
    io::Canary,
    model::{time::Now, words::Gate},
};

/// When the gate that holds a candidate may let go by time alone, by `elapsed`; `None`: only an event ends it.
pub fn ends(gate: Gate, c: &Candidate<'_>, s: &Situation<'_>) -> Option<Duration> {
    match gate {
        Gate::Accepted => c.says.accepted_until.map(|until| at(s.now, until, Duration::ZERO)),
        Gate::Cooldown => {
            let last = c.tried().map(|tried| tried.stamp.timestamp).max();
            last.map(|last| at(s.now, last, s.policy.cooldown))
        }
        Gate::DailyCap => {
            let rolled = rolled_within(c, s.now, DAY);
            let surplus = rolled.len().checked_sub(s.policy.daily_cap as usize)?;
            rolled.get(surplus).map(|first| at(s.now, *first, DAY))
        }
        Gate::OutsideWindow => match opening(c, s) {
            Opening::Closed(Some(opens)) => Some(at(s.now, opens, Duration::ZERO)),
            Opening::Closed(None) | Opening::Open => None,
        },
        Gate::RateLimit => s.next_token,
        Gate::Canary => {
            let ends = |canary: &Canary| {
                let soaked = canary.converged.map(|last| at(s.now, last, s.policy.soak));
                let too_early = canary.too_early_until.filter(|_| canary.too_early(s.now.wall));
                soaked.max(too_early.map(|until| at(s.now, until, Duration::ZERO)))
            };
            unproven(c, s).filter_map(ends).max()
        }
        Gate::AlertFiring => match s.alarm {
            Alarm::Until(calm) => Some(calm),
            Alarm::On | Alarm::None => None,
        },
        Gate::BackingOff => Some(c.backoff_until),
        Gate::FirstSweep => s.first_sweep,
        _ => None,
    }
}

/// When that span will be over since then, by the other clock; now, if it is.
fn at(now: Now, since: Timestamp, span: Duration) -> Duration {
    now.elapsed + span.saturating_sub(now.since(since)) + until(now, since)
}

/// How long until the wall clock shows this.
fn until(now: Now, time: Timestamp) -> Duration {
    Duration::try_from(time.duration_since(now.wall)).unwrap_or_default()
}
