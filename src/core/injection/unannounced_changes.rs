//! Changes that nobody announces.
//!
//! A ConfigMap reaches an injector that has it mounted only when the kubelet syncs, a minute or more after the watch told
//! us of it; and some injectors change what they inject without any object changing. Asking everybody again and again
//! would be a burden, so a *sample* is asked: one workload for each configuration. When its rendering turns out to have
//! changed, the configuration counts as moved, and all that depend on it are asked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::scope::Scope;

/// When the sample is asked again after a ConfigMap moved. Kubelets sync every minute by default, up to half a minute
/// late; an injector may poll on top of it.
const FOLLOW_UPS: [Duration; 3] = [Duration::from_secs(30), Duration::from_secs(90), Duration::from_mins(3)];

/// The last sample is asked so long after a change.
pub(super) const LAST_FOLLOW_UP: Duration = FOLLOW_UPS[FOLLOW_UPS.len() - 1];

/// A configuration counts as moved by such a finding once in this time: an injector that never gives the same twice must
/// not make us ask without end.
const NOTICED_ONCE_IN: Duration = Duration::from_mins(10);

/// What is still to be looked after.
#[derive(Debug, Default)]
pub(super) struct UnannouncedChanges {
    follow_ups: BTreeSet<(Duration, Scope)>,
    noticed: BTreeMap<Scope, Duration>,
}

impl UnannouncedChanges {
    /// When the next sample is to be asked.
    pub(super) fn next(&self) -> Option<Duration> {
        self.follow_ups.first().map(|(at, _)| *at)
    }

    /// A scope moved; `late`: perhaps not at once.
    pub(super) fn scope_moved(&mut self, scope: &Scope, late: bool, now: Duration) {
        if late && matches!(scope, Scope::Injector(..)) {
            self.follow_ups.retain(|(_, s)| s != scope);
            self.follow_ups.extend(FOLLOW_UPS.map(|after| (now + after, scope.clone())));
        }
    }

    /// The scope whose sample is to be asked next, if its time has come.
    pub(super) fn take_due(&mut self, now: Duration) -> Option<Scope> {
        self.follow_ups.first().filter(|(at, _)| *at <= now)?;
        self.follow_ups.pop_first().map(|(_, scope)| scope)
    }

    /// Whether a finding about this scope counts now: a late effect that was waited for always does.
    pub(super) fn counts(&mut self, scope: &Scope, now: Duration) -> bool {
        self.noticed.retain(|_, at| now < *at + NOTICED_ONCE_IN);
        let awaited = self.follow_ups.iter().any(|(_, s)| s == scope);
        let recent = self.noticed.contains_key(scope);
        if awaited || !recent {
            self.noticed.insert(scope.clone(), now);
        }
        awaited || !recent
    }

    /// The scope is gone.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.follow_ups.retain(|(_, s)| s != scope);
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

    #[test]
    fn a_config_map_is_looked_after_three_times_and_a_new_move_starts_again() {
        let mut changes = UnannouncedChanges::default();
        changes.scope_moved(&mesh(), true, S * 100);
        assert_eq!((changes.take_due(S * 129), changes.take_due(S * 130)), (None, Some(mesh())));
        changes.scope_moved(&mesh(), true, S * 140);
        let times: Vec<_> =
            std::iter::from_fn(|| changes.next().inspect(|at| assert!(changes.take_due(*at).is_some()))).collect();
        assert_eq!(times, [S * 170, S * 230, S * 320]);
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
