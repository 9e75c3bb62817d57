//! Making verdicts of the answers to renderings.

use std::{
    hash::{DefaultHasher, Hash, Hasher},
    sync::Arc,
    time::Duration,
};

use crate::core::{
    compare::{self, Mask, Rendering, SidecarSelection},
    injection::{scope::Vector, unannounced_changes},
    io::{Notice, RenderOutcome, RenderReply},
    model::{
        Name, WorkloadKey,
        time::Now,
        words::{UndeterminedReason, Verdict},
    },
    render::{dispatch::READ_AGAIN, queue::Priority, render_throttle},
    step::Core,
    verdict::{
        case::{Failure, Judged, RenderSet, Requested, Work},
        judge::{self, Birth, Evidence, Want},
    },
};

/// The first retry after a failed rendering; each further one waits twice as long.
const FIRST_RETRY: Duration = Duration::from_secs(5);
/// The longest wait between retries.
const LAST_RETRY: Duration = Duration::from_mins(10);
/// A `Retry-After` beyond this is a mistake of somebody's, and would leave us blind.
const LONGEST_RETRY_AFTER: Duration = Duration::from_hours(1);

impl Core {
    /// Whether this workload is looked at at all. What backs an injector is watched wherever it is, but not its Pods.
    pub(in crate::core) fn covered(&self, key: &WorkloadKey) -> bool {
        self.index.watches_pods_of(&key.namespace)
            && self.policy.kinds.contains(&key.kind)
            && self.takes_namespace(&key.namespace)
            && self.index.workload(key).is_none_or(|w| self.policy.filter.takes(w))
            && self.policy.only.as_ref().is_none_or(|(kind, name)| *kind == key.kind && *name == key.name)
    }

    pub(in crate::core) fn takes_namespace(&self, namespace: &str) -> bool {
        let labels = self.index.namespace(namespace).map(|ns| &ns.labels);
        self.policy.filter.takes_namespace(namespace, labels)
    }

    pub(in crate::core) fn assess_dirty(&mut self, now: Now) {
        if !self.started {
            return;
        }
        for key in std::mem::take(&mut self.dirty) {
            if self.index.workload(&key).is_some() && self.covered(&key) {
                self.assess(&key, now);
                self.adopt_one(&key, now);
                self.touch(&key);
            } else {
                self.forget(&key);
            }
        }
    }

    pub(in crate::core) fn forget(&mut self, key: &WorkloadKey) {
        self.work.remove(key);
        self.queue.cancel(key);
        self.read_ahead.remove(key);
        self.touch(key);
        self.replan |= self.candidates.remove(key);
    }

