//! How fast renderings may be asked for: few renderings at once for each webhook configuration, and none while an injector is slow.
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

pub(super) use self::limit::Limit;
use crate::core::{
    injection::{Scope, VersionVector},
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
/// A command that looks once waits this long, in all, for workloads whose injectors are slow, and says then what was not asked.
pub const SLOW_INJECTOR_BUDGET: Duration = Duration::from_mins(10);
/// A webhook's time-out if it says none; the API server's default.
pub(super) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);
/// Renderings in flight that no webhook takes part in, at most.
const WITHOUT_WEBHOOK: usize = 8;
/// How long nothing is asked after the API server refused one without saying how long.
const BREAK: Duration = Duration::from_secs(1);
/// A longer wait for everybody is not taken from one answer; each workload that was refused has its own back-off.
const LONGEST_BREAK: Duration = Duration::from_mins(1);

/// What each webhook configuration is asked now, and how it answered.
#[derive(Debug, Default)]
pub(super) struct RenderThrottle {
    scopes: BTreeMap<Scope, ScopeThrottle>,
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
struct ScopeThrottle {
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
pub(super) struct SentRendering {
    /// What it depends on.
    pub versions: VersionVector,
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
pub(super) enum SendPermit {
    /// It may.
    Go,
    /// As many as allowed, or as are answered well, are in flight: when one comes back.
    Busy,
    /// An injector that takes part is slow: not before then.
    Slow(Duration),
}

impl RenderThrottle {
    /// Whether a rendering under these versions may be sent; at most `most` in flight for each webhook configuration.
    pub(super) fn permit(&self, versions: &VersionVector, most: usize, now: Duration) -> SendPermit {
        let involved = || webhooks(versions).filter_map(|scope| self.scopes.get(scope));
        if let Some(until) = involved().filter_map(|s| s.rests_until).filter(|until| *until > now).max() {
            return SendPermit::Slow(until);
        }
        let full = involved().any(|s| s.in_flight >= s.limit.most(most));
        if full || self.is_at_limit(most) { SendPermit::Busy } else { SendPermit::Go }
    }

    /// Whether so many are in flight that none may be sent, whatever takes part in it.
    pub(super) fn is_at_limit(&self, most: usize) -> bool {
        self.in_flight >= self.limit.most(in_all(most))
    }

    /// How many may be in flight as far as is known: in all, and of the webhook configuration that takes the fewest.
    pub(super) fn limits(&self, most: usize) -> Limits {
        let injector = self.scopes.values().map(|scope| scope.limit.found(most)).min();
        Limits { api_server: self.limit.found(in_all(most)), injector }
    }

    /// What limits changed since this was asked last, of which configuration or of the API server, and to what.
    pub(super) fn take_news(&mut self) -> Vec<(Option<Scope>, usize)> {
        std::mem::take(&mut self.news)
    }

    /// One was sent.
    pub(super) fn sent(&mut self, versions: &VersionVector) {
        self.in_flight += 1;
        for scope in webhooks(versions) {
            self.scopes.entry(scope.clone()).or_default().in_flight += 1;
        }
    }

    /// The API server refused one (429) that was sent then, and said or did not say for how long.
    pub(super) fn refused(&mut self, retry_after: Option<Duration>, sent: Duration, most: usize, now: Duration) {
        let before = self.limit.found(in_all(most));
        self.limit.halve(self.in_flight, sent, in_all(most), now);
        self.note(None, before, self.limit.found(in_all(most)));
        let until = now + retry_after.unwrap_or(BREAK).min(LONGEST_BREAK);
        self.refused_until = self.refused_until.max(Some(until));
    }

    /// When the API server may be asked again, if that is not now.
    pub(super) fn resumes(&self, now: Duration) -> Option<Duration> {
        self.refused_until.filter(|until| *until > now)
    }

