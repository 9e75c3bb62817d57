//! Taking the answers to renderings in.

use std::time::Duration;

use super::{case::Failure, render_set::add_rendering, verdicts::Verdicts};
use crate::core::{
    compare::{self, SidecarSelection},
    injection::{ComparedRendering, View},
    io::RenderOutcome,
    model::{WorkloadKey, time::bounded_wait, words::UndeterminedReason},
    render::{Answered, Asked},
};

/// The first retry after a failed rendering; each further one waits twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest wait between retries.
const LAST_RETRY: Duration = Duration::from_mins(10);
/// A `Retry-After` beyond this is a mistake of somebody's, and would leave us blind.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

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
        let (reason, mut message, after) = match outcome {
            RenderOutcome::Rendered(rendering) => return self.take_rendering(key, &asked, rendering, view),
            // A refusal is the API server's word on the matter; asked again seldom.
            RenderOutcome::Rejected { message } => (None, message, None),
            RenderOutcome::Undetermined { reason, message, retry_after } => (Some(reason), message, retry_after),
            RenderOutcome::Gone => {
                let message = "the workload or its revision is gone".to_owned();
                (Some(UndeterminedReason::ApiError), message, None)
            }
        };
        let Asked { revision, versions, .. } = asked;
        let case = case.of_mut(&revision);
        let backoff = FIRST_RETRY.saturating_mul(1 << case.failures.min(10)).min(LAST_RETRY);
        let (after, told) = bounded_wait(after.unwrap_or_default(), LONGEST_RETRY_AFTER);
        let wait = backoff.max(after);
        if let Some(told) = told {
            message = format!("{message}; it {told}");
        }
        case.failures = case.failures.saturating_add(1);
        let retry = view.now.elapsed + wait;
        case.failure = Some(Box::new(Failure { versions, reason, message, retry }));
        None
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
        let case = self.cases.get_mut(&key)?;
        let revision = case.of_mut(&asked.revision);
        (revision.failure, revision.failures) = (None, 0);
        let selection = SidecarSelection { named: policy.sidecars.clone() };
        self.injected.extend(selection.sidecars(&rendering, None));
        let versions = self.vectors.share(&asked.versions);
        let revision = case.of_mut(&asked.revision);
        let before = revision.set.as_ref().map(|set| (set.versions.clone(), set.confirmed.elapsed));
        let changed = add_rendering(revision, &versions, rendering, policy.render_spacing, now);
        let unstable = revision.set.as_ref().and_then(|set| set.unstable.clone());
        case.unexplained |= changed;
        // What moved and changed nothing is no cause of anything.
        if let Some((old, _)) = before.as_ref().filter(|(old, _)| case.unexplained && **old != asked.versions) {
            case.unexplained = false;
            if let Some(moved) = injection.cause(old, &asked.versions) {
                case.cause = Some(moved.cause.clone());
            }
            case.scopes_moved(old, &asked.versions);
        }
        if let Some(unstable) = unstable {
            self.admission.flapped(&asked.versions, &unstable, &key, now.elapsed);
            // What looked like drift of others may be the same flapping.
            self.affected.mark_many(self.candidates.iter().cloned());
        }
        let (before, since) = before?;
        // What an injector gives again was taken away by its absence, and is no change of anything.
        let changed = changed && !recovered;
        Some(ComparedRendering { key, before: (*before).clone(), after: asked.versions.clone(), since, changed })
    }
}