    fn assess(&mut self, key: &WorkloadKey, now: Now) {
        let Some(workload) = self.index.workload(key) else { return };
        let lock = self.lock(workload);
        let work = self.work.entry(key.clone()).or_default();
        work.lock = lock.map(Box::new);
        let evidence = Evidence {
            workload,
            index: &self.index,
            generations: &self.generations,
            work,
            policy: &self.policy,
            truth: &self.truth,
            targets: &self.targets,
            now,
        };
        let mut assessment = judge::judge(evidence);
        if let Some(birth) = assessment.birth.take()
            && let Some(set) = &work.set
        {
            let vector = set.vector.clone();
            match birth {
                Birth::Agrees(born, sidecars) => self.truth.agree(&vector, &sidecars, born),
                Birth::Contradicts(pod, born, sidecars) => {
                    if self.truth.contradict(&vector, &sidecars, born, &format!("Pod {}/{pod}", key.namespace)) {
                        // Everything in these scopes is seen in another light now.
                        let touched =
                            |w: &Work| w.set.as_ref().is_some_and(|s| s.vector.keys().any(|k| vector.contains_key(k)));
                        let others = self.work.iter().filter(|(other, w)| *other != key && touched(w));
                        self.looks.extend(others.map(|(key, _)| (now.elapsed, key.clone())));
                    }
                }
            }
        }
        if let Some(sidecar) = assessment.unwitnessed.take() {
            self.call_a_witness(key, &sidecar, now);
        }
        let Some(work) = self.work.get_mut(key) else { return };
        let asking = work.request.is_some();
        work.adding = matches!(assessment.want, Want::Another(_));
        let priority = match &work.set {
            None => Priority::Changed,
            Some(set) if work.adding && set.renderings.len() == 1 => Priority::Second,
            Some(_) => Priority::Moved,
        };
        let confirmed = work.set.as_ref().map(|set| set.confirmed.elapsed);
        let settling = assessment.judged.reason == Some(UndeterminedReason::Settling);
        self.judged(key, assessment.judged, now);
        match assessment.want {
            Want::Render(due) if !asking && settling => {
                self.queue.settle(key, due.max(now.elapsed), priority, now.elapsed);
            }
            Want::Render(due) | Want::Another(due) if !asking => {
                self.queue.schedule(key, due.max(now.elapsed), priority, now.elapsed);
            }
            Want::Periodic if !asking => {
                let due = confirmed.unwrap_or(now.elapsed) + self.jittered(self.policy.resync, key);
                self.queue.schedule(key, due, Priority::Periodic, now.elapsed);
            }
            Want::Nothing | Want::Look(_) => self.queue.drop_wish(key),
            Want::Render(_) | Want::Another(_) | Want::Periodic => {}
        }
        self.look_again(key, if let Want::Look(at) = assessment.want { Some(at) } else { None });
    }

    /// Looks at a workload again then, and at no other time that was wanted before.
    fn look_again(&mut self, key: &WorkloadKey, at: Option<Duration>) {
        let Some(work) = self.work.get_mut(key) else { return };
        let before = std::mem::replace(&mut work.look, at);
        if before != at {
            before.map(|before| self.looks.remove(&(before, key.clone())));
            self.looks.extend(at.map(|at| (at, key.clone())));
        }
    }

    /// Takes a verdict in.
    pub(in crate::core) fn judged(&mut self, key: &WorkloadKey, judged: Judged, now: Now) {
        let Some(work) = self.work.get_mut(key) else { return };
        if judged.differs() {
            work.first_seen.get_or_insert(now.wall);
        } else if judged.reason.is_none() {
            work.first_seen = None;
            work.causes.clear();
        }
        if judged.reason == Some(UndeterminedReason::Rolling) {
            work.rolling = Some(now.elapsed);
        }
        let candidate = judged.differs() || (self.policy.regardless_of_drift && judged.is_cured());
        let changed = work.judged != judged;
        // One that differs in another way than before is news, too.
        let news = (judged.verdict, judged.change.clone());
        let notice = (!judged.passing() && work.told.as_ref() != Some(&news)).then(|| {
            let from = work.told.replace(news);
            Notice::VerdictChanged {
                workload: key.clone(),
                from: from.map_or(Verdict::Undetermined, |(verdict, _)| verdict),
                to: judged.verdict,
                reason: judged.reason,
                change: judged.change.clone(),
            }
        });
        work.judged = judged;
        if !candidate {
            work.gate = None;
            work.gate_in_enforce = None;
        }
        self.replan |= changed && (candidate || self.candidates.contains(key));
        if candidate {
            self.candidates.insert(key.clone());
        } else {
            self.replan |= self.candidates.remove(key);
        }
        if let Some(notice) = notice {
            self.tell(notice);
        }
        self.touch(key);
    }

