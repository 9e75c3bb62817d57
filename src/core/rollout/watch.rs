//! Waiting for the platform, and looking at what came of it.

use std::{collections::BTreeSet, time::Duration};

use jiff::{SignedDuration, Timestamp};

use super::{
    breaker::{self, Opened},
    context::{Context, Emitter},
    report::RolloutReport,
    rollout_state::{Crashes, Phase, QUIET, Reached},
    rollouts::Rollouts,
    stays_well::crashes,
};
use crate::core::{
    compare::SidecarDifference,
    injection::{VersionVector, View},
    inventory::{Pod, PodClass, current_revision, on_delete, pods_in},
    io::{Lock, Notice, Tried},
    model::{
        Attempt, Name, ObjectKey, Strategy, WorkloadKey, WorkloadSnapshot,
        owner::Kind,
        rollout_status::{self, Progress},
        words::{Difference, Outcome, Verdict},
    },
    verdict::{self, ContradictingPod, Contradiction, PodGroup},
};

/// Not every copy of an injector has heard of a move by then: a ConfigMap that is mounted as a volume reaches a Pod after
/// up to one period of the kubelet's synchronisation and one of its cache, a minute each by default.
const LONGEST_LAG: Duration = Duration::from_mins(2);

impl Rollouts {
    pub(super) fn watch_rolling(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        let View { policy, index, now, .. } = context.view;
        let Some(rollout) = self.running.get(key) else { return };
        let Some(workload) = index.workload(key).filter(|w| w.uid == rollout.uid) else {
            return self.end(key, Outcome::Superseded, "the workload is gone".to_owned(), context, emit);
        };
        if !context.view.covers(key) {
            let message = "it is not looked at any more: the configuration or a label leaves it out".to_owned();
            return self.end(key, Outcome::Superseded, message, context, emit);
        }
        let late = rollout.is_late(policy, now);
        if rollout.unread && !late {
            return self.progress(key, "finding out whether it is ours", false, context, emit);
        }
        if rollout.adopted && (self.is_its_owners(key) || self.is_over(key, policy.one_shot)) {
            return self.stop_tracking(key, emit);
        }
        let Some(rollout) = self.running.get(key) else { return };
        if workload.generation < rollout.generation {
            return self.progress(key, "waiting to hear of the change", late, context, emit);
        }
        if workload.template.hash != rollout.template {
            return self.end(key, Outcome::Superseded, "its owner changed the template".to_owned(), context, emit);
        }
        if workload.template.stamp.as_ref() != rollout.stamps.last() {
            return self.end(key, Outcome::Reverted, "somebody removed our stamp".to_owned(), context, emit);
        }
        if workload.strategy == Strategy::OnDelete {
            return self.watch_evicting(key, context, emit);
        }
        let late = self.note_advance(key, workload, context) && late;
        match rollout_status::progress(workload) {
            Progress::Failed(why) => self.end(key, Outcome::Failed, why, context, emit),
            Progress::Waiting(message) => self.watch_waiting(key, workload, message, late, context, emit),
            Progress::Done => self.watch_done(key, workload, late, context, emit),
        }
    }

    /// The platform is at it.
    fn watch_waiting(
        &mut self,
        key: &WorkloadKey,
        workload: &WorkloadSnapshot,
        message: String,
        late: bool,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        let View { policy, index, now, .. } = context.view;
        self.take_slot_back(key, context);
        if let Some(rollout) = self.running.get_mut(key) {
            // Time alone brings nothing until the platform is done.
            rollout.wake = None;
        }
        if self.note_crashes(key, workload, context.view) {
            let cause = self.stalled_by_pods(key, workload, context.view).map(|stall| format!("; {}", stall.cause));
            let message = format!("its new Pods crash: {message}{}", cause.unwrap_or_default());
            return self.end(key, Outcome::Failed, message, context, emit);
        }
        if late && crashes_now(workload, context.view) {
            let remedy = on_delete::stuck_pod(workload, index).map(|why| format!("; {why}"));
            let message = format!("its Pods crash: {message}{}", remedy.unwrap_or_default());
            return self.end(key, Outcome::Failed, message, context, emit);
        }
        if late && let Some(cause) = self.stalled_by_nodes(key, workload, context) {
            // Nothing of ours is in its way, and others need its slot.
            return self.end(key, Outcome::Stalled, format!("{message}; {cause}"), context, emit);
        }
        if late && let Some(stall) = self.stalled_by_pods(key, workload, context.view) {
            return self.stall(key, &message, &stall, context, emit);
        }
        if self.running.get(key).is_some_and(|rollout| rollout.has_given_up(policy, now)) {
            return self.end_unchecked(key, context, emit);
        }
        if late && policy.one_shot {
            // Whoever waits at a terminal is told, and may look later; the daemon goes on watching.
            return self.end(key, Outcome::TimedOut, message, context, emit);
        }
        self.progress(key, &message, late, context, emit);
    }

