//! Rollouts: confirm, patch, wait, verify.

use std::time::Duration;

use jiff::Timestamp;

use super::{
    breaker,
    gate::{self, Candidate, Situation},
    io::{Confirmation, Effect, Notice, PatchOutcome, PatchReply, PatchRequest, WorkloadRef},
    model::{Stamp, WorkloadKey},
    policy::{Mode, Policy},
    queue::Priority,
    report::RolloutReport,
    scope,
    shape::Name,
    status::{self, Progress},
    step::{Core, KEPT},
    time::Now,
    words::{Difference, Gate, Outcome, Verdict},
    work::Lock,
};

/// A lost race (409) is run again this often.
const ATTEMPTS: u32 = 3;
/// After a rollout that could not be started, its workload is left alone for this long.
const QUIET: Duration = Duration::from_secs(30);
/// A rollout that an earlier process of ours started longer ago than this is none of ours any more.
const ADOPTABLE: Duration = Duration::from_hours(1);

/// One rollout under way.
#[derive(Clone, Debug)]
pub(super) struct Rollout {
    phase: Phase,
    /// What it is for, in short.
    change: String,
    /// When it was started: the patch, or before it the plan.
    started: Now,
    /// The template without our stamp, as it was when we patched.
    template: Name,
    /// What was written.
    stamp: Option<Stamp>,
    /// `metadata.generation` after the patch.
    generation: i64,
    attempts: u32,
    late: bool,
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
    fn new(change: String, now: Now) -> Self {
        Self {
            phase: Phase::Confirming,
            change,
            started: now,
            template: Name::from(""),
            stamp: None,
            generation: 0,
            attempts: 0,
            late: false,
            message: "confirming that it still differs".to_owned(),
        }
    }

    /// Waits for one more rendering.
    pub(super) fn confirming(&self) -> bool {
        self.phase == Phase::Confirming
    }

    /// When it was planned; of use until it is patched.
    pub(super) fn planned(&self) -> Duration {
        self.started.elapsed
    }

    /// A patch is on its way.
    pub(super) fn mid_patch(&self) -> bool {
        self.phase == Phase::Patching
    }

    /// When it will be late.
    pub(super) fn deadline(&self, policy: &Policy) -> Option<Duration> {
        (self.phase == Phase::Rolling && !self.late).then(|| self.started.elapsed + policy.timeout)
    }

    /// As readers see it.
    pub(super) fn report(&self, key: &WorkloadKey, outcome: Option<Outcome>, now: Now) -> RolloutReport {
        RolloutReport {
            kind: key.kind.as_str().into(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            change: self.change.clone(),
            started: self.stamp.as_ref().map_or(self.started.wall, |s| s.timestamp),
            outcome,
            message: self.message.clone(),
            seconds: now.elapsed.saturating_sub(self.started.elapsed).as_secs(),
        }
    }
}

impl Core {
    // Confirming -----------------------------------------------------------------------------------------------------

    pub(super) fn begin(&mut self, key: &WorkloadKey, now: Now) {
        if let Some(starts) = &mut self.starts
            && starts.take(now.elapsed).is_err()
        {
            self.hold(key, Gate::RateLimit, now);
            return;
        }
        let Some(work) = self.work.get_mut(key) else { return };
        work.gate = None;
        let change = work.judged.change.clone();
        if self.policy.canary > 0 {
            let wanted = self.policy.canary;
            self.note(|record| record.enlist_canary(&change, key, wanted, now.wall));
        }
        self.rollouts.insert(key.clone(), Rollout::new(change, now));
        self.want_probe(now);
        self.queue.schedule(key, now.elapsed, Priority::Confirm, now.elapsed);
    }

    /// The workload and its history, as they were just read.
    pub(super) fn confirmed_workload(&mut self, key: &WorkloadKey, confirmation: Confirmation) {
        if let Some(work) = self.work.get_mut(key) {
            work.history = confirmation.history;
        }
        // A watch that is behind must not undo it: what was read is at least as new.
        self.index.put_workload(confirmation.workload);
    }

