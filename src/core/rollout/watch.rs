//! Waiting for the platform, and looking at what came of it.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};

use crate::core::rollout::{Phase, QUIET, Rollout};
use crate::core::{
    compare::SidecarDifference,
    config::Mode,
    injection::scope::Vector,
    inventory::on_delete,
    io::{Lock, Notice},
    model::{
        Attempt, Stamp, Strategy, WorkloadKey, WorkloadSnapshot,
        rollout_status::{self, Progress},
        time::Now,
        words::{Difference, Outcome, Verdict},
    },
    render::queue::Priority,
    rollout::{breaker, report::RolloutReport},
    step::{Core, KEPT},
    verdict::{PodGroup, case, judge},
};

/// A rollout that an earlier process of ours started longer ago than this is none of ours any more.
const ADOPTABLE: Duration = Duration::from_hours(1);

/// Evictions take longer, one after the other, and nobody goes on with them but us.
const ADOPTABLE_EVICTIONS: Duration = Duration::from_hours(24);

/// Not every copy of an injector has heard of a move by then: a ConfigMap that is mounted as a volume reaches a Pod after
/// up to one period of the kubelet's synchronisation and one of its cache, a minute each by default.
const LONGEST_LAG: Duration = Duration::from_mins(2);

/// New Pods that crash after this long will not come up by themselves. A container is started again after 10, 20 and 40
/// seconds, so one that only waits for another has had its chances.
pub(super) const CRASHING: Duration = Duration::from_mins(1);

impl Core {
    /// Takes over the rollouts that an earlier process or another leader of ours left under way.
    pub(in crate::core) fn adopt(&mut self, now: Now) {
        let keys: Vec<_> = self.index.workloads().map(|(key, _)| key.clone()).collect();
        for key in keys {
            self.adopt_one(&key, now);
        }
    }

    /// Takes over a workload's rollout if it is one of ours that nobody follows.
    pub(in crate::core) fn adopt_one(&mut self, key: &WorkloadKey, now: Now) {
        self.note_finished(key);
        if !self.started || !self.leader || self.stopping || self.policy.mode < Mode::Enforce || !self.covered(key) {
            return;
        }
        let Some(w) = self.index.workload(key).filter(|w| !w.terminating && !self.rollouts.contains_key(key)) else {
            return;
        };
        let evicted = w.strategy == Strategy::OnDelete;
        if evicted && !self.policy.evict_on_delete {
            return;
        }
        let adoptable = if evicted { ADOPTABLE_EVICTIONS } else { ADOPTABLE };
        let ours = |s: &&Stamp| s.fingerprint.is_some() && now.since(s.timestamp) < adoptable;
        let Some(stamp) = w.template.stamp.as_ref().filter(ours) else { return };
        // What was followed to its end once is the owner's business from then on.
        let ended = self.work.get(key).is_some_and(|work| work.ended_stamp.as_deref() == Some(stamp));
        if ended || !on_delete::is_waiting(w, &self.index) {
            return;
        }
        let mut rollout = Rollout::new(w.uid.clone(), stamp.reason.clone(), now);
        rollout.phase = Phase::Rolling;
        rollout.template = w.template.hash.clone();
        rollout.stamps = vec![stamp.clone()];
        rollout.generation = w.generation;
        rollout.vector = self.generations.vector(w, &self.index);
        (rollout.adopted, rollout.unread) = (true, true);
        self.rollouts.insert(key.clone(), rollout);
        self.queue.schedule(key, now.elapsed, Priority::Confirm, now.elapsed);
        self.touch(key);
    }

    /// A rollout of ours that is finished stays so, whoever followed it: when its owner rolls the workload later our stamp is
    /// still on the template.
    fn note_finished(&mut self, key: &WorkloadKey) {
        let Some(w) = self.index.workload(key).filter(|_| !self.rollouts.contains_key(key)) else { return };
        let done = rollout_status::progress(w) == Progress::Done && !on_delete::is_waiting(w, &self.index);
        let Some(stamp) = w.template.stamp.as_ref().filter(|_| done) else { return };
        if let Some(work) = self.work.get_mut(key).filter(|work| work.ended_stamp.as_deref() != Some(stamp)) {
            work.ended_stamp = Some(Box::new(stamp.clone()));
        }
    }

