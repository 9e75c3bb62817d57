//! Taking the answers to renderings in.

use std::time::Duration;

use super::{
    case::Failure,
    render_set::add_rendering,
    verdicts::{UnannouncedChange, Verdicts},
};
use crate::core::{
    compare::{self, SidecarSelection},
    injection::View,
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
    pub fn take(&mut self, answered: Answered, holds: bool, view: View<'_>) -> Option<UnannouncedChange> {
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
        let backoff = FIRST_RETRY.saturating_mul(1 << case.failures.min(10)).min(LAST_RETRY);
        let (after, told) = bounded_wait(after.unwrap_or_default(), LONGEST_RETRY_AFTER);
        let wait = backoff.max(after);
        if let Some(told) = told {
            message = format!("{message}; it {told}");
        }
        case.failures = case.failures.saturating_add(1);
        let Asked { revision, versions, .. } = asked;
        let retry = view.now.elapsed + wait;
        case.failure = Some(Box::new(Failure { revision, versions, reason, message, retry }));
        None
    }

    fn take_rendering(
        &mut self,
        key: WorkloadKey,
        asked: &Asked,
        rendering: compare::Rendering,
        view: View<'_>,
    ) -> Option<UnannouncedChange> {
        let View { policy, injection, now, .. } = view;
        let recovered = self.witnessed(&key, &asked.versions, &rendering, view);
        let case = self.cases.get_mut(&key)?;
        case.failure = None;
        case.failures = 0;
        let selection = SidecarSelection { named: policy.sidecars.clone() };
        self.injected.extend(selection.sidecars(&rendering, None));
        if let Some(old) = case.set.as_ref().map(|set| set.versions.clone()) {
            if let Some(moved) = injection.cause(&old, &asked.versions) {
                case.cause = Some(moved.cause.clone());
            }
            case.scopes_moved(&old, &asked.versions);
        }
        let versions = self.vectors.share(&asked.versions);
        let moved = add_rendering(case, &asked.revision, &versions, rendering, now);
        if let Some(unstable) = case.set.as_ref().and_then(|set| set.unstable.clone()) {
            self.admission.flapped(&asked.versions, &unstable, &key, now.elapsed);
            // What looked like drift of others may be the same flapping.
            self.affected.mark_many(self.candidates.iter().cloned());
        }
        (moved && !recovered).then(|| UnannouncedChange { key, versions: asked.versions.clone() })
    }
}