    /// The rendering right before a patch came back: is everything still as planned?
    pub(super) fn confirmed(&mut self, key: &WorkloadKey, holds: bool, now: Now) {
        let Some(rollout) = self.rollouts.get(key).filter(|r| r.phase == Phase::Confirming) else { return };
        let live = self.index.workload(key).and_then(|w| w.template.stamp.clone());
        if rollout.stamp.is_some() && rollout.stamp == live {
            // The answer to our patch was lost, but the patch was not.
            let generation = self.index.workload(key).map_or(0, |w| w.generation);
            self.begin_rolling(key, generation, now);
            return;
        }
        if !holds {
            self.abandon(key, None, now);
            return;
        }
        self.dirty.insert(key.clone());
        self.assess_dirty(now);
        if !self.candidates.contains(key) {
            self.abandon(key, None, now);
            return;
        }
        let Some(workload) = self.index.workload(key) else { return };
        let (says, history) = (self.says(workload), self.history(key));
        let Some(candidate) = self.candidate(key, &says, &history) else { return };
        let candidate = Candidate { in_rollout: false, ..candidate };
        // The start itself was paid for when it was planned.
        let situation = Situation { tokens: None, ..self.situation(now, Some(key)) };
        let gate = gate::gate(&candidate, &situation);
        if gate.is_some() {
            self.abandon(key, gate, now);
        } else if let Some(rollout) = self.rollouts.get_mut(key) {
            rollout.phase = Phase::Confirmed;
        }
    }

    pub(super) fn abandon(&mut self, key: &WorkloadKey, gate: Option<Gate>, now: Now) {
        self.rollouts.remove(key);
        self.replan = true;
        self.dirty.insert(key.clone());
        if let Some(work) = self.work.get_mut(key) {
            work.quiet_until = now.elapsed + QUIET;
        }
        if let Some(gate) = gate {
            self.hold(key, gate, now);
            self.tell(Notice::RolloutHeld { workload: key.clone(), gate });
        }
    }

    /// The guard is gone: what only waits for its patch does not get it.
    pub(super) fn hold_unguarded(&mut self, now: Now) {
        let waiting = self.rollouts.iter().filter(|(_, r)| r.phase == Phase::Confirmed);
        for key in waiting.map(|(key, _)| key.clone()).collect::<Vec<_>>() {
            self.abandon(&key, Some(Gate::GuardMissing), now);
        }
    }

    /// At a shutdown: what was not patched yet is not begun.
    pub(super) fn drop_unpatched(&mut self) {
        self.rollouts.retain(|_, r| matches!(r.phase, Phase::Patching | Phase::Rolling));
    }

    // Patching -------------------------------------------------------------------------------------------------------

    fn patch(&mut self, key: &WorkloadKey, now: Now) {
        let (Some(workload), Some(work)) = (self.index.workload(key), self.work.get(key)) else { return };
        let reason = self.policy.rollout_reason.clone().unwrap_or_else(|| {
            let sidecars = work.judged.groups.iter().flat_map(|g| &g.differences).map(|d| &*d.sidecar);
            let sidecars: std::collections::BTreeSet<_> = sidecars.collect();
            format!("Update sidecars {}", sidecars.into_iter().collect::<Vec<_>>().join(" "))
        });
        let timestamp = Timestamp::from_second(now.wall.as_second()).unwrap_or(now.wall);
        let stamp = Stamp { timestamp, reason: reason.clone(), fingerprint: Some(work.judged.target.clone()) };
        let reference = WorkloadRef { key: key.clone(), uid: workload.uid.clone() };
        let (version, template) = (workload.resource_version.clone(), workload.template.clone());
        let ticket = self.ticket(key);
        let Some(rollout) = self.rollouts.get_mut(key) else { return };
        rollout.phase = Phase::Patching;
        rollout.stamp = Some(stamp.clone());
        rollout.template = template.hash;
        "patching".clone_into(&mut rollout.message);
        self.effects.push(Effect::Patch(PatchRequest {
            ticket,
            workload: reference,
            resource_version: version,
            has_annotations: template.has_annotations,
            stamp,
        }));
        self.tell(Notice::RolloutStarted { workload: key.clone(), reason });
    }