    pub(super) fn watch_rolling(&mut self, key: &WorkloadKey, now: Now) {
        let Some(rollout) = self.rollouts.get(key) else { return };
        let Some(workload) = self.index.workload(key).filter(|w| w.uid == rollout.uid) else {
            return self.end(key, Outcome::Superseded, "the workload is gone".to_owned(), now);
        };
        let late = now.elapsed >= rollout.stepped + self.policy.timeout;
        if rollout.unread && !late {
            return self.progress(key, "finding out whether it is ours", false, now);
        }
        if rollout.adopted && self.is_its_owners(key) {
            return self.disown(key);
        }
        if workload.generation < rollout.generation {
            return self.progress(key, "waiting to hear of the change", late, now);
        }
        if workload.template.hash != rollout.template {
            return self.end(key, Outcome::Superseded, "its owner changed the template".to_owned(), now);
        }
        if workload.template.stamp.as_ref() != rollout.stamps.last() {
            return self.end(key, Outcome::Reverted, "somebody removed our stamp".to_owned(), now);
        }
        if workload.strategy == Strategy::OnDelete {
            return self.watch_evicting(key, now);
        }
        match rollout_status::progress(workload) {
            Progress::Failed(why) => self.end(key, Outcome::Failed, why, now),
            Progress::Waiting(message) => {
                let crashes = self.new_pods_crash(key, now);
                if let Some(rollout) = self.rollouts.get_mut(key) {
                    // It was finished, and is not any more: a Pod was lost again.
                    rollout.done = None;
                    rollout.crashes = crashes;
                }
                if crashes.is_some_and(|(since, still)| still && now.elapsed >= since + CRASHING) {
                    return self.end(key, Outcome::Failed, format!("its new Pods crash: {message}"), now);
                }
                let Some(workload) = self.index.workload(key) else { return };
                if late && self.crashes(key) {
                    let remedy = on_delete::pinned(workload, &self.index).map(|why| format!("; {why}"));
                    let message = format!("its Pods crash: {message}{}", remedy.unwrap_or_default());
                    return self.end(key, Outcome::Failed, message, now);
                }
                if late && self.policy.one_shot {
                    // Whoever waits at a terminal is told, and may look later; the daemon goes on watching.
                    return self.end(key, Outcome::TimedOut, message, now);
                }
                self.progress(key, &message, late, now);
            }
            Progress::Done => {
                let since = rollout.done.unwrap_or(now.elapsed);
                if let Some(rollout) = self.rollouts.get_mut(key) {
                    rollout.done = Some(since);
                    rollout.crashes = None;
                }
                match self.verified(key, now) {
                    Some((outcome, message)) => self.end(key, outcome, message, now),
                    // Nothing is to be learned of it any more; its slot must not be taken for ever.
                    None if now.elapsed >= since + self.policy.timeout => {
                        let message = "finished, but its new Pods could not be checked".to_owned();
                        self.end(key, Outcome::TimedOut, message, now);
                    }
                    None => self.progress(key, "checking the new Pods", late, now),
                }
            }
        }
    }

    /// Since when new Pods of it crash, and whether one does now. One that runs for a moment between two crashes is not well
    /// yet; one that is ready is.
    fn new_pods_crash(&self, key: &WorkloadKey, now: Now) -> Option<(Duration, bool)> {
        let (rollout, workload) = (self.rollouts.get(key)?, self.index.workload(key)?);
        let (_, pods) = judge::current(workload, &self.index)?;
        let mut new = pods.iter().filter(|pod| !rollout.before.contains(&pod.uid) && !pod.state.terminating);
        let crashes = new.clone().any(|pod| pod.state.crashing);
        let well = !crashes && new.all(|pod| pod.state.ready);
        match rollout.crashes {
            Some(_) if well => None,
            Some((since, _)) => Some((since, crashes)),
            None => crashes.then_some((now.elapsed, true)),
        }
    }

    /// Its owner changed the template after our rollout, and left our stamp on it: a revision that has the stamp is of
    /// another template.
    fn is_its_owners(&self, key: &WorkloadKey) -> bool {
        let (Some(rollout), Some(work)) = (self.rollouts.get(key), self.work.get(key)) else { return false };
        let stamp = rollout.stamps.last();
        work.history.iter().any(|tried| Some(&tried.stamp) == stamp && tried.template != rollout.template)
    }