    /// `span` ± 20 %, the same for the same workload in one process.
    fn jittered(&self, span: Duration, key: &WorkloadKey) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.seed, key).hash(&mut hasher);
        let thousandths = u32::try_from(hasher.finish() % 401).unwrap_or(0);
        span * (800 + thousandths) / 1000
    }

    /// Whether renderings are asked for. Whoever stops a rollout that a person watches still sees whether the new Pods are
    /// as they should be; what the daemon leaves, the next replica looks at.
    pub(in crate::core) fn renders_now(&self) -> bool {
        self.leader && self.started && (!self.stopping || (self.policy.one_shot && self.rolling()))
    }

    /// Takes the answer to a rendering in.
    pub(in crate::core) fn rendered(&mut self, reply: RenderReply, now: Now) {
        let RenderReply { ticket, took, outcome, confirmation } = reply;
        let (asked, most) = (self.asked.remove(&ticket), self.policy.renders_in_flight);
        if let Some(asked) = &asked {
            for scope in self.pace.came_back(asked, took, most, now.elapsed) {
                self.tell(Notice::InjectorSlow { scope: scope.to_string(), seconds: render_throttle::REST.as_secs() });
            }
        }
        if let RenderOutcome::Undetermined { reason: UndeterminedReason::Throttled, retry_after, .. } = &outcome {
            let sent = asked.map_or(now.elapsed, |asked| asked.sent);
            self.pace.refused(*retry_after, sent, most, now.elapsed);
        }
        for (scope, limit) in self.pace.take_news() {
            self.tell(Notice::RenderLimit { scope: scope.map(|scope| scope.to_string()), limit });
        }
        let Some(key) = self.tickets.remove(&ticket) else { return };
        let Some(work) = self.work.get_mut(&key) else { return };
        let Some(request) = work.request.take_if(|r| r.ticket == ticket) else { return };
        work.renders += 1;
        self.dirty.insert(key.clone());
        let read = confirmation.is_some();
        if let Some(confirmation) = confirmation {
            self.confirmed_workload(&key, *confirmation, now);
        }
        let holds = self.still_holds(&key, &request);
        if holds {
            self.take_outcome(&key, &request, outcome, now);
        }
        if request.confirm {
            self.confirmed(&key, holds, read, now);
        } else if self.rollouts.get(&key).is_some_and(crate::core::rollout::Rollout::confirming) {
            // The confirmation found this request under way.
            self.queue.schedule(&key, now.elapsed, Priority::Confirm, now.elapsed);
        }
        if self.rollouts.get(&key).is_some_and(crate::core::rollout::Rollout::unread) {
            self.queue.schedule(&key, now.elapsed + READ_AGAIN, Priority::Confirm, now.elapsed);
        }
    }

    /// Whether what was asked is still the question: same revision, nothing moved since (rule R9).
    fn still_holds(&self, key: &WorkloadKey, request: &Requested) -> bool {
        let Some(workload) = self.index.workload(key) else { return false };
        judge::current(workload, &self.index).is_some_and(|(revision, _)| revision.object == request.revision)
            && self.generations.vector(workload, &self.index) == request.vector
    }

    fn take_outcome(&mut self, key: &WorkloadKey, request: &Requested, outcome: RenderOutcome, now: Now) {
        let Some(work) = self.work.get_mut(key) else { return };
        let mut fail = |reason, message, after: Option<Duration>| {
            let backoff = FIRST_RETRY.saturating_mul(1 << work.failures.min(10)).min(LAST_RETRY);
            let wait = backoff.max(after.unwrap_or_default().min(LONGEST_RETRY_AFTER));
            work.failures = work.failures.saturating_add(1);
            work.failure = Some(Box::new(Failure {
                revision: request.revision.clone(),
                vector: request.vector.clone(),
                reason,
                message,
                retry: now.elapsed + wait,
            }));
        };
        match outcome {
            RenderOutcome::Rendered(mut rendering) => {
                self.index.share(&mut rendering);
                work.failure = None;
                work.failures = 0;
                let selection = SidecarSelection { named: self.policy.sidecars.clone() };
                self.injected.extend(selection.sidecars(&rendering, None));
                let injected = compare::injected(&rendering.template, &rendering.rendered);
                self.truth.saw(&request.vector, &injected, now.elapsed);
                if let Some(old) = work.set.as_ref().map(|set| set.vector.clone()) {
                    if let Some(cause) = self.generations.cause(&old, &request.vector) {
                        work.cause = Some(cause.cause.clone());
                    }
                    work.moved(&old, &request.vector);
                }
                let vector = self.generations.share(&request.vector);
                let moved = add_rendering(work, &request.revision, &vector, rendering, now);
                if let Some(unstable) = work.set.as_ref().and_then(|set| set.unstable.clone()) {
                    self.truth.wavered(&request.vector, &unstable, key, now.elapsed);
                    // What looked like drift of others may be the same wavering.
                    self.dirty.extend(self.candidates.iter().cloned());
                }
                if moved {
                    self.noticed_change(key, &request.vector, now);
                }
            }
            // A refusal is the API server's word on the matter; asked again seldom.
            RenderOutcome::Rejected { message } => fail(None, message, None),
            RenderOutcome::Undetermined { reason, message, retry_after } => fail(Some(reason), message, retry_after),
            RenderOutcome::Gone => {
                let message = "the workload or its revision is gone".to_owned();
                fail(Some(UndeterminedReason::ApiError), message, None);
            }
        }
    }
}

