//! Rollouts of workloads whose Pods are replaced only when somebody deletes them.
//!
//! Once our stamp is on the template its Pods are evicted, one at a time: the next one only when every other Pod is ready,
//! those that were replaced are as rendered, one more rendering says that what is left still differs, and no gate holds it.
//! Nothing is remembered of it: which Pods are left is seen from their revisions, by whoever leads.

use std::{cmp::Reverse, time::Duration};

use super::{
    context::{Context, Emitter, RolloutEvent},
    gate,
    rollout_state::{EVICT_AGAIN, Eviction, FRESH, LONGEST_RETRY_AFTER, Phase, Rollout, with_wait},
    rollouts::Rollouts,
    watch::crashes_now,
};
use crate::core::{
    injection::View,
    inventory::{Pod, on_delete},
    io::{Effect, EvictOutcome, EvictReply, EvictRequest, Notice, Outbox, WorkloadRef},
    model::{
        Name, ObjectKey, Uid, WorkloadKey, WorkloadSnapshot,
        rollout_status::{self, Progress},
        time::bounded_wait,
        words::{Gate, Outcome, Verdict},
    },
};

/// After an eviction that a PodDisruptionBudget refused, the next try waits this long; one that leaves room again is
/// noticed, but its status may be behind.
const NO_HEADROOM: Duration = Duration::from_secs(10);
/// An eviction whose answer was lost shows in the Pod by then, if it was carried out.
const LOST: Duration = Duration::from_secs(30);
/// What a gate holds is looked at again after this long, even if nothing happens.
const LOOK: Duration = Duration::from_mins(1);
/// Evictions of one Pod that failed.
const ATTEMPTS: u32 = 3;

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

impl Rollouts {
    /// Moves such a rollout on.
    pub(super) fn watch_evicting(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        let View { policy, index, lifecycle, now, .. } = context.view;
        let evicting = self.running.get(key).is_some_and(|r| r.eviction == Eviction::Asked);
        if lifecycle.stopping && !evicting {
            // Whoever leads next takes it up.
            self.running.remove(key);
            return emit.invalidate_report(key);
        }
        let Some(next) = self.next_eviction(key, context, emit) else { return };
        let (held, ends) = if let Next::Hold(gate, ends) = next { (Some(gate), ends) } else { (None, None) };
        let Some(rollout) = self.running.get_mut(key) else { return };
        let changed = std::mem::replace(&mut rollout.held, held) != held;
        let look = held.map(|_| now.elapsed + LOOK);
        let times = [look, ends, Some(rollout.rest_until)].into_iter().flatten();
        rollout.wake = times.filter(|at| *at > now.elapsed).min();
        if held.is_some() && !policy.one_shot {
            // That it is held is not its fault.
            rollout.stepped = now.elapsed;
        }
        let late = rollout.is_late(policy, now);
        let workload = index.workload(key);
        let done = workload.map(|w| replaced(w, context.view)).unwrap_or_default();
        if !matches!(next, Next::End(..)) {
            self.keep_or_give_back_slot(key, context);
        }
        match next {
            Next::End(Outcome::Converged, message) => {
                let stay = self.note_finished_platform(key, context);
                self.converge(key, stay, message, late, context, emit);
            }
            Next::End(outcome, message) => return self.end(key, outcome, message, context, emit),
            Next::Wait(_) if self.running.get(key).is_some_and(|rollout| rollout.has_given_up(policy, now)) => {
                return self.end_unchecked(key, context, emit);
            }
            Next::Hold(..) | Next::Wait(_) if late && policy.one_shot => {
                return self.end(key, Outcome::TimedOut, format!("{done} replaced"), context, emit);
            }
            Next::Hold(gate, _) => {
                self.progress(key, &format!("{done} replaced; held by {gate}"), late, context, emit);
            }
            Next::Wait(what) => {
                if late && workload.is_some_and(|w| crashes_now(w, context.view)) {
                    let message = format!("its Pods crash: {done} replaced, {what}");
                    return self.end(key, Outcome::Failed, message, context, emit);
                }
                if late
                    && let Some(w) = workload
                    && let Some(stall) = self.stalled_by_pods(key, w, context.view)
                {
                    return self.stall(key, &format!("{done} replaced, {what}"), &stall, context, emit);
                }
                self.progress(key, &format!("{done} replaced; {what}"), late, context, emit);
            }
            Next::Confirm => {
                if let Some(rollout) = self.running.get_mut(key) {
                    rollout.eviction = Eviction::Confirming;
                }
                emit.confirm(key, now.elapsed);
                self.guard.want_probe(now.elapsed);
            }
            Next::Evict(pod, uid) => self.evict(key, pod, uid, &done, context, emit),
        }
        if changed {
            self.schedule.request();
            emit.invalidate_report(key);
        }
    }

