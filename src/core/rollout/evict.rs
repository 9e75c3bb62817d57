//! Rollouts of workloads whose Pods are replaced only when somebody deletes them.
//!
//! Once our stamp is on the template its Pods are evicted, one at a time: the next one only when every other Pod is ready,
//! those that were replaced are as rendered, one more rendering says that what is left still differs, and no gate holds it.
//! Nothing is remembered of it: which Pods are left is seen from their revisions, by whoever leads.

use std::{cmp::Reverse, collections::BTreeSet, time::Duration};

use crate::core::rollout::{FRESH, Phase, Rollout};
use crate::core::{
    inventory::{Pod, on_delete},
    io::{Effect, EvictOutcome, EvictReply, EvictRequest, Notice, WorkloadRef},
    model::{
        Name, Strategy, Uid, WorkloadKey, WorkloadSnapshot,
        rollout_status::{self, Progress},
        time::Now,
        words::{Gate, Outcome, Verdict},
    },
    render::queue::Priority,
    rollout::gate,
    step::Core,
};

/// After a failed eviction, or a confirmation that came to nothing, the next try waits this long.
const RETRY: Duration = Duration::from_secs(5);
/// As long after an eviction that a PodDisruptionBudget refused; one that leaves room again is noticed, but its status
/// may be behind.
const NO_HEADROOM: Duration = Duration::from_secs(10);
/// An eviction whose answer was lost shows in the Pod by then, if it was carried out.
const LOST: Duration = Duration::from_secs(30);
/// What a gate holds is looked at again after this long, even if nothing happens.
const LOOK: Duration = Duration::from_mins(1);
/// Evictions of one Pod that failed.
const ATTEMPTS: u32 = 3;

/// How far the next eviction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Eviction {
    /// None is under way.
    #[default]
    Looking,
    /// One more rendering is asked for.
    Confirming,
    /// It came back, and everything is as it should be.
    Confirmed,
    /// Its answer is outstanding.
    Asked,
    /// Evicted: the Pod is waited for to go.
    Leaving,
    /// The answer was lost: it may go.
    Unsure,
}

/// What is to be done about a rollout by evictions.
enum Next {
    /// Something is waited for.
    Wait(String),
    /// A gate holds the next eviction, until then if it ends by time alone.
    Hold(Gate, Option<Duration>),
    /// One more rendering.
    Confirm,
    /// The eviction of this Pod.
    Evict(Name, Name),
    /// It is over.
    End(Outcome, String),
}

impl Rollout {
    /// What holds its next step.
    pub(in crate::core) fn held(&self) -> Option<Gate> {
        self.held
    }
}

impl Core {
    /// Moves such a rollout on.
    pub(super) fn watch_evicting(&mut self, key: &WorkloadKey, now: Now) {
        if self.stopping && !self.evicting(key) {
            // Whoever leads next takes it up.
            self.rollouts.remove(key);
            self.touch(key);
            return;
        }
        let Some(next) = self.next_eviction(key, now) else { return };
        let (held, ends) = if let Next::Hold(gate, ends) = next { (Some(gate), ends) } else { (None, None) };
        let timeout = self.policy.timeout;
        let Some(rollout) = self.rollouts.get_mut(key) else { return };
        let changed = std::mem::replace(&mut rollout.held, held) != held;
        let look = held.map(|_| now.elapsed + LOOK);
        let times = [look, ends, Some(rollout.rest_until)].into_iter().flatten();
        rollout.wake = times.filter(|at| *at > now.elapsed).min();
        if held.is_some() && !self.policy.one_shot {
            // That it is held is not its fault.
            rollout.stepped = now.elapsed;
        }
        let late = now.elapsed >= rollout.stepped + timeout;
        let done = self.replaced(key);
        match next {
            Next::End(outcome, message) => return self.end(key, outcome, message, now),
            Next::Hold(..) | Next::Wait(_) if late && self.policy.one_shot => {
                return self.end(key, Outcome::TimedOut, format!("{done} replaced"), now);
            }
            Next::Hold(gate, _) => self.progress(key, &format!("{done} replaced; held by {gate}"), late, now),
            Next::Wait(what) => {
                if late && self.crashes(key) {
                    return self.end(key, Outcome::Failed, format!("its Pods crash: {done} replaced, {what}"), now);
                }
                self.progress(key, &format!("{done} replaced; {what}"), late, now);
            }
            Next::Confirm => {
                if let Some(rollout) = self.rollouts.get_mut(key) {
                    rollout.eviction = Eviction::Confirming;
                }
                self.queue.schedule(key, now.elapsed, Priority::Confirm, now.elapsed);
                self.want_probe(now);
            }
            Next::Evict(pod, uid) => self.evict(key, pod, uid, &done, now),
        }
        if changed {
            self.replan = true;
            self.touch(key);
        }
    }

