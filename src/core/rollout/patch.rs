//! The patch, and every answer that it can have.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use super::{
    context::{Context, Emitter, RolloutEvent},
    rollout_state::{LONGEST_RETRY_AFTER, Phase, with_wait},
    rollouts::Rollouts,
};
use crate::core::{
    injection::View,
    io::{Effect, EventReason, Notice, Outbox, PatchOutcome, PatchReply, PatchRequest, Tried, WorkloadRef},
    model::{
        Stamp, WorkloadKey,
        owner::Restart,
        time::bounded_wait,
        words::{Gate, Outcome},
    },
    verdict::Judged,
};

/// After a patch that failed, the next try waits this long, unless the API server asks for another time.
const PATCH_AGAIN: Duration = Duration::from_secs(5);
/// A lost race (409) is run again this often.
const ATTEMPTS: u32 = 3;

impl Rollouts {
    pub(super) fn patch(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        let View { policy, index, now, .. } = context.view;
        let (Some(workload), Some(judged)) = (index.workload(key), context.verdicts.judged(key)) else { return };
        let reason = policy.rollout_reason.clone().unwrap_or_else(|| reason_for(judged));
        let change = judged.change.clone();
        let timestamp = Timestamp::from_second(now.wall.as_second()).unwrap_or(now.wall);
        let stamp = match key.kind.row().restart {
            Restart::Stamp => Stamp { timestamp, reason: reason.clone(), fingerprint: Some(judged.target.clone()) },
            Restart::Field(_) | Restart::Nothing => Stamp { timestamp, reason: String::new(), fingerprint: None },
        };
        let before = index.pods_of(workload).into_iter().map(|pod| pod.uid.clone()).collect();
        let ticket = emit.outbox().ticket();
        self.pending_writes.insert(ticket, key.clone());
        let Some(rollout) = self.running.get_mut(key) else { return };
        rollout.phase = Phase::Patching;
        self.starts.patched(key, stamp.timestamp, now);
        rollout.stamps.push(stamp.clone());
        rollout.template.clone_from(&workload.template.hash);
        rollout.before = before;
        "patching".clone_into(&mut rollout.message);
        emit.push(Effect::Patch(PatchRequest {
            ticket,
            workload: WorkloadRef { key: key.clone(), uid: workload.uid.clone() },
            resource_version: workload.resource_version.clone(),
            has_annotations: workload.template.has_annotations,
            stamp,
        }));
        if rollout.stamps.len() == 1 {
            emit.outbox().record_event(key, EventReason::RolloutStarted, format!("{reason}: {change}"));
            emit.notify(Notice::RolloutStarted { workload: key.clone(), reason });
        }
    }

    /// Takes the answer to a patch in.
    pub fn take_patched(&mut self, reply: PatchReply, context: Context<'_>, out: &mut Outbox) -> Vec<RolloutEvent> {
        let mut emit = Emitter::new(out);
        let now = context.view.now.elapsed;
        let Some(key) = self.pending_writes.remove(&reply.ticket) else { return emit.into_events() };
        self.schedule.request();
        if matches!(reply.outcome, PatchOutcome::Conflict | PatchOutcome::Denied { .. }) {
            self.note_refusal(&key);
        }
        let patching = self.running.get_mut(&key).filter(|r| r.phase == Phase::Patching);
        let Some(rollout) = patching else { return emit.into_events() };
        match reply.outcome {
            PatchOutcome::Patched { generation } => self.begin_rolling(&key, generation, context),
            PatchOutcome::Denied { message } => self.end(&key, Outcome::Denied, message, context, &mut emit),
            PatchOutcome::Gone => {
                self.end(&key, Outcome::Superseded, "the workload is gone".to_owned(), context, &mut emit);
            }
            PatchOutcome::NotLeader => self.abandon(&key, Some(Gate::NotLeader), context, &mut emit),
            PatchOutcome::Conflict => {
                rollout.attempts += 1;
                if rollout.attempts >= ATTEMPTS {
                    let message = format!("the workload changed under our hands {ATTEMPTS} times");
                    self.end(&key, Outcome::Conflict, message, context, &mut emit);
                } else {
                    self.confirm_again(&key, now, context, &mut emit);
                }
            }
            // Whether it was written is found out by reading, not by sending it again.
            PatchOutcome::Unknown { message } => {
                rollout.message = message;
                rollout.unsure = true;
                self.confirm_again(&key, now + Duration::from_secs(1), context, &mut emit);
            }
            PatchOutcome::Failed { message, retry_after } => {
                rollout.attempts += 1;
                rollout.message = message;
                if rollout.attempts >= ATTEMPTS {
                    // Told, so that the breaker and people hear of it: the next time would most likely go the same way.
                    let message = rollout.message.clone();
                    self.end(&key, Outcome::Denied, message, context, &mut emit);
                } else {
                    let (wait, told) = bounded_wait(retry_after.unwrap_or(PATCH_AGAIN), LONGEST_RETRY_AFTER);
                    if told.is_some() {
                        let message = with_wait(&rollout.message, told);
                        self.progress(&key, &message, false, context, &mut emit);
                    }
                    self.confirm_again(&key, now + wait, context, &mut emit);
                }
            }
        }
        emit.into_events()
    }

