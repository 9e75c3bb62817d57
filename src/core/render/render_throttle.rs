//! How fast we may ask: few renderings at once for each webhook configuration, and none while an injector is slow.
//!
//! Dry runs call the injectors that real Pods need. An injector that answers slowly is near the point where the API
//! server gives up on it, and with `failurePolicy: Ignore` a real Pod would then start without its sidecar. So we stop
//! long before. And under these ceilings each [`Limit`] finds by itself how many at once are answered best.

mod limit;

use std::{
    collections::{BTreeMap, VecDeque},
    time::Duration,
};

use serde::{Deserialize, Serialize};

pub use self::limit::Limit;
use crate::core::{
    injection::scope::{Scope, Vector},
    model::InjectorKind,
};

/// Renderings that a 95th percentile is taken of.
const SAMPLES: usize = 20;
/// Fewer say nothing, unless one alone took too long.
const FEW: usize = 5;
/// The share of the webhook's own time-out that renderings may take: 1/5.
const SHARE: u32 = 5;
/// How long an injector that was slow is left alone.
pub const REST: Duration = Duration::from_mins(1);
/// A webhook's time-out if it says none; the API server's default.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Renderings in flight that no webhook takes part in, at most.
const WITHOUT_WEBHOOK: usize = 8;
/// How long nothing is asked after the API server refused one without saying how long.
const BREAK: Duration = Duration::from_secs(1);
/// A longer wait for everybody is not taken from one answer; each workload that was refused has its own back-off.
const LONGEST_BREAK: Duration = Duration::from_mins(1);

/// What each webhook configuration is asked now, and how it answered.
#[derive(Debug, Default)]
pub struct Pace {
    scopes: BTreeMap<Scope, ScopePace>,
    /// In flight in all.
    in_flight: usize,
    /// How many the API server answers best.
    limit: Limit,
    /// Limits that changed and of which nobody was told.
    news: Vec<(Option<Scope>, usize)>,
    /// The API server wants nothing before then.
    refused_until: Option<Duration>,
}

#[derive(Debug, Default)]
struct ScopePace {
    in_flight: usize,
    /// How many its webhooks answer best.
    limit: Limit,
    /// How long the last renderings took, newest last.
    took: VecDeque<Duration>,
    /// It is left alone until then.
    rests_until: Option<Duration>,
}

/// A rendering that was sent.
#[derive(Clone, Debug)]
pub struct Asked {
    /// What it depends on.
    pub vector: Vector,
    /// The smallest time-out of the webhooks that take part.
    pub timeout: Duration,
    /// When it was sent.
    pub sent: Duration,
}

/// How many renderings may be in flight, as far as is known.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limits {
    /// In all.
    pub api_server: usize,
    /// Through the webhook configuration that takes the fewest; `None` if none took part in any.
    pub injector: Option<usize>,
}

/// Whether a rendering may be sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// It may.
    Go,
    /// As many as allowed, or as are answered well, are in flight: when one comes back.
    Busy,
    /// An injector that takes part is slow: not before then.
    Slow(Duration),
}

impl Pace {
    /// Whether a rendering under this vector may be sent; at most `most` in flight for each webhook configuration.
    pub fn leave(&self, vector: &Vector, most: usize, now: Duration) -> Leave {
        let involved = || webhooks(vector).filter_map(|scope| self.scopes.get(scope));
        if let Some(until) = involved().filter_map(|s| s.rests_until).filter(|until| *until > now).max() {
            return Leave::Slow(until);
        }
        let full = involved().any(|s| s.in_flight >= s.limit.most(most));
        if full || self.is_crowded(most) { Leave::Busy } else { Leave::Go }
    }

    /// Whether so many are in flight that none may be sent, whatever takes part in it.
    pub fn is_crowded(&self, most: usize) -> bool {
        self.in_flight >= self.limit.most(in_all(most))
    }

    /// How many may be in flight as far as is known: in all, and of the webhook configuration that takes the fewest.
    pub fn limits(&self, most: usize) -> Limits {
        let injector = self.scopes.values().map(|scope| scope.limit.found(most)).min();
        Limits { api_server: self.limit.found(in_all(most)), injector }
    }

    /// What limits changed since this was asked last, of which configuration or of the API server, and to what.
    pub fn take_news(&mut self) -> Vec<(Option<Scope>, usize)> {
        std::mem::take(&mut self.news)
    }

    /// One was sent.
    pub fn sent(&mut self, vector: &Vector) {
        self.in_flight += 1;
        for scope in webhooks(vector) {
            self.scopes.entry(scope.clone()).or_default().in_flight += 1;
        }
    }

    /// The API server refused one (429) that was sent then, and said or did not say for how long.
    pub fn refused(&mut self, retry_after: Option<Duration>, sent: Duration, most: usize, now: Duration) {
        let before = self.limit.found(in_all(most));
        self.limit.halve(self.in_flight, sent, in_all(most), now);
        self.note(None, before, self.limit.found(in_all(most)));
        let until = now + retry_after.unwrap_or(BREAK).min(LONGEST_BREAK);
        self.refused_until = self.refused_until.max(Some(until));
    }

    /// When the API server may be asked again, if that is not now.
    pub fn resumes(&self, now: Duration) -> Option<Duration> {
        self.refused_until.filter(|until| *until > now)
    }

