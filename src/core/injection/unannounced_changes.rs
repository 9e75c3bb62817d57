//! Changes that nobody announces.
//!
//! A ConfigMap reaches an injector that has it mounted only when the kubelet syncs, a minute or more after the watch told
//! us of it; and some injectors change what they inject without any object changing. Asking everybody again and again
//! would be a burden, so *samples* are asked: a few workloads for each configuration, as unlike each other as there are. When a
//! rendering turns out to have changed, the configuration counts as moved, and all that depend on it are asked.

use std::{collections::BTreeMap, time::Duration};

use super::scope::Scope;

/// When samples are asked again after a ConfigMap moved. Kubelets sync every minute by default, up to half a minute late; an
/// injector may poll on top of it. Whatever a sample shows is confirmed by all others within three minutes of the change.
const FOLLOW_UPS: [Duration; 3] = [Duration::from_secs(45), Duration::from_secs(100), Duration::from_secs(160)];

/// What takes effect at once is in force by then.
const AT_ONCE: [Duration; 1] = [Duration::from_secs(10)];

/// So many samples are asked at a time ...
const SEVERAL: usize = 3;
/// ... and so many where it is only to be seen whether an object that is written all the time still changes nothing.
const ONE: usize = 1;
/// As many as there are.
pub const ALL: usize = usize::MAX;

/// The last sample is asked so long after a change.
pub(super) const LAST_FOLLOW_UP: Duration = FOLLOW_UPS[FOLLOW_UPS.len() - 1];

/// A configuration counts as moved by such a finding once in this time: an injector that never gives the same twice must
/// not make us ask without end.
const NOTICED_ONCE_IN: Duration = Duration::from_mins(10);

/// What is still to be looked after.
#[derive(Debug, Default)]
pub(super) struct UnannouncedChanges {
    /// How many samples are to be asked, and when.
    follow_ups: BTreeMap<(Duration, Scope), usize>,
    noticed: BTreeMap<Scope, Duration>,
}

impl UnannouncedChanges {
    /// When the next sample is to be asked.
    pub(super) fn next(&self) -> Option<Duration> {
        self.follow_ups.keys().next().map(|(at, _)| *at)
    }

    /// A scope moved; `late`: perhaps not at once.
    pub(super) fn scope_moved(&mut self, scope: &Scope, late: bool, now: Duration) {
        if late && matches!(scope, Scope::Injector(..) | Scope::Cluster) {
            self.ask(scope, &FOLLOW_UPS, now);
        }
    }

    /// An object was written that did not change anything when it was written before; `late`: it may do so only later.
    pub(super) fn ask_samples(&mut self, scope: &Scope, late: bool, now: Duration) {
        self.ask(scope, if late { &FOLLOW_UPS } else { &AT_ONCE }, now);
    }

    /// What was to be asked soon is asked all the same: what is written again and again must not put it off for ever.
    fn ask(&mut self, scope: &Scope, after: &[Duration], now: Duration) {
        let soon = now + FOLLOW_UPS[0];
        let begins_again = after.len() > 1;
        self.follow_ups.retain(|(at, s), samples| s != scope || !begins_again || *at <= soon || *samples != SEVERAL);
        let mut due = self
            .follow_ups
            .iter()
            .filter(|((at, s), samples)| s == scope && **samples > ONE && (now..=soon).contains(at));
        let awaited = begins_again && due.next().is_some();
        let after = after.iter().skip(usize::from(awaited));
        for after in after {
            let samples = self.follow_ups.entry((now + *after, scope.clone())).or_default();
            *samples = SEVERAL.max(*samples);
        }
    }

    /// All that depend on it are to be asked then.
    pub(super) fn ask_all(&mut self, scope: &Scope, at: Duration) {
        self.follow_ups.insert((at, scope.clone()), ALL);
    }

    /// One sample is to be asked then.
    pub(super) fn ask_one(&mut self, scope: &Scope, at: Duration) {
        self.follow_ups.entry((at, scope.clone())).or_insert(ONE);
    }