    /// The answer to an eviction is outstanding.
    fn evicting(&self, key: &WorkloadKey) -> bool {
        self.rollouts.get(key).is_some_and(|r| r.eviction == Eviction::Asked)
    }

    /// Some Pod of it crashes now, new or old.
    pub(super) fn crashes(&self, key: &WorkloadKey) -> bool {
        let Some(workload) = self.index.workload(key) else { return false };
        self.index.pods_of(workload).iter().any(|p| p.state.crashing && !p.state.terminating)
    }

    /// `1 of 3`
    fn replaced(&self, key: &WorkloadKey) -> String {
        let Some(w) = self.index.workload(key) else { return String::new() };
        let pods = on_delete::alive(w, &self.index);
        let new = pods.iter().filter(|pod| !pod.state.terminating && !on_delete::is_behind(w, pod)).count();
        format!("{new} of {}", w.counts.desired)
    }

    /// The Pod that may go next, and its uid; `Ok(None)`: none is left. `Err`: what is waited for before any may.
    fn choice(&self, key: &WorkloadKey, now: Now) -> Option<Result<Option<(Name, Name)>, String>> {
        let (rollout, w) = (self.rollouts.get(key)?, self.index.workload(key)?);
        let wait = |what: &str| Some(Err(what.to_owned()));
        if w.observed_generation < w.generation {
            return wait("its controller has not seen the change");
        }
        if rollout.eviction == Eviction::Asked {
            return wait("evicting a Pod");
        }
        let pods = on_delete::alive(w, &self.index);
        let resting = now.elapsed < rollout.rest_until;
        let leaving =
            rollout.leaving.as_ref().and_then(|(_, uid)| pods.iter().find(|pod| pod.uid == Uid::from(&**uid)));
        if leaving.is_some()
            && (rollout.eviction == Eviction::Leaving || (rollout.eviction == Eviction::Unsure && resting))
        {
            return wait("a Pod is on its way out");
        }
        let behind: Vec<_> = pods.iter().copied().filter(|pod| on_delete::is_behind(w, pod)).collect();
        let again = leaving.filter(|_| rollout.eviction == Eviction::Unsure).copied();
        let choice = complete(w, &pods, &behind).map(|choice| again.or(choice));
        Some(choice.map(|pod| pod.map(|pod| (pod.key.name.clone(), pod.uid.name()))))
    }