    /// It has a slot while Pods are to be replaced, or those that it brought are not well. While they are checked it has none.
    fn keep_or_give_back_slot(&mut self, key: &WorkloadKey, context: Context<'_>) {
        if !matches!(self.choice(key, context.view), Some(Ok(None))) {
            return self.take_slot_back(key, context);
        }
        let wake = self.running.get(key).and_then(|rollout| rollout.wake);
        self.note_finished_platform(key, context);
        if let Some(rollout) = self.running.get_mut(key) {
            rollout.wake = [wake, rollout.wake].into_iter().flatten().min();
        }
    }

    /// The Pod that may go next, and its uid; `Ok(None)`: none is left. `Err`: what is waited for before any may.
    fn choice(&self, key: &WorkloadKey, view: View<'_>) -> Option<Result<Option<(Name, Name)>, String>> {
        let (rollout, w) = (self.running.get(key)?, view.index.workload(key)?);
        let wait = |what: &str| Some(Err(what.to_owned()));
        if w.observed_generation < w.generation {
            return wait("its controller has not seen the change");
        }
        if rollout.eviction == Eviction::Asked {
            return wait("evicting a Pod");
        }
        let pods = on_delete::alive(w, view.index);
        let resting = view.now.elapsed < rollout.rest_until;
        let leaving =
            rollout.leaving.as_ref().and_then(|(_, uid)| pods.iter().find(|pod| pod.uid == Uid::from(&**uid)));
        if leaving.is_some()
            && (rollout.eviction == Eviction::Leaving || (rollout.eviction == Eviction::Unsure && resting))
        {
            return wait("a Pod is on its way out");
        }
        let outdated: Vec<_> = pods.iter().copied().filter(|pod| on_delete::is_outdated(w, &pod.made)).collect();
        let again = leaving.filter(|_| rollout.eviction == Eviction::Unsure).copied();
        let choice = complete(w, &pods, &outdated).map(|choice| again.or(choice));
        Some(choice.map(|pod| pod.map(|pod| (pod.key.name.clone(), pod.uid.name()))))
    }