    /// The platform says that it is finished. Its new Pods are to be as rendered, and to stay ready for a while.
    fn watch_done(
        &mut self,
        key: &WorkloadKey,
        workload: &WorkloadSnapshot,
        late: bool,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        let View { policy, now, .. } = context.view;
        let stay = self.note_finished_platform(key, context);
        let Some(rollout) = self.running.get(key) else { return };
        let late = late && rollout.is_late(policy, now);
        let given_up = rollout.has_given_up(policy, now);
        if self.note_crashes(key, workload, context.view) {
            return self.end(key, Outcome::Failed, "its new Pods crash".to_owned(), context, emit);
        }
        match self.verified(key, context, emit) {
            Some((Outcome::Converged, message)) => self.converge(key, stay, message, late, context, emit),
            Some((outcome, message)) => self.end(key, outcome, message, context, emit),
            None if given_up => self.end_unchecked(key, context, emit),
            None => self.progress(key, "checking the new Pods", late, context, emit),
        }
    }

    /// Nothing is to be learned of it any more.
    pub(super) fn end_unchecked(&mut self, key: &WorkloadKey, context: Context<'_>, emit: &mut Emitter<'_>) {
        let message = "finished, but its new Pods could not be checked".to_owned();
        self.end(key, Outcome::TimedOut, message, context, emit);
    }

    /// Notes how far the platform got: the time-out counts from the last step ahead. A Pod that comes and goes is none: only
    /// what was never reached before counts. Returns whether it has not moved on.
    fn note_advance(&mut self, key: &WorkloadKey, workload: &WorkloadSnapshot, context: Context<'_>) -> bool {
        let View { index, now, .. } = context.view;
        let Some(rollout) = self.running.get_mut(key) else { return true };
        if workload.observed_generation < workload.generation {
            return true;
        }
        let classes = current_revision(workload, index).map(|(_, classes)| classes).unwrap_or_default();
        let ready = |pod: &Pod| pod.state.ready && !pod.state.terminating && !rollout.before.contains(&pod.uid);
        let counts = workload.counts;
        let here = Reached {
            updated: counts.updated,
            ready: pods_in(&classes).iter().filter(|pod| ready(pod)).count(),
            old: counts.current.saturating_sub(counts.updated),
        };
        let Some(before) = rollout.reached else {
            rollout.reached = Some(here);
            return true;
        };
        let furthest = before.furthest(here);
        if furthest == before {
            return true;
        }
        rollout.reached = Some(furthest);
        rollout.stepped = now.elapsed;
        rollout.late = false;
        false
    }