    /// It was taken over by mistake: what becomes of it is its owner's business, and nobody was told of it.
    fn disown(&mut self, key: &WorkloadKey) {
        let Some(mut rollout) = self.rollouts.remove(key) else { return };
        if let Some(work) = self.work.get_mut(key) {
            work.ended_stamp = rollout.stamps.pop().map(Box::new);
        }
        self.dirty.insert(key.clone());
        self.replan = true;
        self.touch(key);
    }

    pub(super) fn progress(&mut self, key: &WorkloadKey, message: &str, late: bool, now: Now) {
        let Some(rollout) = self.rollouts.get_mut(key) else { return };
        if rollout.message != message {
            message.clone_into(&mut rollout.message);
            self.tell(Notice::RolloutProgress { workload: key.clone(), message: message.to_owned() });
        }
        if late && let Some(rollout) = self.rollouts.get_mut(key).filter(|r| !r.late) {
            rollout.late = true;
            let report = rollout.report(key, Some(Outcome::TimedOut), now);
            self.ended(report, key, false, now);
        }
    }

    /// What comparing the new Pods with their rendering says of the rollout; `None`: nothing yet.
    pub(super) fn verified(&mut self, key: &WorkloadKey, now: Now) -> Option<(Outcome, String)> {
        let (rollout, work, workload) = (self.rollouts.get(key)?, self.work.get(key)?, self.index.workload(key)?);
        let judged = &work.judged;
        let converged = || Some((Outcome::Converged, "the new Pods are as rendered".to_owned()));
        if judged.verdict == Verdict::NoPods && workload.counts.desired == 0 {
            return converged();
        }
        // The status is ahead of the Pods, which come by a watch of their own.
        let (_, mut pods) = judge::current(workload, &self.index)?;
        // Where we evict some are still to be replaced, and only the others say what came of it.
        let old = self.not_replaced(workload);
        pods.retain(|pod| !old.contains(&pod.key.name));
        let all_new = pods.iter().all(|pod| !rollout.before.contains(&pod.uid));
        if !all_new || judged.pods < expected(workload) {
            return None;
        }
        let new = |group: &&PodGroup| group.pods.iter().any(|pod| !old.contains(pod));
        let groups: Vec<_> = judged.groups.iter().filter(new).collect();
        let differences = || groups.iter().flat_map(|g| &g.differences);
        let vector = self.generations.vector(workload, &self.index);
        let moved = || Some((Outcome::Superseded, "the injector moved meanwhile".to_owned()));
        // What a partition keeps is none of the rollout's; where we evict nothing is kept.
        let as_far_as_it_goes = judged.partial && workload.strategy != Strategy::OnDelete;
        match judged.verdict {
            Verdict::Undetermined if !as_far_as_it_goes => None,
            Verdict::InSync | Verdict::NotInjected | Verdict::Undetermined => {
                // An injector that is down and ignores failures gives the Pod and its rendering the same: nothing.
                let lost: Vec<_> = rollout.sidecars.iter().filter(|name| !judged.sidecars.contains(name)).collect();
                match lost.first() {
                    None => converged(),
                    Some(_) if vector != rollout.vector => moved(),
                    Some(name) => Some((Outcome::NonConvergent, format!("the new Pods run without {name}"))),
                }
            }
            Verdict::Drifted | Verdict::Missing | Verdict::Removed | Verdict::NonConvergent => {
                if differences().all(|d| d.difference == Difference::MutatedLive) {
                    return converged();
                }
                if vector != rollout.vector {
                    return moved();
                }
                let differing: BTreeSet<_> = groups.iter().flat_map(|g| &g.pods).collect();
                let born = pods.iter().filter(|pod| differing.contains(&pod.key.name)).map(|pod| pod.created).min();
                let wanted = rollout.stamps.last().and_then(|stamp| stamp.fingerprint.as_deref());
                if rollout.adopted && wanted != Some(judged.target.as_str()) {
                    return Some((Outcome::Superseded, "the injector moved since it was started".to_owned()));
                }
                if let Some(clear) = self.in_doubt_until(&vector, born, now) {
                    self.too_early(key, clear);
                    self.in_vain(key, clear, now);
                    let message = "the injector moved shortly before the new Pods were born, and gave them what it gave until then";
                    return Some((Outcome::Superseded, message.to_owned()));
                }
                // One that the new Pods lack contradicts nothing: its injector may have been down.
                let otherwise =
                    |d: &&SidecarDifference| !matches!(d.difference, Difference::Missing | Difference::MutatedLive);
                let sidecars: BTreeSet<_> = differences().filter(otherwise).map(|d| d.sidecar.clone()).collect();
                let uid = workload.uid.clone();
                let (template, fields) = (workload.template.hash.clone(), case::fields(differences()));
                let lock = Lock { workload: key.clone(), template, fields, at: now.wall };
                let message = format!("the new Pods still differ: {}", judge::change(groups.iter().copied()));
                let born = rollout.stamps.last().map_or(rollout.started.wall, |stamp| stamp.timestamp);
                self.truth.contradict(&vector, &sidecars, born, &format!("{key}, after our rollout"));
                self.note(|record| drop(record.locks.insert(uid, lock)));
                Some((Outcome::NonConvergent, message))
            }
            Verdict::Rejected | Verdict::NoPods => None,
        }
    }