    fn next_eviction(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) -> Option<Next> {
        let now = context.view.now;
        let choice = match self.choice(key, context.view)? {
            Ok(choice) => choice,
            Err(what) => return Some(Next::Wait(what)),
        };
        // What came of those that were replaced, and whether the others still differ.
        let verdict = context.verdicts.judged(key)?.verdict;
        match self.verified(key, context, emit) {
            // Whoever took it over reads first what the older Pods are.
            None if self.is_unread(key, context) => return Some(Next::Confirm),
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
        let rollout = self.running.get(key)?;
        let mut candidate = self.candidate(key, &context.view.unhealthy_injectors(), context)?;
        let at = ObjectKey { namespace: key.namespace.clone(), name: pod.clone() };
        candidate.next_is_down = context.view.index.pod(&at).is_some_and(|pod| !pod.state.ready);
        let situation = self.situation(context, Some(key));
        if let Some(gate) = gate::next_step(&candidate, &situation) {
            if gate == Gate::DifferenceNotEnabled {
                // Nothing would ever let it go on, and its slot is wanted by others.
                let message = "what was not replaced yet differs only in what is not acted on".to_owned();
                return Some(Next::End(Outcome::Superseded, message));
            }
            if gate == Gate::PatchedLive {
                let message = "somebody patched one of its Pods by hand, and what is left would undo that".to_owned();
                return Some(Next::End(Outcome::Superseded, message));
            }
            return Some(Next::Hold(gate, gate::ends::ends(gate, &candidate, &situation)));
        }
        // One whose answer was lost is gone by now: as long as it is there, `choice` waits.
        if now.elapsed < rollout.rest_until && rollout.eviction != Eviction::Unsure {
            return rollout
                .held
                .map(|gate| Next::Hold(gate, None))
                .or_else(|| Some(Next::Wait(rollout.trouble.clone())));
        }
        match rollout.eviction {
            Eviction::Confirming if context.renders.awaits(key) => {
                Some(Next::Wait("confirming that the others still differ".to_owned()))
            }
            Eviction::Confirmed if now.elapsed < rollout.confirmed + FRESH => Some(Next::Evict(pod, uid)),
            _ => Some(Next::Confirm),
        }
    }

    fn is_unread(&self, key: &WorkloadKey, context: Context<'_>) -> bool {
        let known = (self.running.get(key), context.verdicts.case(key), context.view.index.workload(key));
        let (Some(rollout), Some(case), Some(w)) = known else { return false };
        let free = !(rollout.eviction == Eviction::Confirming && context.renders.awaits(key))
            && context.view.now.elapsed >= rollout.rest_until;
        free && on_delete::is_unread(w, context.view.index, case.templates())
    }

    fn evict(
        &mut self,
        key: &WorkloadKey,
        pod: Name,
        uid: Name,
        done: &str,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        let ticket = emit.outbox().ticket();
        let Some(rollout) = self.running.get_mut(key) else { return };
        rollout.eviction = Eviction::Asked;
        rollout.leaving = Some((pod.clone(), uid.clone()));
        let workload = WorkloadRef { key: key.clone(), uid: rollout.uid.clone() };
        self.pending_writes.insert(ticket, key.clone());
        self.progress(key, &format!("{done} replaced; evicting {pod}"), false, context, emit);
        emit.push(Effect::Evict(EvictRequest { ticket, workload, pod, uid }));
    }

    /// Takes the answer to an eviction in.
    pub fn take_evicted(&mut self, reply: EvictReply, context: Context<'_>, out: &mut Outbox) -> Vec<RolloutEvent> {
        let mut emit = Emitter::new(out);
        let now = context.view.now;
        let Some(key) = self.pending_writes.remove(&reply.ticket) else { return emit.into_events() };
        self.schedule.request();
        let asked = |r: &&mut Rollout| r.phase == Phase::Rolling && r.eviction == Eviction::Asked;
        let Some(rollout) = self.running.get_mut(&key).filter(asked) else { return emit.into_events() };
        match reply.outcome {
            EvictOutcome::Evicted => {
                rollout.eviction = Eviction::Leaving;
                rollout.attempts = 0;
                rollout.stepped = now.elapsed;
                if let Some((pod, _)) = rollout.leaving.clone() {
                    emit.notify(Notice::PodEvicted { workload: key, pod });
                }
            }
            EvictOutcome::NotLeader => rollout.eviction = Eviction::Looking,
            // Its watch may be behind.
            EvictOutcome::Gone => rollout.step_aside("a Pod is gone already", EVICT_AGAIN, now),
            EvictOutcome::NoHeadroom { retry_after } => {
                let (wait, told) = bounded_wait(retry_after.unwrap_or_default(), LONGEST_RETRY_AFTER);
                let why = with_wait("its PodDisruptionBudget leaves no room", told);
                rollout.step_aside(&why, wait.max(NO_HEADROOM), now);
                rollout.held = Some(Gate::PdbHeadroom);
            }
            EvictOutcome::Unknown { message } => {
                rollout.step_aside(&message, LOST, now);
                rollout.eviction = Eviction::Unsure;
            }
            EvictOutcome::Denied { message } => self.end(&key, Outcome::Denied, message, context, &mut emit),
            EvictOutcome::Failed { message, retry_after } => {
                rollout.attempts += 1;
                if rollout.attempts >= ATTEMPTS {
                    self.end(&key, Outcome::Denied, message, context, &mut emit);
                } else {
                    let (wait, told) = bounded_wait(retry_after.unwrap_or(EVICT_AGAIN), LONGEST_RETRY_AFTER);
                    rollout.step_aside(&with_wait(&message, told), wait, now);
                }
            }
        }
        emit.into_events()
    }
}

/// `1 of 3`
fn replaced(w: &WorkloadSnapshot, view: View<'_>) -> String {
    let pods = on_delete::alive(w, view.index);
    let new = pods.iter().filter(|pod| !pod.state.terminating && !on_delete::is_outdated(w, &pod.made)).count();
    format!("{new} of {}", w.counts.desired)
}

/// See [`Rollouts::choice`]. Never more than one is down: all are ready, or the one that is not is itself one of those that have to go.
fn complete<'a>(w: &WorkloadSnapshot, pods: &[&'a Pod], outdated: &[&'a Pod]) -> Result<Option<&'a Pod>, String> {
    let desired = w.counts.desired as usize;
    let down: Vec<_> = pods.iter().copied().filter(|pod| pod.state.terminating || !pod.state.ready).collect();
    let ready = pods.len() - down.len();
    let waits = || Err(format!("{ready} of {desired} Pods ready"));
    match *down {
        [] if ready < desired => waits(),
        [] if w.counts.available < w.counts.desired => {
            Err(format!("{} of {desired} Pods available", w.counts.available))
        }
        [] => match (outdated.iter().copied().max_by_key(|pod| place(pod)), rollout_status::progress(w)) {
            (None, Progress::Waiting(what) | Progress::Failed(what)) => Err(what),
            (choice, _) => Ok(choice),
        },
        [pod] if !pod.state.terminating && pods.len() >= desired && on_delete::is_outdated(w, &pod.made) => {
            Ok(Some(pod))
        }
        _ => waits(),
    }
}

/// The highest ordinal goes first, as its controller would have it; of Pods without one any, but always the same.
fn place(pod: &Pod) -> (u32, Reverse<Name>) {
    let ordinal = pod.key.name.rsplit('-').next().and_then(|number| number.parse().ok());
    (ordinal.unwrap_or(0), Reverse(pod.key.name.clone()))
}