    fn next_eviction(&mut self, key: &WorkloadKey, now: Now) -> Option<Next> {
        let choice = match self.choice(key, now)? {
            Ok(choice) => choice,
            Err(what) => return Some(Next::Wait(what)),
        };
        // What came of those that were replaced, and whether the others still differ.
        let verdict = self.work.get(key)?.judged.verdict;
        match self.verified(key, now) {
            // Whoever took it over reads first what the older Pods are.
            None if self.is_unread(key, now) => return Some(Next::Confirm),
            None => return Some(Next::Wait("checking the new Pods".to_owned())),
            Some((Outcome::Converged, message)) if choice.is_none() => {
                return Some(Next::End(Outcome::Converged, message));
            }
            Some((Outcome::Converged, _)) if verdict == Verdict::InSync => {
                let message = "what was not replaced yet does not differ any more".to_owned();
                return Some(Next::End(Outcome::Superseded, message));
            }
            Some((Outcome::Converged, _)) => {}
            Some((outcome, message)) => return Some(Next::End(outcome, message)),
        }
        let (pod, uid) = choice?;
        let rollout = self.rollouts.get(key)?;
        let candidate = self.candidate(key, &self.unhealthy_injectors())?;
        let situation = self.situation(now, Some(key));
        if let Some(gate) = gate::next_step(&candidate, &situation) {
            if gate == Gate::DifferenceNotEnabled {
                // Nothing would ever let it go on, and its slot is wanted by others.
                let message = "what was not replaced yet differs only in what is not acted on".to_owned();
                return Some(Next::End(Outcome::Superseded, message));
            }
            return Some(Next::Hold(gate, gate::ends(gate, &candidate, &situation)));
        }
        // One whose answer was lost is gone by now: as long as it is there, `choice` waits.
        if now.elapsed < rollout.rest_until && rollout.eviction != Eviction::Unsure {
            return rollout
                .held
                .map(|gate| Next::Hold(gate, None))
                .or_else(|| Some(Next::Wait(rollout.trouble.clone())));
        }
        match rollout.eviction {
            Eviction::Confirming if self.awaits_rendering(key) => {
                Some(Next::Wait("confirming that the others still differ".to_owned()))
            }
            Eviction::Confirmed if now.elapsed < rollout.confirmed + FRESH => Some(Next::Evict(pod, uid)),
            _ => Some(Next::Confirm),
        }
    }

    fn is_unread(&self, key: &WorkloadKey, now: Now) -> bool {
        let known = (self.rollouts.get(key), self.work.get(key), self.index.workload(key));
        let (Some(rollout), Some(work), Some(w)) = known else { return false };
        let free = !(rollout.eviction == Eviction::Confirming && self.awaits_rendering(key))
            && now.elapsed >= rollout.rest_until;
        free && on_delete::is_unread(w, &self.index, &work.templates)
    }

    fn evict(&mut self, key: &WorkloadKey, pod: Name, uid: Name, done: &str, now: Now) {
        let ticket = self.ticket();
        let Some(rollout) = self.rollouts.get_mut(key) else { return };
        rollout.eviction = Eviction::Asked;
        rollout.leaving = Some((pod.clone(), uid.clone()));
        let workload = WorkloadRef { key: key.clone(), uid: rollout.uid.clone() };
        self.writes.insert(ticket, key.clone());
        self.progress(key, &format!("{done} replaced; evicting {pod}"), false, now);
        self.effects.push(Effect::Evict(EvictRequest { ticket, workload, pod, uid }));
    }

    /// The rendering that was asked for before the next eviction came back.
    pub(super) fn eviction_confirmed(&mut self, key: &WorkloadKey, holds: bool, read: bool, now: Now) {
        // What was rendered before may still be shown, and is not what was asked for.
        let rendered = self.work.get(key).is_some_and(|work| work.failure.is_none());
        let Some(rollout) = self.rollouts.get_mut(key).filter(|r| r.eviction == Eviction::Confirming) else { return };
        if holds && read && rendered {
            rollout.eviction = Eviction::Confirmed;
            rollout.confirmed = now.elapsed;
        } else {
            rollout.step_aside("it could not be confirmed that the others still differ", RETRY, now);
        }
    }