    /// The scope of which samples are to be asked next, and how many, if its time has come.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<(Duration, Scope, usize)> {
        self.follow_ups.keys().next().filter(|(at, _)| *at <= now)?;
        self.follow_ups.pop_first().map(|((at, scope), samples)| (at, scope, samples))
    }

    /// Whether a finding about this scope counts now: a late effect that was waited for always does.
    pub(super) fn counts(&mut self, scope: &Scope, now: Duration) -> bool {
        self.noticed.retain(|_, at| now < *at + NOTICED_ONCE_IN);
        let awaited = self.follow_ups.iter().any(|((_, s), samples)| s == scope && *samples > ONE);
        let recent = self.noticed.contains_key(scope);
        if awaited || !recent {
            self.noticed.insert(scope.clone(), now);
        }
        awaited || !recent
    }

    /// The scope is gone.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.follow_ups.retain(|(_, s), _| s != scope);
        self.noticed.remove(scope);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::InjectorKind;

    const S: Duration = Duration::from_secs(1);

    fn mesh() -> Scope {
        Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into())
    }

    fn all(changes: &mut UnannouncedChanges) -> Vec<(Duration, usize)> {
        let next = || changes.take_due(Duration::MAX).map(|(at, _, samples)| (at, samples));
        std::iter::from_fn(next).collect()
    }

    #[test]
    fn a_config_map_is_looked_after_for_three_minutes_and_a_new_move_starts_again() {
        let mut changes = UnannouncedChanges::default();
        changes.scope_moved(&mesh(), true, S * 100);
        assert_eq!((changes.take_due(S * 144), changes.take_due(S * 145)), (None, Some((S * 145, mesh(), 3))));
        changes.ask_all(&mesh(), S * 1000);
        changes.scope_moved(&mesh(), true, S * 146);
        assert_eq!(all(&mut changes), [(S * 191, 3), (S * 246, 3), (S * 306, 3), (S * 1000, ALL)]);
    }

    #[test]
    fn what_moves_all_the_time_does_not_put_the_look_off() {
        let mut changes = UnannouncedChanges::default();
        for second in (100..130).step_by(10) {
            changes.scope_moved(&mesh(), true, S * second);
        }
        changes.ask_one(&mesh(), S * 125);
        changes.ask_samples(&mesh(), false, S * 129);
        assert_eq!(all(&mut changes), [(S * 125, 1), (S * 139, 3), (S * 145, 3), (S * 220, 3), (S * 280, 3)]);
    }

    #[test]
    fn what_takes_effect_at_once_is_not_looked_after() {
        let mut changes = UnannouncedChanges::default();
        changes.scope_moved(&mesh(), false, S);
        changes.scope_moved(&Scope::Namespace("shop".into()), true, S);
        assert_eq!(changes.next(), None);
    }

    #[test]
    fn a_finding_counts_once_in_ten_minutes_unless_it_was_awaited() {
        let mut changes = UnannouncedChanges::default();
        assert!(changes.counts(&mesh(), S));
        assert!(!changes.counts(&mesh(), S * 600));
        assert!(changes.counts(&mesh(), S * 601));
        changes.scope_moved(&mesh(), true, S * 602);
        assert!(changes.counts(&mesh(), S * 602));
    }

    #[test]
    fn nothing_is_kept_of_a_scope_that_is_gone_nor_of_a_finding_that_is_over() {
        let mut changes = UnannouncedChanges::default();
        let other = Scope::Injector(InjectorKind::MutatingAdmissionPolicy, "other".into());
        changes.scope_moved(&mesh(), true, S);
        assert!(changes.counts(&mesh(), S) && changes.counts(&other, S * 700));
        assert_eq!(changes.noticed.keys().collect::<Vec<_>>(), [&other]);
        changes.forget(&mesh());
        assert_eq!(changes.next(), None);
    }
}
