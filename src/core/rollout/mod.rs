//! Rollouts: confirm, patch, wait, verify.
//!
//! `Confirming` (one more rendering, and the workload read again) → `Confirmed` (the state ConfigMap and the guard have
//! their say) → `Patching` → `Rolling` until the platform is done and the new Pods are as rendered. Where nobody replaces
//! Pods we do (`evict`).

pub mod alerts;
pub mod breaker;
mod canaries;
mod evict;
pub mod gate;
pub mod guard;
mod locks;
mod patch;
pub mod plan;
mod planning;
pub mod report;
pub mod state_store;
mod watch;

pub use self::report::{AlertsReport, RolloutReport};

use std::{collections::BTreeSet, time::Duration};

use self::evict::Eviction;
use self::gate::{Candidate, Situation};
use crate::core::{
    config::Policy,
    injection::scope::{Scope, Vector},
    inventory::Change,
    io::{Confirmation, Notice},
    model::{
        Name, Stamp, Uid, WorkloadKey,
        time::Now,
        words::{Gate, Outcome},
    },
    render::queue::Priority,
    step::Core,
};

/// After a rollout that ended, its workload is left alone for this long; after one that was given up before anything was
/// written, too, and twice as long after each further one.
const QUIET: Duration = Duration::from_secs(30);
/// The longest such rest.
const LONGEST_QUIET: Duration = Duration::from_mins(15);
/// What a rendering confirmed is believed for this long; then whatever the patch still waits for took too long.
const FRESH: Duration = Duration::from_secs(10);

/// One rollout under way.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one rollout")]
pub(in crate::core) struct Rollout {
    phase: Phase,
    /// The workload's uid: another one of the same name is none of ours.
    uid: Name,
    /// What it is for, in short.
    change: String,
    /// When it was started: the patch, or before it the plan.
    started: Now,
    /// When it moved on last: the time that it may take counts from there.
    stepped: Duration,
    /// The template without our stamp, as it was when we patched.
    template: Name,
    /// What we sent, the last one last: of an attempt whose answer was lost it is not known whether it was written.
    stamps: Vec<Stamp>,
    /// An answer was lost, and what became of the patch is not known yet.
    unsure: bool,
    /// `metadata.generation` after the patch.
    generation: i64,
    /// What the rendering that confirmed it depended on.
    vector: Vector,
    /// When that came back.
    confirmed: Duration,
    /// The sidecars that the new Pods are to have; none if an earlier process knew.
    sidecars: Vec<Name>,
    /// The Pods that are to be replaced, by uid.
    before: BTreeSet<Uid>,
    /// The hourly budget paid for it.
    paid: bool,
    attempts: u32,
    late: bool,
    /// Since when new Pods crash, and whether one does now; `None`: none does, or all are ready again.
    crashes: Option<(Duration, bool)>,
    /// When the platform said that it is finished.
    done: Option<Duration>,
    /// An earlier process began it: what its rendering depended on is not known.
    adopted: bool,
    /// Its history has not been read: whether it is ours at all is not known.
    unread: bool,
    /// Where we evict: how far the next eviction is.
    eviction: Eviction,
    /// The name and the uid of the Pod that was evicted last.
    leaving: Option<(Name, Name)>,
    /// What holds the next eviction.
    held: Option<Gate>,
    /// None is made before.
    rest_until: Duration,
    /// Why not.
    trouble: String,
    /// When to look at it again though nothing happens.
    wake: Option<Duration>,
    message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Waits for one more rendering.
    Confirming,
    /// Confirmed; the state ConfigMap is being written first.
    Confirmed,
    /// Waits for the answer to the patch.
    Patching,
    /// Waits for the platform to finish.
    Rolling,
}

impl Rollout {
    fn new(uid: Name, change: String, now: Now) -> Self {
        Self {
            phase: Phase::Confirming,
            uid,
            change,
            started: now,
            stepped: now.elapsed,
            template: Name::from(""),
            stamps: Vec::new(),
            unsure: false,
            generation: 0,
            vector: Vector::new(),
            confirmed: Duration::ZERO,
            sidecars: Vec::new(),
            before: BTreeSet::new(),
            paid: false,
            attempts: 0,
            late: false,
            crashes: None,
            done: None,
            adopted: false,
            unread: false,
            eviction: Eviction::Looking,
            leaving: None,
            held: None,
            rest_until: Duration::ZERO,
            trouble: String::new(),
            wake: None,
            message: "confirming that it still differs".to_owned(),
        }
    }

    /// Waits for one more rendering.
    pub(in crate::core) fn confirming(&self) -> bool {
        match self.phase {
            Phase::Confirming => true,
            Phase::Rolling => self.eviction == Eviction::Confirming,
            Phase::Confirmed | Phase::Patching => false,
        }
    }

    /// Its history is wanted, to know whose it is.
    pub(in crate::core) fn unread(&self) -> bool {
        self.unread
    }

    /// When it was planned; of use until it is patched.
    pub(in crate::core) fn planned(&self) -> Duration {
        self.started.elapsed
    }