    /// Takes the answer to an eviction in.
    pub(in crate::core) fn evicted(&mut self, reply: EvictReply, now: Now) {
        let Some(key) = self.writes.remove(&reply.ticket) else { return };
        self.replan = true;
        let asked = |r: &&mut Rollout| r.phase == Phase::Rolling && r.eviction == Eviction::Asked;
        let Some(rollout) = self.rollouts.get_mut(&key).filter(asked) else { return };
        match reply.outcome {
            EvictOutcome::Evicted => {
                rollout.eviction = Eviction::Leaving;
                rollout.attempts = 0;
                rollout.stepped = now.elapsed;
                if let Some((pod, _)) = rollout.leaving.clone() {
                    self.tell(Notice::PodEvicted { workload: key, pod });
                }
            }
            EvictOutcome::NotLeader => rollout.eviction = Eviction::Looking,
            // Its watch may be behind.
            EvictOutcome::Gone => rollout.step_aside("a Pod is gone already", RETRY, now),
            EvictOutcome::NoHeadroom { retry_after } => {
                let rest = retry_after.unwrap_or_default().max(NO_HEADROOM);
                rollout.step_aside("its PodDisruptionBudget leaves no room", rest, now);
                rollout.held = Some(Gate::PdbHeadroom);
            }
            EvictOutcome::Unknown { message } => {
                rollout.step_aside(&message, LOST, now);
                rollout.eviction = Eviction::Unsure;
            }
            EvictOutcome::Denied { message } => self.end(&key, Outcome::Denied, message, now),
            EvictOutcome::Failed { message, retry_after } => {
                rollout.attempts += 1;
                if rollout.attempts >= ATTEMPTS {
                    self.end(&key, Outcome::Denied, message, now);
                } else {
                    rollout.step_aside(&message, retry_after.unwrap_or(RETRY), now);
                }
            }
        }
    }

    /// The Pods that a rollout by evictions has not replaced yet.
    pub(super) fn not_replaced(&self, w: &WorkloadSnapshot) -> BTreeSet<Name> {
        let pods = if w.strategy == Strategy::OnDelete { on_delete::alive(w, &self.index) } else { Vec::new() };
        pods.into_iter().filter(|pod| on_delete::is_behind(w, pod)).map(|pod| pod.key.name.clone()).collect()
    }
}

impl Rollout {
    /// Nothing is evicted for a while.
    fn step_aside(&mut self, why: &str, rest: Duration, now: Now) {
        self.eviction = Eviction::Looking;
        self.rest_until = now.elapsed + rest;
        why.clone_into(&mut self.trouble);
    }
}

/// See [`Core::choice`]. Never more than one is down: all are ready, or the one that is not is itself one of those that have to go.
fn complete<'a>(w: &WorkloadSnapshot, pods: &[&'a Pod], behind: &[&'a Pod]) -> Result<Option<&'a Pod>, String> {
    let desired = w.counts.desired as usize;
    let down: Vec<_> = pods.iter().copied().filter(|pod| pod.state.terminating || !pod.state.ready).collect();
    let ready = pods.len() - down.len();
    let waits = || Err(format!("{ready} of {desired} Pods ready"));
    match *down {
        [] if ready < desired => waits(),
        [] if w.counts.available < w.counts.desired => {
            Err(format!("{} of {desired} Pods available", w.counts.available))
        }
        [] => match (behind.iter().copied().max_by_key(|pod| place(pod)), rollout_status::progress(w)) {
            (None, Progress::Waiting(what) | Progress::Failed(what)) => Err(what),
            (choice, _) => Ok(choice),
        },
        [pod] if !pod.state.terminating && pods.len() >= desired && on_delete::is_behind(w, pod) => Ok(Some(pod)),
        _ => waits(),
    }
}

/// The highest ordinal goes first, as its controller would have it; of Pods without one any, but always the same.
fn place(pod: &Pod) -> (u32, Reverse<Name>) {
    let ordinal = pod.key.name.rsplit('-').next().and_then(|number| number.parse().ok());
    (ordinal.unwrap_or(0), Reverse(pod.key.name.clone()))
}