    /// Takes the answer to a patch in.
    pub(super) fn patched(&mut self, reply: PatchReply, now: Now) {
        let Some(key) = self.tickets.remove(&reply.ticket) else { return };
        let Some(rollout) = self.rollouts.get_mut(&key).filter(|r| r.phase == Phase::Patching) else { return };
        match reply.outcome {
            PatchOutcome::Patched { generation } => self.begin_rolling(&key, generation, now),
            PatchOutcome::Denied { message } => self.end(&key, Outcome::Denied, message, now),
            PatchOutcome::Gone => self.end(&key, Outcome::Superseded, "the workload is gone".to_owned(), now),
            PatchOutcome::NotLeader => self.abandon(&key, Some(Gate::NotLeader), now),
            PatchOutcome::Conflict => {
                rollout.attempts += 1;
                if rollout.attempts >= ATTEMPTS {
                    let message = format!("the workload changed under our hands {ATTEMPTS} times");
                    self.end(&key, Outcome::Conflict, message, now);
                } else {
                    self.confirm_again(&key, now.elapsed, now);
                }
            }
            // Whether it was written is found out by reading, not by sending it again.
            PatchOutcome::Unknown { message } => {
                rollout.message = message;
                self.confirm_again(&key, now.elapsed + Duration::from_secs(1), now);
            }
            PatchOutcome::Failed { message, retry_after } => {
                rollout.attempts += 1;
                rollout.message = message;
                if rollout.attempts >= ATTEMPTS {
                    // Told, so that the breaker and people hear of it: the next time would most likely go the same way.
                    let message = rollout.message.clone();
                    self.end(&key, Outcome::Denied, message, now);
                } else {
                    let wait = retry_after.unwrap_or(Duration::from_secs(5));
                    self.confirm_again(&key, now.elapsed + wait, now);
                }
            }
        }
    }

    fn confirm_again(&mut self, key: &WorkloadKey, at: Duration, now: Now) {
        if self.stopping {
            self.rollouts.remove(key);
            return;
        }
        if let Some(rollout) = self.rollouts.get_mut(key) {
            rollout.phase = Phase::Confirming;
        }
        self.queue.schedule(key, at, Priority::Confirm, now.elapsed);
    }

    fn begin_rolling(&mut self, key: &WorkloadKey, generation: i64, now: Now) {
        if let Some(rollout) = self.rollouts.get_mut(key) {
            rollout.phase = Phase::Rolling;
            rollout.generation = generation;
            rollout.started = now;
        }
    }

    // Waiting and verifying ------------------------------------------------------------------------------------------

    /// Takes over the rollouts that an earlier process of ours left under way.
    pub(super) fn adopt(&mut self, now: Now) {
        if !self.started || !self.leader || self.policy.mode < Mode::Enforce {
            return;
        }
        let left: Vec<_> = self
            .index
            .workloads()
            .filter(|(key, w)| self.covered(key) && !self.rollouts.contains_key(*key) && !w.terminating)
            .filter(|(_, w)| matches!(status::progress(w), Progress::Waiting(_)))
            .filter_map(|(key, w)| {
                Some((key.clone(), w.template.hash.clone(), w.template.stamp.clone()?, w.generation))
            })
            .filter(|(.., stamp, _)| stamp.fingerprint.is_some() && now.since(stamp.timestamp) < ADOPTABLE)
            .collect();
        for (key, template, stamp, generation) in left {
            let mut rollout = Rollout::new(stamp.reason.clone(), now);
            rollout.phase = Phase::Rolling;
            rollout.template = template;
            rollout.stamp = Some(stamp);
            rollout.generation = generation;
            self.rollouts.insert(key, rollout);
        }
    }

    /// Moves on the rollouts that can be moved on.
    pub(super) fn advance_rollouts(&mut self, now: Now) {
        if !self.started {
            return;
        }
        let keys: Vec<_> = self.rollouts.keys().cloned().collect();
        for key in keys {
            let Some(rollout) = self.rollouts.get(&key) else { continue };
            match rollout.phase {
                // The canary is on record before it flies, so that no crash can make a second one.
                Phase::Confirmed if !self.unwritten() && !self.writing && self.guard_lets(rollout, now) => {
                    self.patch(&key, now);
                }
                Phase::Rolling => self.watch_rolling(&key, now),
                _ => {}
            }
        }
    }

    fn watch_rolling(&mut self, key: &WorkloadKey, now: Now) {
        let Some(rollout) = self.rollouts.get(key) else { return };
        let Some(workload) = self.index.workload(key) else {
            return self.end(key, Outcome::Superseded, "the workload is gone".to_owned(), now);
        };
        if workload.generation < rollout.generation {
            return; // The watch is behind.
        }
        if workload.template.hash != rollout.template {
            return self.end(key, Outcome::Superseded, "its owner changed the template".to_owned(), now);
        }
        if workload.template.stamp != rollout.stamp {
            return self.end(key, Outcome::Reverted, "somebody removed our stamp".to_owned(), now);
        }
        let late = now.elapsed >= rollout.started.elapsed + self.policy.timeout;
        match status::progress(workload) {
            Progress::Failed(why) => self.end(key, Outcome::Failed, why, now),
            Progress::Waiting(message) => {
                let crashing = self.index.pods_of(workload).iter().any(|p| p.state.crashing && !p.state.terminating);
                if late && crashing {
                    return self.end(key, Outcome::Failed, format!("its Pods crash: {message}"), now);
                }
                self.progress(key, &message, late, now);
            }
            Progress::Done => {
                if !self.verify(key, now) {
                    self.progress(key, "checking the new Pods", late, now);
                }
            }
        }
    }