    /// Why a DaemonSet cannot finish though every Pod that its rollout brought is ready: a Node takes none. `None`: it is
    /// another kind, or one of its new Pods is not ready, which may be our doing.
    fn stalled_by_nodes(&self, key: &WorkloadKey, w: &WorkloadSnapshot, context: Context<'_>) -> Option<&'static str> {
        // Where a Pod is refused or was not made again fewer are there: that is no Node's fault.
        if key.kind != Kind::DAEMON_SET || w.counts.current < w.counts.desired {
            return None;
        }
        let rollout = self.running.get(key)?;
        let (_, classes) = current_revision(w, context.view.index)?;
        let pods = pods_in(&classes);
        let mut new = pods.iter().filter(|pod| !rollout.before.contains(&pod.uid) && !pod.state.terminating);
        new.all(|pod| pod.state.ready).then_some("every new Pod is ready, and a Node takes none")
    }

    /// Notes whether new Pods crash; returns whether they have for so long that they will not come up by themselves.
    fn note_crashes(&mut self, key: &WorkloadKey, workload: &WorkloadSnapshot, view: View<'_>) -> bool {
        let Some(rollout) = self.running.get_mut(key) else { return false };
        rollout.crashes = crashes(rollout, workload, view);
        rollout.crashes.and_then(Crashes::fails_at).is_some_and(|at| view.now.elapsed >= at)
    }

    pub(super) fn progress(
        &mut self,
        key: &WorkloadKey,
        message: &str,
        late: bool,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        let Some(rollout) = self.running.get_mut(key) else { return };
        if rollout.message != message {
            message.clone_into(&mut rollout.message);
            emit.notify(Notice::RolloutProgress { workload: key.clone(), message: message.to_owned() });
        }
        rollout.late |= late;
        if late && !rollout.timed_out && !rollout.foreign {
            rollout.timed_out = true;
            let report = rollout.report(key, Some(Outcome::TimedOut), context.view.now);
            self.report_end(report, key, None, Outcome::TimedOut, context, emit);
        }
    }

    /// What comparing the new Pods with their rendering says of the rollout; `None`: nothing yet.
    pub(super) fn verified(
        &mut self,
        key: &WorkloadKey,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) -> Option<(Outcome, String)> {
        let index = context.view.index;
        let (rollout, judged) = (self.running.get(key)?, context.verdicts.judged(key)?);
        let workload = index.workload(key)?;
        let converged = || Some((Outcome::Converged, "the new Pods are as rendered".to_owned()));
        if judged.verdict == Verdict::NoPods && workload.counts.desired == 0 {
            let message = "no Pod of it is wanted any more, so none shows what came of it".to_owned();
            return Some((Outcome::Superseded, message));
        }
        // The status is ahead of the Pods, which come by a watch of their own.
        let (_, classes) = current_revision(workload, index)?;
        let mut pods = pods_in(&classes);
        // Where we evict some are still to be replaced, and only the others say what came of it.
        let old = on_delete::not_replaced(workload, index);
        pods.retain(|pod| !old.contains(&pod.key.name));
        let all_new = pods.iter().all(|pod| !rollout.before.contains(&pod.uid));
        // Those that a partition keeps are judged beside them.
        let alive = || on_delete::alive(workload, index).into_iter().filter(|pod| !pod.state.terminating).count();
        let kept = if rollout_status::partition(workload) > 0 { alive().saturating_sub(pods.len()) } else { 0 };
        if (pods.is_empty() && old.is_empty()) || !all_new || judged.pods < expected(workload) + kept {
            return None;
        }
        let names: BTreeSet<_> = pods.iter().map(|pod| &pod.key.name).collect();
        let new = |group: &&PodGroup| group.pods.iter().any(|pod| names.contains(pod));
        let groups: Vec<_> = judged.groups.iter().filter(new).collect();
        let versions = context.view.versions_of(workload);
        let moved = || Some((Outcome::Superseded, "the injector moved meanwhile".to_owned()));
        // What a partition keeps is none of the rollout's; where we evict nothing is kept.
        let as_far_as_it_goes = judged.partial && workload.strategy != Strategy::OnDelete;
        match judged.verdict {
            Verdict::Undetermined | Verdict::Rejected if !as_far_as_it_goes => None,
            Verdict::NoPods => None,
            _ if groups.is_empty() => {
                // An injector that is down and ignores failures gives the Pod and its rendering the same: nothing.
                let lost: Vec<_> = rollout.sidecars.iter().filter(|name| !judged.sidecars.contains(name)).collect();
                match lost.first() {
                    None => converged(),
                    Some(_) if versions != rollout.versions => moved(),
                    Some(name) => Some((Outcome::NonConvergent, format!("the new Pods run without {name}"))),
                }
            }
            _ => {
                let by_hand = |d: &SidecarDifference| d.difference == Difference::MutatedLive;
                if groups.iter().flat_map(|g| &g.differences).all(by_hand) {
                    return converged();
                }
                if versions != rollout.versions {
                    return moved();
                }
                let differing: BTreeSet<_> = groups.iter().flat_map(|g| &g.pods).collect();
                let born = pods.iter().filter(|pod| differing.contains(&pod.key.name)).map(|pod| pod.created).min();
                let wanted = rollout.stamps.last().and_then(|stamp| stamp.fingerprint.as_deref());
                if rollout.adopted && wanted != Some(judged.target.as_str()) {
                    return Some((Outcome::Superseded, "the injector moved since it was started".to_owned()));
                }
                if let Some(clear) = in_doubt_until(&versions, born, context.view) {
                    self.defer_canary(key, clear, context.view);
                    self.mark_ineffective(key, clear, context);
                    let message = "the injector moved shortly before the new Pods were born, and gave them what it gave until then";
                    return Some((Outcome::Superseded, message.to_owned()));
                }
                Some(self.still_differs(key, workload, &groups, versions, context, emit))
            }
        }
    }

    /// The new Pods are not as rendered: the workload is locked, and nobody believes that rendering any more.
    fn still_differs(
        &mut self,
        key: &WorkloadKey,
        workload: &WorkloadSnapshot,
        groups: &[&PodGroup],
        versions: VersionVector,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) -> (Outcome, String) {
        let View { policy, index, now, .. } = context.view;
        let differences = || groups.iter().flat_map(|g| &g.differences);
        // One that the new Pods lack contradicts nothing: its injector may have been down.
        let otherwise = |d: &&SidecarDifference| !matches!(d.difference, Difference::Missing | Difference::MutatedLive);
        let new = |pod: &&Pod| self.running.get(key).is_none_or(|rollout| !rollout.before.contains(&pod.uid));
        let found = |name: &Name, group: &PodGroup| {
            let at = ObjectKey { namespace: key.namespace.clone(), name: name.clone() };
            let pod = index.pod(&at).filter(new)?;
            Some(ContradictingPod {
                pod: at,
                uid: pod.uid.clone(),
                born: pod.created,
                sidecars: group.differences.iter().filter(otherwise).map(|d| d.sidecar.clone()).collect(),
                evidence: format!("{key}, after our rollout"),
            })
        };
        let pods = groups.iter().flat_map(|group| group.pods.iter().filter_map(|name| found(name, group)));
        let contradiction = Contradiction { versions, pods: pods.collect() };
        let uid = workload.uid.clone();
        let (template, fields) = (workload.template.hash.clone(), verdict::fields(differences()));
        let lock = Lock { workload: key.clone(), template, fields, at: now.wall };
        let message = format!("the new Pods still differ: {}", verdict::change(groups.iter().copied()));
        emit.contradicted(contradiction);
        self.change_record(policy, |record| drop(record.locks.insert(uid, lock)));
        (Outcome::NonConvergent, message)
    }

    /// Its Pods were replaced for nothing, because we were too early: it may be tried once more when that is over, whatever the
    /// cool-down says. The daily cap counts it as ever, and a process that begins anew does not know and waits.
    fn mark_ineffective(&mut self, key: &WorkloadKey, until: Timestamp, context: Context<'_>) {
        let now = context.view.now;
        let stamp = self.running.get(key).and_then(|rollout| rollout.stamps.last()).map(|stamp| stamp.timestamp);
        let entry = self.ledger.entry(key);
        entry.ineffective_until = entry.ineffective_until.max(stamp);
        let rest = Duration::try_from(until.duration_since(now.wall)).unwrap_or_default();
        entry.backoff_until = entry.backoff_until.max(now.elapsed + rest);
    }

    pub(super) fn end(
        &mut self,
        key: &WorkloadKey,
        outcome: Outcome,
        message: String,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        let Some(mut rollout) = self.running.remove(key) else { return };
        let View { index, now, .. } = context.view;
        rollout.message = message;
        let report = rollout.report(key, Some(outcome), now);
        let replaced = rollout.timed_out.then_some(Outcome::TimedOut);
        let converged = (outcome == Outcome::Converged).then(|| rollout.clone());
        // What was done to another one of the same name says nothing of this one.
        if index.workload(key).is_none_or(|w| w.uid == rollout.uid) {
            self.ledger.entry(key).ended = true;
            if matches!(outcome, Outcome::Denied | Outcome::Conflict) && rollout.phase != Phase::Rolling {
                self.refund_and_back_off(key, &rollout, context);
            } else {
                let entry = self.ledger.entry(key);
                entry.backoff_until = entry.backoff_until.max(now.elapsed + QUIET);
                if let Some(stamp) = rollout.stamps.pop() {
                    entry.ended_stamp = Some(stamp.clone());
                    entry.remember(Attempt { stamp, template: rollout.template.clone() });
                }
            }
        }
        match (outcome, converged) {
            (_, Some(rollout)) => self.begin_soak(key, rollout, context.view),
            (Outcome::Failed, None) => self.close_causes(key, &report.message, context.view),
            _ => self.remove_canary(key, context.view),
        }
        emit.recheck(key);
        self.schedule.request();
        let counted = if outcome == Outcome::Stalled && rollout.blocked { Outcome::TimedOut } else { outcome };
        if rollout.foreign {
            emit.invalidate_report(key);
        } else {
            self.report_end(report, key, replaced, counted, context, emit);
        }
        self.forget_if_left(key, context);
    }

    /// Nothing is remembered of a workload that is gone, or not looked at any more.
    pub(super) fn forget_if_left(&mut self, key: &WorkloadKey, context: Context<'_>) {
        if context.view.covered(key).is_none() {
            self.ledger.forget(key);
        }
    }

    /// Tells of an outcome and lets the breaker see it; of one rollout it sees but one. `replaced`: what was told before, of
    /// one that was late, or converged and did not stay well; `counted`: what the breaker takes it for.
    pub(super) fn report_end(
        &mut self,
        report: RolloutReport,
        key: &WorkloadKey,
        replaced: Option<Outcome>,
        counted: Outcome,
        context: Context<'_>,
        emit: &mut Emitter<'_>,
    ) {
        let View { policy, now, .. } = context.view;
        let Some(outcome) = report.outcome else { return };
        emit.notify(Notice::RolloutEnded {
            workload: key.clone(),
            outcome,
            message: report.message.clone(),
            seconds: report.seconds,
        });
        let tried = Tried::new(report.started, "", policy.one_shot).ended(outcome);
        emit.ended(report);
        let uid = context.view.index.workload(key).map(|w| w.uid.clone());
        let seen = replaced.is_some_and(breaker::is_bad) && breaker::is_bad(counted);
        let mut opened = Vec::new();
        let begun = self.starts.stamps_of(key, now);
        self.change_record(policy, |record| {
            record.register_starts(key, begun, now.wall);
            if let Some(uid) = uid {
                record.attempts.note(&uid, tried, now.wall);
            }
            if seen {
                return;
            }
            if let Some(replaced) = replaced {
                breaker::forget(record, replaced, key);
            }
            opened = breaker::saw(record, counted, key, now.wall);
        });
        for Opened { namespace, reason } in opened {
            emit.notify(Notice::BreakerOpened { workload: key.clone(), namespace, reason, at: now.wall });
        }
    }
}

/// Some Pod of it crashes now, new or old.
pub(super) fn crashes_now(workload: &WorkloadSnapshot, view: View<'_>) -> bool {
    let crashes = |class: PodClass<'_>| class.state.crashing && !class.state.terminating;
    view.index.pod_classes_of(workload).any(crashes)
}

/// New Pods that differ say nothing against their rollout when the injector may have given them what it gave before a
/// move. Until when that is so of new Pods; `None`: of these it is not.
fn in_doubt_until(versions: &VersionVector, born: Option<Timestamp>, view: View<'_>) -> Option<Timestamp> {
    let now = view.now;
    let ago = now.elapsed.saturating_sub(view.injection.unsettled_since(versions)?);
    let age = now.since(born?);
    let left = SignedDuration::try_from(LONGEST_LAG.saturating_sub(ago)).ok()?;
    (age + LONGEST_LAG > ago).then(|| now.wall.checked_add(left).unwrap_or(now.wall))
}

/// How many Pods of the new revision there will be.
fn expected(workload: &WorkloadSnapshot) -> usize {
    workload.counts.desired.saturating_sub(rollout_status::partition(workload)) as usize
}