    /// One came back after `took`. Returns the scopes that are left alone from now on.
    pub(super) fn came_back(
        &mut self,
        asked: &SentRendering,
        took: Duration,
        most: usize,
        now: Duration,
    ) -> Vec<Scope> {
        let SentRendering { versions, timeout, sent } = asked;
        let (timeout, sent) = (*timeout, *sent);
        let before = self.limit.found(in_all(most));
        self.limit.answered(self.in_flight, sent, in_all(most), now);
        self.in_flight = self.in_flight.saturating_sub(1);
        // Where a webhook takes part it is what was waited for.
        if took >= timeout && webhooks(versions).next().is_none() {
            self.limit.halve(self.in_flight, sent, in_all(most), now);
        }
        self.note(None, before, self.limit.found(in_all(most)));
        let (mut slow, mut changed) = (Vec::new(), Vec::new());
        for scope in webhooks(versions) {
            let throttle = self.scopes.entry(scope.clone()).or_default();
            let before = throttle.limit.found(most);
            throttle.limit.answered(throttle.in_flight, sent, most, now);
            throttle.in_flight = throttle.in_flight.saturating_sub(1);
            if took >= timeout {
                throttle.limit.halve(throttle.in_flight, sent, most, now);
            }
            changed.push((scope, before, throttle.limit.found(most)));
            throttle.took.push_back(took);
            if throttle.took.len() > SAMPLES {
                throttle.took.pop_front();
            }
            if took >= timeout || (throttle.took.len() >= FEW && percentile_95(&throttle.took) > timeout / SHARE) {
                // Those that were under way when it was found to be slow tell nothing new.
                let resting = throttle.rests_until.replace(now + REST).is_some_and(|until| until > now);
                // Judged anew afterwards.
                throttle.took.clear();
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

    /// A webhook configuration is gone. What is in flight through it comes back all the same.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.scopes.remove(scope);
    }

    /// Renderings in flight.
    #[cfg(test)]
    pub(super) fn in_flight(&self) -> usize {
        self.in_flight
    }
}

/// The ceiling for all of them, where each webhook configuration may be asked `most` at once.
fn in_all(most: usize) -> usize {
    most.max(WITHOUT_WEBHOOK)
}

fn webhooks(versions: &VersionVector) -> impl Iterator<Item = &Scope> {
    versions.keys().filter(|s| matches!(s, Scope::Injector(InjectorKind::MutatingWebhookConfiguration, _)))
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

    fn under(name: &str) -> VersionVector {
        let webhook = Scope::Injector(InjectorKind::MutatingWebhookConfiguration, name.into());
        BTreeMap::from([(Scope::Cluster, 1), (webhook, 1)])
    }

    fn answer(throttle: &mut RenderThrottle, versions: &VersionVector, took: Duration, now: Duration) -> usize {
        throttle.sent(versions);
        let asked = SentRendering { versions: versions.clone(), timeout: S * 10, sent: now };
        throttle.came_back(&asked, took, 2, now).len()
    }

    #[test]
    fn each_configuration_has_its_own_share_in_flight() {
        let mut throttle = RenderThrottle::default();
        let (mesh, vault) = (under("mesh"), under("vault"));
        throttle.sent(&mesh);
        throttle.sent(&mesh);
        assert_eq!(throttle.permit(&mesh, 2, S), SendPermit::Busy);
        assert_eq!(throttle.permit(&vault, 2, S), SendPermit::Go);
        let asked = SentRendering { versions: mesh.clone(), timeout: S * 10, sent: S };
        throttle.came_back(&asked, MS, 2, S);
        assert_eq!((throttle.permit(&mesh, 2, S), throttle.in_flight()), (SendPermit::Go, 1));
    }

    #[test]
    fn an_injector_above_a_fifth_of_its_timeout_rests_and_the_others_do_not() {
        let mut throttle = RenderThrottle::default();
        let (mesh, vault) = (under("mesh"), under("vault"));
        for _ in 0..4 {
            assert_eq!(answer(&mut throttle, &mesh, S * 2 + MS, S), 0);
        }
        assert_eq!(answer(&mut throttle, &mesh, S * 2 + MS, S), 1);
        assert_eq!(throttle.permit(&mesh, 2, S), SendPermit::Slow(S + REST));
        assert_eq!(throttle.permit(&vault, 2, S), SendPermit::Go);
        assert_eq!(throttle.permit(&mesh, 2, S + REST), SendPermit::Go);
    }

    #[test]
    fn after_a_refusal_nobody_asks_for_a_while() {
        let mut throttle = RenderThrottle::default();
        assert_eq!(throttle.resumes(S), None);
        throttle.refused(Some(S * 5), MS, 2, S);
        throttle.refused(None, MS, 2, S);
        assert_eq!((throttle.resumes(S), throttle.resumes(S * 6)), (Some(S * 6), None));
        throttle.refused(Some(Duration::from_hours(10)), MS, 2, S * 7);
        assert_eq!(throttle.resumes(S * 7), Some(S * 7 + LONGEST_BREAK));
    }

    #[test]
    fn one_slow_answer_among_many_is_no_reason_but_a_timeout_is() {
        let mut throttle = RenderThrottle::default();
        let mesh = under("mesh");
        for i in 0..40 {
            let took = if i == 20 { S * 3 } else { MS * 20 };
            assert_eq!(answer(&mut throttle, &mesh, took, S), 0, "{i}");
        }
        assert_eq!(answer(&mut throttle, &mesh, S * 10, S), 1);
    }
}