    /// New Pods that differ say nothing against their rollout when the injector may have given them what it gave before a
    /// move. Until when that is so of new Pods; `None`: of these it is not.
    fn in_doubt_until(&self, vector: &Vector, born: Option<Timestamp>, now: Now) -> Option<Timestamp> {
        let ago = now.elapsed.saturating_sub(self.generations.unsettled_since(vector)?);
        let age = now.since(born?);
        let left = SignedDuration::try_from(LONGEST_LAG.saturating_sub(ago)).ok()?;
        (age + LONGEST_LAG > ago).then(|| now.wall.checked_add(left).unwrap_or(now.wall))
    }

    /// Its Pods were replaced for nothing, because we were too early: it may be tried once more when that is over, whatever the
    /// cool-down says. The daily cap counts it as ever, and a process that begins anew does not know and waits.
    fn in_vain(&mut self, key: &WorkloadKey, until: Timestamp, now: Now) {
        let stamp = self.rollouts.get(key).and_then(|rollout| rollout.stamps.last()).map(|stamp| stamp.timestamp);
        if let Some(work) = self.work.get_mut(key) {
            work.in_vain = work.in_vain.max(stamp);
            let rest = Duration::try_from(until.duration_since(now.wall)).unwrap_or_default();
            work.quiet_until = work.quiet_until.max(now.elapsed + rest);
        }
    }

    pub(super) fn end(&mut self, key: &WorkloadKey, outcome: Outcome, message: String, now: Now) {
        let Some(mut rollout) = self.rollouts.remove(key) else { return };
        rollout.message = message;
        let report = rollout.report(key, Some(outcome), now);
        if let Some(work) = self.work.get_mut(key) {
            work.ended = true;
        }
        if matches!(outcome, Outcome::Denied | Outcome::Conflict) && rollout.phase != Phase::Rolling {
            self.step_back(key, &rollout, now);
        } else if let Some(work) = self.work.get_mut(key) {
            work.quiet_until = work.quiet_until.max(now.elapsed + QUIET);
            if let Some(stamp) = rollout.stamps.pop() {
                work.ended_stamp = Some(Box::new(stamp.clone()));
                work.remember(Attempt { stamp, template: rollout.template.clone() });
            }
        }
        if outcome != Outcome::Converged {
            self.dismiss(key, now);
        }
        self.dirty.insert(key.clone());
        self.replan = true;
        self.ended(report, key, rollout.late, now);
    }

    /// Tells of an outcome and lets the breaker see it; of one rollout only one that is bad (`again`: there was one).
    fn ended(&mut self, report: RolloutReport, key: &WorkloadKey, again: bool, now: Now) {
        let Some(outcome) = report.outcome else { return };
        self.tell(Notice::RolloutEnded {
            workload: key.clone(),
            outcome,
            message: report.message.clone(),
            seconds: report.seconds,
        });
        self.finished.push_front(report);
        self.finished.truncate(KEPT);
        if again && breaker::is_bad(outcome) {
            return;
        }
        let mut opened = None;
        self.note(|record| {
            opened = breaker::saw(record, outcome, key, now.wall);
        });
        if let Some(reason) = opened {
            self.tell(Notice::BreakerOpened { workload: key.clone(), reason, at: now.wall });
        }
    }
}

/// How many Pods of the new revision there will be.
fn expected(workload: &WorkloadSnapshot) -> usize {
    workload.counts.desired.saturating_sub(rollout_status::partition(workload)) as usize
}