    /// What was not written does not count, also where the answer comes when another replica leads.
    fn note_refusal(&mut self, key: &WorkloadKey) {
        match self.running.get(key) {
            Some(rollout) if rollout.unsure => {}
            Some(_) => self.starts.refused(key),
            None => self.starts.give_back(key),
        }
    }

    pub(super) fn confirm_again(
        &mut self,
        key: &WorkloadKey,
        at: Duration,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        if context.view.lifecycle.stopping {
            self.running.remove(key);
            emit.invalidate_report(key);
            return;
        }
        if let Some(rollout) = self.running.get_mut(key) {
            rollout.phase = Phase::Confirming;
        }
        emit.confirm(key, at);
    }

    /// The answer to one of our patches was lost, but the patch was not: then it goes on from there.
    pub(super) fn detect_applied_patch(&mut self, key: &WorkloadKey, context: Context<'_>) -> bool {
        let (Some(rollout), Some(workload)) = (self.running.get_mut(key), context.view.index.workload(key)) else {
            return false;
        };
        let Some(at) = rollout.stamps.iter().position(|sent| workload.template.stamp.as_ref() == Some(sent)) else {
            return false;
        };
        if workload.uid != rollout.uid {
            return false;
        }
        // What came after it was not written.
        rollout.stamps.truncate(at + 1);
        self.begin_rolling(key, workload.generation, context);
        true
    }

    fn begin_rolling(&mut self, key: &WorkloadKey, generation: i64, context: Context<'_>) {
        let now = context.view.now;
        if let Some(rollout) = self.running.get_mut(key) {
            rollout.phase = Phase::Rolling;
            rollout.unsure = false;
            rollout.generation = generation;
            rollout.started = now;
            rollout.stepped = now.elapsed;
            rollout.attempts = 0;
            if let Some(stamp) = rollout.stamps.last() {
                self.starts.written(key, stamp.timestamp);
            }
            self.concerned.insert(key.clone());
        }
        self.note_attempt(key, context);
        self.ledger.entry(key).abandoned_attempts = 0;
    }
}

impl Rollouts {
    /// What was written is on record, too: the cluster may forget it.
    fn note_attempt(&mut self, key: &WorkloadKey, context: Context<'_>) {
        let View { policy, now, .. } = context.view;
        let Some(rollout) = self.running.get(key) else { return };
        let Some(stamp) = rollout.stamps.last() else { return };
        let target = context.verdicts.judged(key).map(|judged| &*judged.target);
        let target = stamp.fingerprint.as_deref().or(target).unwrap_or_default();
        let (uid, tried) = (rollout.uid.clone(), Tried::new(stamp.timestamp, target, policy.one_shot));
        self.change_record(policy, |record| record.attempts.note(&uid, tried, now.wall));
    }
}

/// `Update sidecars istio-proxy`
fn reason_for(judged: &Judged) -> String {
    let sidecars = judged.groups.iter().flat_map(|g| &g.differences).map(|d| &*d.sidecar);
    let mut sidecars: BTreeSet<_> = sidecars.collect();
    if sidecars.is_empty() {
        sidecars.extend(judged.sidecars.iter().map(|name| &**name));
    }
    format!("Update sidecars {}", sidecars.into_iter().collect::<Vec<_>>().join(" "))
}