    /// One came back after `took`. Returns the scopes that are left alone from now on.
    pub fn came_back(&mut self, asked: &Asked, took: Duration, most: usize, now: Duration) -> Vec<Scope> {
        let Asked { vector, timeout, sent } = asked;
        let (timeout, sent) = (*timeout, *sent);
        let before = self.limit.found(in_all(most));
        self.limit.answered(self.in_flight, sent, in_all(most), now);
        self.in_flight = self.in_flight.saturating_sub(1);
        // Where a webhook takes part it is what was waited for.
        if took >= timeout && webhooks(vector).next().is_none() {
            self.limit.halve(self.in_flight, sent, in_all(most), now);
        }
        self.note(None, before, self.limit.found(in_all(most)));
        let (mut slow, mut changed) = (Vec::new(), Vec::new());
        for scope in webhooks(vector) {
            let pace = self.scopes.entry(scope.clone()).or_default();
            let before = pace.limit.found(most);
            pace.limit.answered(pace.in_flight, sent, most, now);
            pace.in_flight = pace.in_flight.saturating_sub(1);
            if took >= timeout {
                pace.limit.halve(pace.in_flight, sent, most, now);
            }
            changed.push((scope, before, pace.limit.found(most)));
            pace.took.push_back(took);
            if pace.took.len() > SAMPLES {
                pace.took.pop_front();
            }
            if took >= timeout || (pace.took.len() >= FEW && percentile_95(&pace.took) > timeout / SHARE) {
                // Those that were under way when it was found to be slow tell nothing new.
                let resting = pace.rests_until.replace(now + REST).is_some_and(|until| until > now);
                // Judged anew afterwards.
                pace.took.clear();
                if !resting {
                    slow.push(scope.clone());
                }
            }
        }
        for (scope, before, after) in changed {
            self.note(Some(scope), before, after);
        }
        slow
    }

    fn note(&mut self, scope: Option<&Scope>, before: usize, after: usize) {
        if before != after {
            self.news.push((scope.cloned(), after));
        }
    }

    /// Renderings in flight.
    pub fn in_flight(&self) -> usize {
        self.in_flight
    }
}

/// The ceiling for all of them, where each webhook configuration may be asked `most` at once.
fn in_all(most: usize) -> usize {
    most.max(WITHOUT_WEBHOOK)
}

fn webhooks(vector: &Vector) -> impl Iterator<Item = &Scope> {
    vector.keys().filter(|s| matches!(s, Scope::Injector(InjectorKind::MutatingWebhookConfiguration, _)))
}

fn percentile_95(took: &VecDeque<Duration>) -> Duration {
    let mut sorted: Vec<_> = took.iter().copied().collect();
    sorted.sort_unstable();
    let rank = (sorted.len() * 95).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const S: Duration = Duration::from_secs(1);

    fn under(name: &str) -> Vector {
        let webhook = Scope::Injector(InjectorKind::MutatingWebhookConfiguration, name.into());
        BTreeMap::from([(Scope::Cluster, 1), (webhook, 1)])
    }

    fn answer(pace: &mut Pace, vector: &Vector, took: Duration, now: Duration) -> usize {
        pace.sent(vector);
        let asked = Asked { vector: vector.clone(), timeout: S * 10, sent: now };
        pace.came_back(&asked, took, 2, now).len()
    }

    #[test]
    fn each_configuration_has_its_own_share_in_flight() {
        let mut pace = Pace::default();
        let (mesh, vault) = (under("mesh"), under("vault"));
        pace.sent(&mesh);
        pace.sent(&mesh);
        assert_eq!(pace.leave(&mesh, 2, S), Leave::Busy);
        assert_eq!(pace.leave(&vault, 2, S), Leave::Go);
        let asked = Asked { vector: mesh.clone(), timeout: S * 10, sent: S };
        pace.came_back(&asked, MS, 2, S);
        assert_eq!((pace.leave(&mesh, 2, S), pace.in_flight()), (Leave::Go, 1));
    }

    #[test]
    fn an_injector_above_a_fifth_of_its_timeout_rests_and_the_others_do_not() {
        let mut pace = Pace::default();
        let (mesh, vault) = (under("mesh"), under("vault"));
        for _ in 0..4 {
            assert_eq!(answer(&mut pace, &mesh, S * 2 + MS, S), 0);
        }
        assert_eq!(answer(&mut pace, &mesh, S * 2 + MS, S), 1);
        assert_eq!(pace.leave(&mesh, 2, S), Leave::Slow(S + REST));
        assert_eq!(pace.leave(&vault, 2, S), Leave::Go);
        assert_eq!(pace.leave(&mesh, 2, S + REST), Leave::Go);
    }

    #[test]
    fn after_a_refusal_nobody_asks_for_a_while() {
        let mut pace = Pace::default();
        assert_eq!(pace.resumes(S), None);
        pace.refused(Some(S * 5), MS, 2, S);
        pace.refused(None, MS, 2, S);
        assert_eq!((pace.resumes(S), pace.resumes(S * 6)), (Some(S * 6), None));
        pace.refused(Some(Duration::from_hours(10)), MS, 2, S * 7);
        assert_eq!(pace.resumes(S * 7), Some(S * 7 + LONGEST_BREAK));
    }

    #[test]
    fn one_slow_answer_among_many_is_no_reason_but_a_timeout_is() {
        let mut pace = Pace::default();
        let mesh = under("mesh");
        for i in 0..40 {
            let took = if i == 20 { S * 3 } else { MS * 20 };
            assert_eq!(answer(&mut pace, &mesh, took, S), 0, "{i}");
        }
        assert_eq!(answer(&mut pace, &mesh, S * 10, S), 1);
    }
}
