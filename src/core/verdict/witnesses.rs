//! Finding out whether what is lost is really lost (rule R7).

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    absences::Next,
    case::Case,
    evidence::{Absence, Assessment, Want},
    verdicts::Verdicts,
};
use crate::core::{
    compare::{Given, Loss, Rendering},
    injection::{Reach, Scope, VersionVector, View, injector_scopes},
    model::WorkloadKey,
    render::Renders,
};

/// So many renderings are looked at for a witness, each time others.
const LOOKED_AT: usize = 64;

impl Verdicts {
    /// Takes in what was found to be lost of a workload, and looks for a witness if one makes a difference.
    pub(super) fn follow_absence(
        &mut self,
        assessment: &mut Assessment,
        view: View<'_>,
        renders: &Renders,
        key: &WorkloadKey,
    ) {
        let now = view.now;
        let lacking = match std::mem::take(&mut assessment.absence) {
            Absence::Unknown => return,
            Absence::Believed => return self.absences.leave_group(key),
            Absence::Nothing => return self.absences.leave(key),
            Absence::Unproven(lacking) => lacking,
        };
        match self.absences.note(key, &lacking, now.elapsed, now.wall) {
            Next::Believe => self.affected.mark(key.clone()),
            Next::Render => {
                assessment.want = Want::Render((lacking.last + view.policy.render_spacing).max(now.elapsed));
                assessment.revision = lacking.revision;
            }
            Next::Look(at) => assessment.want = Want::Look(at),
            Next::Witness(loss) => {
                let witness = self.witness(key, &loss, &lacking.open, view, renders);
                self.asked_again.extend(witness);
            }
            Next::Wait => {}
        }
    }

    /// Somebody who would be a witness: all of these configurations may touch its Pods, and it was given what is lost when it was
    /// asked last.
    fn witness(
        &mut self,
        key: &WorkloadKey,
        loss: &Loss,
        open: &BTreeSet<Scope>,
        view: View<'_>,
        renders: &Renders,
    ) -> Option<WorkloadKey> {
        let would_tell = |(other, case): &(&WorkloadKey, &Case)| {
            let versions = case.set().map(|set| &*set.versions);
            *other != key
                && case.judged.reason.is_none()
                && !self.absences.lacks(other, loss)
                && !renders.is_pending(other)
                && versions.is_some_and(|versions| open.is_subset(&under(other, versions, view)))
        };
        let cases = || self.cases.iter().map(|(key, case)| (key, &**case));
        let after = self.witness_asked.clone();
        let later = cases().filter(|(key, _)| after.as_ref().is_some_and(|after| *key > after));
        let all = later.chain(cases()).filter(would_tell).take(LOOKED_AT);
        let mut last = None;
        let found = all.inspect(|(key, _)| last = Some((*key).clone())).find(|(_, case)| {
            let newest = case.set().and_then(|set| set.renderings.last());
            newest.is_some_and(|newest| Given::of(newest).holds(loss))
        });
        let found = found.map(|(key, _)| key.clone());
        self.witness_asked = last;
        found
    }

    /// A rendering of this workload came in. Returns whether it was given again what it had lacked.
    pub(super) fn witnessed(
        &mut self,
        key: &WorkloadKey,
        versions: &VersionVector,
        rendering: &Rendering,
        view: View<'_>,
    ) -> bool {
        if self.absences.is_empty() {
            return false;
        }
        let under = under(key, versions, view);
        let (recovered, concerned) = self.absences.saw(key, &under, &Given::of(rendering), view.now.elapsed);
        self.affected.mark_many(concerned);
        recovered
    }

    /// Since when a workload lacks what a rollout would take away.
    pub fn lacks_since(&self, key: &WorkloadKey) -> Option<Timestamp> {
        self.absences.since(key)
    }

    /// The workloads that are to be rendered, to tell whether what others lack is given (rule R7).
    pub fn take_asked_again(&mut self, resync: Duration, now: Duration) -> BTreeSet<WorkloadKey> {
        let mut all = self.absences.take_due(resync, now);
        all.append(&mut self.asked_again);
        // Who waits for the next one of its set is asked in its time (rule R8).
        all.retain(|key| self.cases.get(key).is_some_and(|case| !case.is_adding()));
        all
    }
}

/// The configurations that may touch a workload's Pods.
fn under(key: &WorkloadKey, versions: &VersionVector, view: View<'_>) -> BTreeSet<Scope> {
    let reach = view.index.workload(key).and_then(|w| Reach::of(w, view.index)).unwrap_or_default();
    injector_scopes(versions).cloned().chain(reach.open).collect()
}