    /// When something is to be done about it though nothing happens.
    pub(in crate::core) fn deadline(&self, policy: &Policy) -> Option<Duration> {
        match self.phase {
            Phase::Confirmed => Some(self.confirmed + FRESH),
            Phase::Rolling if !self.late => {
                let late = self.stepped + policy.timeout;
                // While none crashes the next one is an event.
                let crashes = self.crashes.filter(|(_, now)| *now).map(|(since, _)| since + watch::CRASHING);
                self.wake.into_iter().chain(crashes).chain([late]).min()
            }
            // Until it is done for good, an event is waited for.
            Phase::Rolling => self.wake.into_iter().chain(self.done.map(|done| done + policy.timeout)).min(),
            Phase::Confirming | Phase::Patching => None,
        }
    }

    /// As readers see it.
    pub(in crate::core) fn report(&self, key: &WorkloadKey, outcome: Option<Outcome>, now: Now) -> RolloutReport {
        RolloutReport {
            kind: key.kind.as_str().into(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            change: self.change.clone(),
            started: self.stamps.last().map_or(self.started.wall, |s| s.timestamp),
            outcome,
            message: self.message.clone(),
            seconds: now.elapsed.saturating_sub(self.started.elapsed).as_secs(),
        }
    }
}

impl Core {
    pub(in crate::core) fn begin(&mut self, key: &WorkloadKey, now: Now) {
        let (Some(workload), Some(work)) = (self.index.workload(key), self.work.get_mut(key)) else { return };
        let mut rollout = Rollout::new(workload.uid.clone(), work.judged.change.clone(), now);
        if let Some(starts) = &mut self.starts {
            if starts.take(now.elapsed).is_err() {
                self.hold(key, Gate::RateLimit, Some(Gate::RateLimit), now);
                return;
            }
            rollout.paid = true;
        }
        (work.gate, work.gate_in_enforce) = (None, None);
        let scopes = self.candidate(key, &BTreeSet::new()).map(|candidate| candidate.proves());
        self.enlist(key, &scopes.unwrap_or_default(), now);
        self.rollouts.insert(key.clone(), rollout);
        self.touch(key);
        self.want_probe(now);
        self.queue.schedule(key, now.elapsed, Priority::Confirm, now.elapsed);
    }

    /// The workload and its history, as they were just read.
    pub(in crate::core) fn confirmed_workload(&mut self, key: &WorkloadKey, confirmation: Confirmation, now: Now) {
        if let Some(work) = self.work.get_mut(key) {
            // A retained revision may have been cleaned up since: what was seen once stays known.
            for attempt in confirmation.history {
                work.remember(attempt);
            }
            work.templates = confirmation.templates;
        }
        if let Some(rollout) = self.rollouts.get_mut(key) {
            rollout.unread = false;
        }
        // A watch that is behind must not undo it: what was read is at least as new.
        if let Some(old) = self.index.put_workload(Box::new(confirmation.workload)) {
            let change = Change::Workload { old, key: key.clone() };
            self.advance(&change, now);
            self.mark(&change, now);
        }
    }

    /// The rendering right before a patch came back: is everything still as planned? `holds`: it answers what is the
    /// question now; `read`: the workload was read with it.
    pub(in crate::core) fn confirmed(&mut self, key: &WorkloadKey, holds: bool, read: bool, now: Now) {
        if self.rollouts.get(key).is_some_and(|r| r.phase == Phase::Rolling) {
            return self.eviction_confirmed(key, holds, read, now);
        }
        let Some(rollout) = self.rollouts.get(key).filter(|r| r.phase == Phase::Confirming) else { return };
        let unsure = rollout.unsure;
        if self.landed(key, now) {
            return;
        }
        if unsure && !read {
            // As long as nobody can tell whether it was written its slot is taken.
            self.confirm_again(key, now.elapsed + Duration::from_secs(5), now);
            return;
        }
        if !holds || !read {
            self.abandon(key, None, now);
            return;
        }
        self.dirty.insert(key.clone());
        self.assess_dirty(now);
        if let Err(gate) = self.still_planned(key, now) {
            self.abandon(key, gate, now);
            return;
        }
        let vector = self.index.workload(key).map(|w| self.generations.vector(w, &self.index)).unwrap_or_default();
        let sidecars = self.work.get(key).map(|w| w.judged.sidecars.clone()).unwrap_or_default();
        if let Some(rollout) = self.rollouts.get_mut(key) {
            rollout.phase = Phase::Confirmed;
            rollout.unsure = false;
            rollout.confirmed = now.elapsed;
            rollout.vector = vector;
            rollout.sidecars = sidecars;
        }
    }

    /// Whether the plan would choose it again, and for which scopes it would go first; else what holds it, if that is a gate.
    fn still_planned(&self, key: &WorkloadKey, now: Now) -> Result<Vec<Scope>, Option<Gate>> {
        let (Some(rollout), Some(workload)) = (self.rollouts.get(key), self.index.workload(key)) else {
            return Err(None);
        };
        if !self.candidates.contains(key) || workload.uid != rollout.uid {
            return Err(None);
        }
        let unhealthy = self.unhealthy_injectors();
        let Some(candidate) = self.candidate(key, &unhealthy) else { return Err(None) };
        if candidate.change != rollout.change {
            // Something else than was planned: it is planned anew.
            return Err(None);
        }
        let candidate = Candidate { in_rollout: false, ..candidate };
        // The start itself was paid for when it was planned.
        let situation = Situation { tokens: None, ..self.situation(now, Some(key)) };
        gate::held(&candidate, &situation).gate.map_or_else(|| Ok(candidate.proves()), |gate| Err(Some(gate)))
    }

