//! Taking the answers to renderings in.

use super::{case::Case, failures::Refusal, render_set::add_rendering, verdicts::Verdicts};
use crate::core::{
    compare::{self, SidecarSelection},
    injection::{ComparedRendering, View},
    model::{WorkloadKey, words::UndeterminedReason},
    render::{Answered, Asked},
};

impl Verdicts {
    /// Takes an answer in; `holds`: it answers what is the question now. Returns what it shows beside its own workload.
    pub fn take(&mut self, answered: Answered, holds: bool, view: View<'_>) -> Option<ComparedRendering> {
        let Answered { key, asked, outcome, confirmation } = answered;
        self.affected.mark(key.clone());
        let case = self.cases.get_mut(&key)?;
        case.renders += 1;
        if let Some(confirmation) = confirmation {
            case.templates = confirmation.templates;
        }
        if !holds {
            return None;
        }
        match Refusal::of(outcome) {
            Err(rendering) => self.take_rendering(key, &asked, rendering, view),
            Ok(refusal) => {
                self.take_refusal(&key, asked, refusal, view);
                None
            }
        }
    }

    fn take_rendering(
        &mut self,
        key: WorkloadKey,
        asked: &Asked,
        rendering: compare::Rendering,
        view: View<'_>,
    ) -> Option<ComparedRendering> {
        let View { policy, injection, now, .. } = view;
        let recovered = self.witnessed(&key, &asked.versions, &rendering, view);
        self.recover(&key, &asked.revision, now.elapsed);
        let case = self.cases.get_mut(&key)?;
        let selection = SidecarSelection { named: policy.sidecars.clone() };
        self.injected.extend(selection.sidecars(&rendering, None));
        let versions = self.vectors.share(&asked.versions);
        let revision = case.of_mut(&asked.revision);
        let before = revision.set.as_ref().map(|set| (set.versions.clone(), set.confirmed.elapsed));
        let changed = add_rendering(revision, &versions, rendering, policy.render_spacing, now);
        let (unstable, made) = revision.set.as_ref().map(|set| (set.unstable.clone(), set.made)).unwrap_or_default();
        case.unexplained |= changed;
        // What moved and changed nothing is no cause of anything.
        if let Some((old, _)) = before.as_ref().filter(|(old, _)| case.unexplained && **old != asked.versions) {
            case.unexplained = false;
            if let Some(moved) = injection.cause(old, &asked.versions) {
                case.cause = Some(moved.cause.clone());
            }
            case.scopes_moved(old, &asked.versions);
        }
        let news = match &unstable {
            Some(what) => self.admission.flapped(&asked.versions, (what, made), &key, policy.resync, now.elapsed),
            None => self.admission.agreed(&key, made),
        };
        if news {
            // What looked like drift of others may be the same flapping; who waits for its end waits longer, or no more.
            let waits = |case: &Case| case.judged.reason == Some(UndeterminedReason::UnstableRendering);
            let waiting = self.cases.iter().filter(|(_, case)| waits(case)).map(|(key, _)| key);
            self.affected.mark_many(self.candidates.iter().chain(waiting).cloned());
        }
        let (before, since) = before?;
        // What an injector gives again was taken away by its absence, and is no change of anything; nor is the other one of two
        // answers.
        let wavers = || self.admission.is_flapping(&key, &asked.versions, (policy.resync, now.elapsed));
        let changed = changed && !recovered && !wavers();
        Some(ComparedRendering { key, before: (*before).clone(), after: asked.versions.clone(), since, changed })
    }
}