    fn progress(&mut self, key: &WorkloadKey, message: &str, late: bool, now: Now) {
        let Some(rollout) = self.rollouts.get_mut(key) else { return };
        if rollout.message != message {
            message.clone_into(&mut rollout.message);
            self.tell(Notice::RolloutProgress { workload: key.clone(), message: message.to_owned() });
        }
        if late && let Some(rollout) = self.rollouts.get_mut(key).filter(|r| !r.late) {
            rollout.late = true;
            let report = rollout.report(key, Some(Outcome::TimedOut), now);
            self.ended(report, key, now);
        }
    }

    /// Compares the new Pods with their rendering; false: not known yet.
    fn verify(&mut self, key: &WorkloadKey, now: Now) -> bool {
        let (Some(rollout), Some(work), Some(workload)) =
            (self.rollouts.get(key), self.work.get(key), self.index.workload(key))
        else {
            return false;
        };
        let vector = self.generations.vector(workload, &self.index);
        let judged = &work.judged;
        match judged.verdict {
            Verdict::InSync | Verdict::NotInjected | Verdict::NoPods => {
                self.end(key, Outcome::Converged, "the new Pods are as rendered".to_owned(), now);
            }
            Verdict::Drifted | Verdict::Missing | Verdict::Removed | Verdict::NonConvergent => {
                if judged.differences.iter().all(|d| *d == Difference::MutatedLive) {
                    self.end(key, Outcome::Converged, "the new Pods are as rendered".to_owned(), now);
                    return true;
                }
                let moved = |s: &scope::Scope| {
                    self.generations.moved().any(|(m, g)| m == s && g.at.elapsed >= rollout.started.elapsed)
                };
                if vector.keys().any(moved) {
                    self.end(key, Outcome::Superseded, "the injector moved meanwhile".to_owned(), now);
                    return true;
                }
                let sidecars = judged.groups.iter().flat_map(|g| &g.differences).map(|d| d.sidecar.clone()).collect();
                self.truth.contradict(&vector, &sidecars, &format!("{key}, after our rollout"));
                let lock = Lock { template: workload.template.hash.clone(), fields: judged.fields() };
                let message = format!("the new Pods still differ: {}", judged.change);
                if let Some(work) = self.work.get_mut(key) {
                    work.lock = Some(lock);
                }
                self.end(key, Outcome::NonConvergent, message, now);
            }
            Verdict::Undetermined | Verdict::Rejected => return false,
        }
        true
    }

    fn end(&mut self, key: &WorkloadKey, outcome: Outcome, message: String, now: Now) {
        let Some(mut rollout) = self.rollouts.remove(key) else { return };
        rollout.message = message;
        let report = rollout.report(key, Some(outcome), now);
        if let Some(work) = self.work.get_mut(key) {
            work.quiet_until = now.elapsed + QUIET;
            work.ended = true;
            work.history.extend(rollout.stamp.filter(|_| outcome != Outcome::Denied && outcome != Outcome::Conflict));
        }
        self.dirty.insert(key.clone());
        self.replan = true;
        self.ended(report, key, now);
    }

    /// Tells of an outcome and lets the breaker see it.
    fn ended(&mut self, report: RolloutReport, key: &WorkloadKey, now: Now) {
        let Some(outcome) = report.outcome else { return };
        self.tell(Notice::RolloutEnded {
            workload: key.clone(),
            outcome,
            message: report.message.clone(),
            seconds: report.seconds,
        });
        self.finished.push_front(report);
        self.finished.truncate(KEPT);
        let mut opened = None;
        self.note(|record| {
            opened = breaker::saw(record, outcome, key, now.wall);
        });
        if let Some(reason) = opened {
            self.tell(Notice::BreakerOpened { reason, at: now.wall });
        }
    }
}