/// Adds a rendering to a workload's set, or begins a new set with it. Returns whether it shows that an injector moved
/// without a word.
fn add_rendering(work: &mut Work, revision: &Name, vector: &Arc<Vector>, rendering: Rendering, now: Now) -> bool {
    let set = work.set.take().filter(|set| set.revision == *revision && set.vector == *vector);
    let fresh = |rendering| RenderSet {
        revision: revision.clone(),
        vector: vector.clone(),
        renderings: vec![rendering],
        mask: Mask::default(),
        unstable: None,
        first: now,
        confirmed: now,
    };
    let Some(mut set) = set else {
        work.set = Some(fresh(rendering));
        return false;
    };
    // One more look at what differs (rule R8), or at what would not settle.
    let more = work.adding;
    let between: Result<Vec<Mask>, _> = set.renderings.iter().map(|r| compare::volatile(r, &rendering)).collect();
    // Two that agree after one that differed: no volatile field, the injector moved after the first.
    let settled = |masks: &[Mask]| {
        masks.len() == 2 && masks.last().is_some_and(Mask::is_empty) && masks.first().is_some_and(|m| !m.is_empty())
    };
    match between {
        Ok(masks) if more && settled(&masks) => {
            let last = set.renderings.pop();
            let moved = last.as_ref().is_some_and(|last| unannounced_changes::injects_as_much(last, &rendering));
            let renderings = last.into_iter().chain([rendering]).collect();
            work.set = Some(RenderSet { renderings, mask: Mask::default(), unstable: None, confirmed: now, ..set });
            return moved;
        }
        Ok(masks) if more => {
            for mask in masks {
                set.mask.merge(mask);
            }
            set.renderings.push(rendering);
            set.unstable = None;
        }
        Err(unstable) if more => {
            let last = set.renderings.pop();
            set.renderings = last.into_iter().chain([rendering]).collect();
            set.unstable = Some(unstable.into());
        }
        // Nothing new.
        Ok(masks) if masks.iter().all(|mask| within(mask, &set.mask)) => {}
        // The injector changed and nothing told us: begin again.
        Ok(_) | Err(_) => {
            let moved =
                set.renderings.last().is_some_and(|last| unannounced_changes::injects_as_much(last, &rendering));
            work.set = Some(fresh(rendering));
            return moved;
        }
    }
    set.confirmed = now;
    work.set = Some(set);
    false
}

/// Whether `mask` hides nothing that `known` does not.
fn within(mask: &Mask, known: &Mask) -> bool {
    let mut both = known.clone();
    both.merge(mask.clone());
    both == *known
}