    /// Gives a rollout up of which nothing was written.
    pub(in crate::core) fn abandon(&mut self, key: &WorkloadKey, gate: Option<Gate>, now: Now) {
        if self.rollouts.get(key).is_some_and(|r| r.phase == Phase::Rolling) {
            // Something was: only its next step came to nothing.
            return self.eviction_confirmed(key, false, false, now);
        }
        let Some(rollout) = self.rollouts.remove(key) else { return };
        self.replan = true;
        self.dirty.insert(key.clone());
        self.step_back(key, &rollout, now);
        if let Some(gate) = gate {
            self.hold(key, gate, Some(gate), now);
            self.tell(Notice::RolloutHeld { workload: key.clone(), gate });
        }
    }

    /// Nothing was restarted, so the budget gets its token back, and others go first for a while.
    fn step_back(&mut self, key: &WorkloadKey, rollout: &Rollout, now: Now) {
        // What was seen on the workload was written, whatever became of the answer, and of it since.
        let history = self.work.get(key).map_or(&[][..], |work| &work.history);
        let written = history.iter().any(|attempt| rollout.stamps.contains(&attempt.stamp));
        if let Some(starts) = self.starts.as_mut().filter(|_| rollout.paid && !written) {
            starts.give_back();
        }
        if let Some(work) = self.work.get_mut(key) {
            let rest = QUIET.saturating_mul(1 << work.setbacks.min(10)).min(LONGEST_QUIET);
            work.quiet_until = now.elapsed + rest;
            work.setbacks = work.setbacks.saturating_add(1);
        }
    }

    /// The guard is gone: what only waits for its patch does not get it.
    pub(in crate::core) fn hold_unguarded(&mut self, now: Now) {
        let waiting = self.rollouts.iter().filter(|(_, r)| r.phase == Phase::Confirmed);
        for key in waiting.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.abandon(&key, Some(Gate::GuardMissing), now);
        }
    }

    /// At a shutdown: what was not patched yet is not begun.
    pub(in crate::core) fn drop_unpatched(&mut self) {
        let unpatched = |r: &Rollout| matches!(r.phase, Phase::Confirming | Phase::Confirmed);
        let dropped: Vec<_> = self.rollouts.iter().filter(|(_, r)| unpatched(r)).map(|(key, _)| key.clone()).collect();
        for key in dropped {
            self.rollouts.remove(&key);
            self.touch(&key);
        }
    }

    /// Moves on the rollouts that can be moved on.
    pub(in crate::core) fn advance_rollouts(&mut self, now: Now) {
        if !self.started {
            return;
        }
        let keys: Vec<_> = self.rollouts.keys().cloned().collect();
        for key in keys {
            match self.rollouts.get(&key).map(|r| r.phase) {
                Some(Phase::Confirming) => self.watch_confirming(&key, now),
                Some(Phase::Confirmed) => self.watch_confirmed(&key, now),
                Some(Phase::Rolling) => self.watch_rolling(&key, now),
                Some(Phase::Patching) | None => {}
            }
        }
    }

    /// A rendering of it is asked for, or will be.
    fn awaits_rendering(&self, key: &WorkloadKey) -> bool {
        self.work.get(key).is_some_and(|work| work.request.is_some()) || self.queue.wants(key)
    }

    /// Its rendering is asked for, or will be; else it would wait for ever.
    fn watch_confirming(&mut self, key: &WorkloadKey, now: Now) {
        if self.landed(key, now) {
            return;
        }
        let there = self.index.workload(key).is_some_and(|w| self.rollouts.get(key).is_some_and(|r| r.uid == w.uid));
        if !there || !self.awaits_rendering(key) {
            self.abandon(key, None, now);
        }
    }

    fn watch_confirmed(&mut self, key: &WorkloadKey, now: Now) {
        let Some(rollout) = self.rollouts.get(key) else { return };
        let moved = self.index.workload(key).is_none_or(|w| self.generations.vector(w, &self.index) != rollout.vector);
        let stale = now.elapsed >= rollout.confirmed + FRESH;
        let guarded = self.guard_lets(rollout, now);
        let scopes = match self.still_planned(key, now) {
            Err(gate) => return self.abandon(key, gate, now),
            Ok(_) if moved => return self.abandon(key, None, now),
            Ok(scopes) => scopes,
        };
        // What was proven when it was planned may have lost its proof since.
        self.enlist(key, &scopes, now);
        // The canary is on record before it flies, so that no crash can make a second one.
        if stale {
            self.abandon(key, None, now);
        } else if guarded && !self.record.unwritten() && !self.record.writing() {
            self.patch(key, now);
        }
    }
}
