//! When the plan is made.

use std::time::Duration;

use crate::core::model::WorkloadKey;

/// From this many candidates on plans are made at intervals ...
const MANY: u32 = 100;
/// ... of this for each candidate, which is far more than planning for it takes: some two microseconds.
const REST_FOR_EACH: Duration = Duration::from_micros(200);

/// The plan is not made again sooner than this just because time passed.
const TICK: Duration = Duration::from_millis(1);
/// And not later than this while something is held.
const LATEST: Duration = Duration::from_mins(1);

/// The first sweep over a large cluster takes long, under the render budget; what was found to drift by then does not
/// wait for the rest.
const SWEEP_PATIENCE: Duration = Duration::from_mins(5);

/// When the plan is made next, and until when the first sweep is waited for.
#[derive(Debug, Default)]
pub(super) struct PlanSchedule {
    /// The plan is to be made anew, because something changed.
    requested: bool,
    /// When it was made last.
    made: Option<Duration>,
    /// When it is to be made anew even if nothing happens.
    next: Option<Duration>,
    /// Until then no rollout is begun unless every workload has its first verdict; `None`: it is over.
    first_sweep: Option<Duration>,
    /// A workload that has no first verdict, yet.
    waits_for: Option<WorkloadKey>,
}

impl PlanSchedule {
    /// Something changed that the plan depends on.
    pub(super) fn request(&mut self) {
        self.requested = true;
    }

    /// Whether something changed since the plan was made.
    pub(super) fn is_requested(&self) -> bool {
        self.requested
    }

    /// When the plan is to be made because of what changed; `None`: nothing did.
    ///
    /// With very many candidates a plan takes a while, and while verdicts come in one after the other it would be made
    /// for each of them.
    pub(super) fn requested_for(&self, candidates: usize) -> Option<Duration> {
        let all = u32::try_from(candidates).unwrap_or(u32::MAX);
        let rest = if all < MANY { Duration::ZERO } else { REST_FOR_EACH * all };
        self.requested.then(|| self.made.map_or(Duration::ZERO, |last| last + rest))
    }

    /// When the plan is to be made even if nothing happens.
    pub(super) fn next(&self) -> Option<Duration> {
        self.next
    }

    /// Whether the plan is to be made now.
    pub(super) fn is_due(&self, candidates: usize, now: Duration) -> bool {
        [self.requested_for(candidates), self.next].into_iter().flatten().any(|at| at <= now)
    }

    /// The plan is being made.
    pub(super) fn making(&mut self, now: Duration) {
        self.requested = false;
        self.made = Some(now);
        self.next = None;
    }

    /// The plan was made: when time alone may let something go, and whether it is to be looked at now and then all the same,
    /// because the wall clock may be set, and what nobody thought of may end without an event.
    pub(super) fn set_next(&mut self, next: Option<Duration>, now_and_then: bool, now: Duration) {
        self.next = next.map(|next| next.max(now + TICK));
        if now_and_then {
            let latest = now + LATEST;
            self.next = Some(self.next.map_or(latest, |next| next.min(latest)));
        }
    }

    /// A first sweep begins.
    pub(super) fn begin_first_sweep(&mut self, now: Duration) {
        self.first_sweep = Some(now + SWEEP_PATIENCE);
    }

    /// There is no first sweep: nothing is known yet of which one could be made.
    pub(super) fn cancel_first_sweep(&mut self) {
        self.first_sweep = None;
    }

    /// Until when every workload's first verdict is waited for; `None`: it is over.
    pub(super) fn first_sweep(&self) -> Option<Duration> {
        self.first_sweep
    }

    /// Whether the first sweep waits for this workload.
    pub(super) fn waits_for(&self, key: &WorkloadKey) -> bool {
        self.first_sweep.is_some() && self.waits_for.as_ref() == Some(key)
    }

    /// The workload that was waited for last.
    pub(super) fn take_waited_for(&mut self) -> Option<WorkloadKey> {
        self.waits_for.take()
    }

    /// This workload has no first verdict, yet; `None`: all have.
    pub(super) fn wait_for(&mut self, workload: Option<WorkloadKey>, now: Duration) {
        if workload.is_none() || self.first_sweep.is_some_and(|patience| now >= patience) {
            self.first_sweep = None;
        }
        self.waits_for = workload;
    }
}
