//! The patch, and every answer that it can have.

use std::{collections::BTreeSet, time::Duration};

use jiff::Timestamp;

use crate::core::rollout::Phase;
use crate::core::{
    io::{Effect, Notice, PatchOutcome, PatchReply, PatchRequest, WorkloadRef},
    model::{
        Stamp, WorkloadKey,
        owner::Restart,
        time::Now,
        words::{Gate, Outcome},
    },
    render::queue::Priority,
    step::Core,
};

/// A lost race (409) is run again this often.
const ATTEMPTS: u32 = 3;

impl Core {
    pub(super) fn patch(&mut self, key: &WorkloadKey, now: Now) {
        let (Some(workload), Some(work)) = (self.index.workload(key), self.work.get(key)) else { return };
        let reason = self.policy.rollout_reason.clone().unwrap_or_else(|| {
            let sidecars = work.judged.groups.iter().flat_map(|g| &g.differences).map(|d| &*d.sidecar);
            let mut sidecars: BTreeSet<_> = sidecars.collect();
            if sidecars.is_empty() {
                sidecars.extend(work.judged.sidecars.iter().map(|name| &**name));
            }
            format!("Update sidecars {}", sidecars.into_iter().collect::<Vec<_>>().join(" "))
        });
        let timestamp = Timestamp::from_second(now.wall.as_second()).unwrap_or(now.wall);
        let stamp = match key.kind.row().restart {
            Restart::Stamp => {
                Stamp { timestamp, reason: reason.clone(), fingerprint: Some(work.judged.target.clone()) }
            }
            Restart::Field(_) | Restart::Nothing => Stamp { timestamp, reason: String::new(), fingerprint: None },
        };
        let reference = WorkloadRef { key: key.clone(), uid: workload.uid.clone() };
        let (version, template) = (workload.resource_version.clone(), workload.template.clone());
        let before = self.index.pods_of(workload).into_iter().map(|pod| pod.uid.clone()).collect();
        let ticket = self.ticket();
        self.writes.insert(ticket, key.clone());
        let Some(rollout) = self.rollouts.get_mut(key) else { return };
        rollout.phase = Phase::Patching;
        rollout.stamps.push(stamp.clone());
        rollout.template = template.hash;
        rollout.before = before;
        "patching".clone_into(&mut rollout.message);
        let first = rollout.stamps.len() == 1;
        self.effects.push(Effect::Patch(PatchRequest {
            ticket,
            workload: reference,
            resource_version: version,
            has_annotations: template.has_annotations,
            stamp,
        }));
        if first {
            self.tell(Notice::RolloutStarted { workload: key.clone(), reason });
        }
    }

    /// Takes the answer to a patch in.
    pub(in crate::core) fn patched(&mut self, reply: PatchReply, now: Now) {
        let Some(key) = self.writes.remove(&reply.ticket) else { return };
        self.replan = true;
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
                rollout.unsure = true;
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

    pub(super) fn confirm_again(&mut self, key: &WorkloadKey, at: Duration, now: Now) {
        if self.stopping {
            self.rollouts.remove(key);
            self.touch(key);
            return;
        }
        if let Some(rollout) = self.rollouts.get_mut(key) {
            rollout.phase = Phase::Confirming;
        }
        self.queue.schedule(key, at, Priority::Confirm, now.elapsed);
    }

    /// The answer to one of our patches was lost, but the patch was not: then it goes on from there.
    pub(super) fn landed(&mut self, key: &WorkloadKey, now: Now) -> bool {
        let (Some(rollout), Some(workload)) = (self.rollouts.get_mut(key), self.index.workload(key)) else {
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
        let generation = workload.generation;
        self.begin_rolling(key, generation, now);
        true
    }

    fn begin_rolling(&mut self, key: &WorkloadKey, generation: i64, now: Now) {
        if let Some(rollout) = self.rollouts.get_mut(key) {
            rollout.phase = Phase::Rolling;
            rollout.unsure = false;
            rollout.generation = generation;
            rollout.started = now;
            rollout.stepped = now.elapsed;
            rollout.attempts = 0;
        }
        if let Some(work) = self.work.get_mut(key) {
            work.setbacks = 0;
        }
    }
}
