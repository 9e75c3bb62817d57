//! Renderings that came to nothing: when they are asked for again.
//!
//! What one workload was refused may be its own trouble: it is asked again soon, twice. What others wait for as well is one
//! question, and one of them asks it (see [`Waiting`](super::waiting::Waiting)).

use std::{collections::BTreeSet, time::Duration};

use super::{
    case::{Case, Failure},
    trouble::{Trouble, troubles},
    verdicts::Verdicts,
};
use crate::core::{
    compare::Rendering,
    injection::View,
    io::RenderOutcome,
    model::{Name, WorkloadKey, time::bounded_wait, words::UndeterminedReason},
    render::Asked,
};

/// The first retry after a failed rendering; the second one waits twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// So often a workload is asked again for itself.
const RETRIES: u32 = 2;
/// Where so many others have the same trouble it is not its own.
const MANY: usize = 2;
/// A `Retry-After` beyond this is a mistake of somebody's, and would leave us blind.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

/// What came back instead of a rendering.
pub(super) struct Refusal {
    reason: Option<UndeterminedReason>,
    message: String,
    after: Option<Duration>,
}

impl Refusal {
    /// `Err`: the rendering.
    pub(super) fn of(outcome: RenderOutcome) -> Result<Self, Rendering> {
        Ok(match outcome {
            RenderOutcome::Rendered(rendering) => return Err(rendering),
            RenderOutcome::Rejected { message } => Self { reason: None, message, after: None },
            RenderOutcome::Undetermined { reason, message, retry_after } => {
                Self { reason: Some(reason), message, after: retry_after }
            }
            RenderOutcome::Gone => {
                let message = "the workload or its revision is gone".to_owned();
                Self { reason: Some(UndeterminedReason::ApiError), message, after: None }
            }
        })
    }
}

impl Verdicts {
    /// A rendering of this workload came to nothing.
    pub(super) fn take_refusal(&mut self, key: &WorkloadKey, asked: Asked, refusal: Refusal, view: View<'_>) {
        let Refusal { reason, mut message, after } = refusal;
        let (now, resync) = (view.now.elapsed, self.jittered(view.policy.resync, key));
        let (after, told) = bounded_wait(after.unwrap_or_default(), LONGEST_RETRY_AFTER);
        if let Some(told) = told {
            message = format!("{message}; it {told}");
        }
        let Asked { revision, versions, .. } = asked;
        let failure = Failure { versions, reason, message, retry: now };
        let trouble = Trouble::of(&failure);
        let others = self.failing.others(&trouble, key);
        let before = troubles(self.case(key));
        let Some(case) = self.cases.get_mut(key) else { return };
        let known = case.of_mut(&revision);
        let alone = known.failures < RETRIES && others < MANY;
        let wait = if alone { FIRST_RETRY.saturating_mul(1 << known.failures) } else { resync };
        known.failures = known.failures.saturating_add(1);
        known.failure = Some(Box::new(Failure { retry: now + wait.max(after), ..failure }));
        self.follow_troubles(key, &before, now);
        self.failing.not_before(&trouble, now + after);
    }

    /// A rendering of this workload came in: what others wait for, too, may be over.
    pub(super) fn recover(&mut self, key: &WorkloadKey, revision: &Name, now: Duration) {
        let before = troubles(self.case(key));
        let Some(case) = self.cases.get_mut(key) else { return };
        let known = case.of_mut(revision);
        (known.failure, known.failures) = (None, 0);
        let after = troubles(self.case(key));
        for over in before.difference(&after) {
            for other in self.failing.wake(over, key, now) {
                self.retry(over, &other, now);
            }
        }
        self.follow_troubles(key, &before, now);
    }

    /// Its troubles were these: it waits for the end of those that it has now.
    fn follow_troubles(&mut self, key: &WorkloadKey, before: &BTreeSet<Trouble>, now: Duration) {
        let after = troubles(self.case(key));
        before.difference(&after).for_each(|over| self.failing.leave(over, key));
        for trouble in &after {
            self.failing.join(trouble, key, now);
        }
    }

    /// It is asked again now, if it still has this trouble.
    fn retry(&mut self, trouble: &Trouble, key: &WorkloadKey, now: Duration) {
        let failures = self.cases.get_mut(key).into_iter().flat_map(|case| &mut case.revisions);
        let mut failures = failures.filter_map(|revision| revision.failure.as_deref_mut());
        match failures.find(|failure| Trouble::of(failure) == *trouble) {
            Some(failure) => {
                failure.retry = failure.retry.min(now);
                self.affected.mark(key.clone());
            }
            None => self.failing.leave(trouble, key),
        }
    }

    /// One of those that wait for the same thing asks for it, if its time has come.
    pub(super) fn retry_due(&mut self, resync: Duration, now: Duration) {
        for (trouble, key) in self.failing.take_due(resync, now) {
            self.retry(&trouble, &key, now);
        }
    }

    /// Nothing of this case is waited for any more.
    pub(super) fn forget_troubles(&mut self, key: &WorkloadKey, case: &Case) {
        for trouble in &troubles(Some(case)) {
            self.failing.leave(trouble, key);
        }
    }
}
