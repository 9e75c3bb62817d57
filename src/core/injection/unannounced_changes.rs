//! Moves that nobody announces.
//!
//! A ConfigMap reaches an injector that has it mounted only when the kubelet syncs, a minute or more after the watch told
//! us of it; and some injectors change what they inject without any object changing. Asking everybody again and again
//! would be a burden, so a *sample* is asked: one workload for each configuration. When its rendering turns out to have
//! changed, the configuration counts as moved, and all that depend on it are asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::SignedDuration;

use crate::core::{
    compare::{self, Rendering},
    injection::scope::{self, Scope, Vector},
    model::{WorkloadKey, time::Now},
    render::queue::Priority,
    step::Core,
};

/// When the sample is asked again after a ConfigMap moved. Kubelets sync every minute by default, up to half a minute
/// late; an injector may poll on top of it.
const FOLLOW_UPS: [Duration; 3] = [Duration::from_secs(30), Duration::from_secs(90), Duration::from_mins(3)];

/// A configuration counts as moved by such a finding once in this time: an injector that never gives the same twice must
/// not make us ask without end.
const NOTICED_ONCE_IN: Duration = Duration::from_mins(10);

/// What is still to be looked after.
#[derive(Debug, Default)]
pub(in crate::core) struct Unseen {
    follow_ups: BTreeSet<(Duration, Scope)>,
    noticed: BTreeMap<Scope, Duration>,
}

impl Unseen {
    /// When the next sample is to be asked.
    pub(in crate::core) fn next(&self) -> Option<Duration> {
        self.follow_ups.first().map(|(at, _)| *at)
    }

    /// A scope moved; `late`: perhaps not at once.
    pub(in crate::core) fn moved(&mut self, scope: &Scope, late: bool, now: Duration) {
        if late && matches!(scope, Scope::Injector(..)) {
            self.follow_ups.retain(|(_, s)| s != scope);
            self.follow_ups.extend(FOLLOW_UPS.map(|after| (now + after, scope.clone())));
        }
    }

    fn due(&mut self, now: Duration) -> Option<Scope> {
        self.follow_ups.first().filter(|(at, _)| *at <= now)?;
        self.follow_ups.pop_first().map(|(_, scope)| scope)
    }

    /// Whether a finding about this scope counts now: a late effect that was waited for always does.
    fn counts(&mut self, scope: &Scope, now: Duration) -> bool {
        let awaited = self.follow_ups.iter().any(|(_, s)| s == scope);
        let recent = self.noticed.get(scope).is_some_and(|at| now < *at + NOTICED_ONCE_IN);
        if awaited || !recent {
            self.noticed.insert(scope.clone(), now);
        }
        awaited || !recent
    }
}

impl Core {
    /// Asks the samples whose time has come.
    pub(in crate::core) fn follow_up(&mut self, now: Now) {
        while let Some(scope) = self.unseen.due(now.elapsed) {
            let depends = |set: &crate::core::verdict::case::RenderSet| set.vector.contains_key(&scope);
            let sample = self.work.iter().find(|(_, work)| {
                work.request.is_none()
                    && !work.adding
                    && !work.judged.sidecars.is_empty()
                    && work.set.as_ref().is_some_and(depends)
            });
            if let Some((key, _)) = sample {
                let key = key.clone();
                self.queue.schedule(&key, now.elapsed, Priority::Moved, now.elapsed);
            }
        }
    }

    /// What changed right before we started may not be in force yet either: an API server takes a moment to put a policy
    /// in force, and an injector minutes to see a new ConfigMap.
    pub(in crate::core) fn heed_what_just_changed(&mut self, now: Now) {
        let latest = FOLLOW_UPS.last().copied().unwrap_or_default();
        for (settles, span) in [(true, self.policy.settle), (false, latest)] {
            // The API server's clock is cut to seconds.
            let span = SignedDuration::try_from(span + Duration::from_secs(1)).unwrap_or(SignedDuration::MAX);
            let Ok(since) = now.wall.checked_sub(span) else { continue };
            for (scope, late) in scope::changed_since(since, &self.index) {
                if settles {
                    self.generations.changed_before_start(&scope, now);
                } else {
                    self.unseen.moved(&scope, late, now.elapsed);
                }
            }
        }
    }

    /// A workload's rendering changed though nothing that it depends on did.
    pub(in crate::core) fn noticed_change(&mut self, key: &WorkloadKey, vector: &Vector, now: Now) {
        for scope in vector.keys().filter(|scope| matches!(scope, Scope::Injector(..))) {
            if self.unseen.counts(scope, now.elapsed) {
                let cause = format!("no object changed, but the rendering of {key} did");
                self.move_scope(scope, cause, false, now);
            }
        }
    }
}

/// Whether admission injects everything into the newer rendering that it injected into the older one: an injector that is
/// down has not moved.
pub(in crate::core) fn injects_as_much(older: &Rendering, newer: &Rendering) -> bool {
    let injected = |r: &Rendering| compare::injected(&r.template, &r.rendered);
    injected(older).is_subset(&injected(newer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::InjectorKind;

    const S: Duration = Duration::from_secs(1);

    fn mesh() -> Scope {
        Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into())
    }

    #[test]
    fn a_config_map_is_looked_after_three_times_and_a_new_move_starts_again() {
        let mut unseen = Unseen::default();
        unseen.moved(&mesh(), true, S * 100);
        assert_eq!((unseen.due(S * 129), unseen.due(S * 130)), (None, Some(mesh())));
        unseen.moved(&mesh(), true, S * 140);
        let times: Vec<_> =
            std::iter::from_fn(|| unseen.next().inspect(|at| assert!(unseen.due(*at).is_some()))).collect();
        assert_eq!(times, [S * 170, S * 230, S * 320]);
    }

    #[test]
    fn what_takes_effect_at_once_is_not_looked_after() {
        let mut unseen = Unseen::default();
        unseen.moved(&mesh(), false, S);
        unseen.moved(&Scope::Namespace("shop".into()), true, S);
        assert_eq!(unseen.next(), None);
    }

    #[test]
    fn a_finding_counts_once_in_ten_minutes_unless_it_was_awaited() {
        let mut unseen = Unseen::default();
        assert!(unseen.counts(&mesh(), S));
        assert!(!unseen.counts(&mesh(), S * 600));
        assert!(unseen.counts(&mesh(), S * 601));
        unseen.moved(&mesh(), true, S * 602);
        assert!(unseen.counts(&mesh(), S * 602));
    }
}
