//! Asking for renderings: who is next, and what is asked.

use std::{collections::BTreeSet, time::Duration};

use crate::core::{
    injection::scope::{self, Vector},
    io::{Effect, RenderRequest, WorkloadRef},
    model::{Name, WorkloadKey, owner::Kind, time::Now, words::UndeterminedReason},
    render::{
        queue::Priority,
        render_throttle::{self, Asked, Leave},
    },
    step::Core,
    verdict::{
        case::{Judged, Requested},
        judge,
    },
};

/// A workload whose history could not be read is read again after this long.
pub(in crate::core) const READ_AGAIN: Duration = Duration::from_secs(5);

/// Fewer templates are read one by one.
const FEW: usize = 3;

/// Workloads that one step lets others pass.
const PASSED: usize = 64;

impl Core {
    /// Sends out renderings, as many as the budget allows.
    pub(in crate::core) fn dispatch(&mut self, now: Now) {
        // What is waited for next is no answer then: there may be none under way.
        self.crowded = false;
        if !self.renders_now() || self.pace.resumes(now.elapsed).is_some() {
            return;
        }
        // Those whose injector is busy let others pass, but not without end: each step should be short.
        let (mut patience, mut slow, most) = (PASSED, 0, self.policy.renders_in_flight);
        while slow < PASSED
            && !self.pace.is_crowded(most)
            && self.queue.next_due(now.elapsed).is_some_and(|due| due <= now.elapsed)
            && self.renders.ready(now.elapsed).is_ok()
        {
            let Self { queue, index, generations, pace, .. } = self;
            let leave = |key: &WorkloadKey| {
                let workload = index.workload(key)?;
                let vector = generations.vector(workload, index);
                Some((pace.leave(&vector, most, now.elapsed), vector))
            };
            let may = |key: &WorkloadKey| leave(key).is_none_or(|(leave, _)| leave != Leave::Busy);
            let Some((key, priority)) = queue.pop(now.elapsed, &mut patience, may) else { break };
            if self.stopping && !self.rollouts.contains_key(&key) {
                continue;
            }
            match leave(&key) {
                None | Some((Leave::Busy, _)) => {}
                Some((Leave::Go, vector)) => self.request(&key, priority, vector, now),
                Some((Leave::Slow(until), _)) => {
                    slow += 1;
                    self.throttle(&key, now);
                    self.queue.schedule(&key, until, priority, now.elapsed);
                }
            }
        }
        // Something is in flight, and its answer is the next occasion.
        self.crowded = self.pace.is_crowded(most) || patience < PASSED;
    }

    /// Its injector is too slow to be asked now.
    fn throttle(&mut self, key: &WorkloadKey, now: Now) {
        let passing = self.work.get(key).is_some_and(|w| w.judged.passing());
        if passing {
            let why = "its injector answers slowly, and real Pods come first".to_owned();
            self.judged(key, Judged::undetermined(UndeterminedReason::Throttled, Some(why)), now);
        }
    }

    fn request(&mut self, key: &WorkloadKey, priority: Priority, vector: Vector, now: Now) {
        let rollout = self.rollouts.get(key);
        let (confirming, unread) = rollout.map_or((false, false), |r| (r.confirming(), r.unread()));
        let confirm = confirming || unread;
        if self.work.get(key).is_some_and(|work| work.request.is_some()) {
            return; // Its answer decides whether another one is wanted.
        }
        let current = self.index.workload(key).and_then(|workload| {
            let (revision, pods) = judge::current(workload, &self.index)?;
            let sample = pods.first().map(|pod| pod.key.name.clone());
            (self.policy.all_workloads || unread || !pods.is_empty()).then_some((workload, revision, sample))
        });
        let Some((workload, revision, sample)) = current else {
            if confirming {
                self.abandon(key, None, now);
            } else if unread {
                self.queue.schedule(key, now.elapsed + READ_AGAIN, Priority::Confirm, now.elapsed);
            }
            return;
        };
        let ordinals = (key.kind.row().ordinals)
            .then(|| ordinals(&key.name, self.index.pods_of(workload).iter().map(|p| &p.key.name)))
            .flatten();
        let reference = WorkloadRef { key: key.clone(), uid: workload.uid.clone() };
        let timeouts = scope::injectors_of(workload, &self.index).flat_map(|i| &i.entries).map(|e| e.timeout_seconds);
        let timeout = timeouts.filter(|seconds| *seconds > 0).min();
        let timeout = timeout.map_or(render_throttle::DEFAULT_TIMEOUT, |seconds| Duration::from_secs(seconds.into()));
        let together = if confirm { Vec::new() } else { self.together(key, priority) };
        let ticket = self.ticket();
        self.tickets.insert(ticket, key.clone());
        self.pace.sent(&vector);
        self.asked.insert(ticket, Asked { vector: vector.clone(), timeout, sent: now.elapsed });
        let work = self.work.entry(key.clone()).or_default();
        work.request = Some(Requested { ticket, revision: revision.object.clone(), vector, confirm }.into());
        // One budget for all: a confirmation is one more dry run.
        _ = self.renders.take(now.elapsed);
        self.rendered += 1;
        self.effects.push(Effect::Render(RenderRequest {
            ticket,
            workload: reference,
            revision: revision.object,
            ordinals,
            sample: sample.filter(|_| key.kind.described().is_some() && key.kind.has_template_only()),
            confirm,
            together,
            fields: self.policy.fields,
            what_if: self.policy.what_if.clone(),
        }));
    }

    /// The templates of Deployments that are asked for right after this one, unless they were named to be read already.
    fn together(&mut self, key: &WorkloadKey, priority: Priority) -> Vec<Name> {
        if self.read_ahead.remove(key) || key.kind != Kind::DEPLOYMENT {
            return Vec::new();
        }
        let hash = |key: &WorkloadKey| {
            let newest = self.index.newest_replica_set(self.index.workload(key)?)?;
            (!newest.hash.is_empty()).then(|| newest.hash.clone())
        };
        let next = self.queue.rest_of_turn(key, priority).filter(|next| next.kind == Kind::DEPLOYMENT);
        let next: Vec<_> = next.filter_map(|next| Some((next.clone(), hash(next)?))).collect();
        if next.len() < FEW {
            return Vec::new();
        }
        let own = hash(key);
        let (keys, hashes): (Vec<_>, Vec<_>) = next.into_iter().unzip();
        self.read_ahead.extend(keys);
        own.into_iter().chain(hashes).collect::<BTreeSet<_>>().into_iter().collect()
    }
}

/// The lowest and the highest ordinal among a StatefulSet's Pods.
fn ordinals<'a>(set: &str, pods: impl Iterator<Item = &'a Name>) -> Option<(u32, u32)> {
    let ordinals = pods.filter_map(|name| name.strip_prefix(set)?.strip_prefix('-')?.parse::<u32>().ok());
    ordinals.fold(None, |range, n| Some(range.map_or((n, n), |(low, high): (u32, u32)| (low.min(n), high.max(n)))))
}
