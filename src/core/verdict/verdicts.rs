//! One case for each workload, and the verdict on it.

use std::{
    collections::{BTreeMap, BTreeSet},
    hash::{DefaultHasher, Hash, Hasher},
    time::Duration,
};

use super::{
    absences::Absences,
    admission_evidence::{AdmissionEvidence, ContradictingPod, News},
    affected::Affected,
    assess,
    case::Case,
    evidence::{Evidence, ObservedPod, Want},
    judged::Judged,
    trouble::Trouble,
    waiting::Waiting,
};
use crate::core::{
    compare::{RenderedFor, Targets},
    injection::{KeptRenderings, Scope, ScopeChanges, VectorPool, VersionVector, View},
    inventory::{Change, Changes, Index, revisions},
    io::{Notice, Outbox, StateRecord},
    model::{
        Name, ObjectKey, Uid, WorkloadKey, WorkloadSnapshot,
        time::Now,
        words::{UndeterminedReason, Verdict},
    },
    render::{Priority, Renders, SLOW_INJECTOR_BUDGET, Wish},
};

/// A move of an injector affects every workload there is. So many are judged before anybody else gets a turn.
const JUDGED_AT_ONCE: usize = 256;

/// Where a workload stands after it was looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standing {
    /// It differs, or a person wants it restarted all the same.
    Candidate,
    /// Nothing is to be done about it.
    Settled,
    /// It is gone, or not looked at any more: nothing that is remembered of it means anything.
    Left,
}

/// What came of looking at one workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Judgement {
    /// Which one.
    pub key: WorkloadKey,
    /// Where it stands.
    pub standing: Standing,
    /// The plan may be another because of it.
    pub replan: bool,
    /// What it takes to know more of it.
    pub wish: Wish,
    /// Of which revision, where it is not the current one.
    pub revision: Option<Name>,
}

/// Real Pods that a rollout made, and that are not as rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// What their rendering depends on.
    pub versions: VersionVector,
    /// Which they are, and how.
    pub pods: Vec<ContradictingPod>,
}

/// All cases, and what they say together about admission.
#[derive(Debug, Default)]
pub struct Verdicts {
    /// Boxed, because half of a tree's places are empty.
    pub(super) cases: BTreeMap<WorkloadKey, Box<Case>>,
    /// Workloads to judge, as soon as their turn comes.
    pub(super) affected: Affected,
    /// Workloads to judge again then.
    pub(super) rechecks: BTreeSet<(Duration, WorkloadKey)>,
    /// Workloads that differ.
    pub(super) candidates: BTreeSet<WorkloadKey>,
    /// Names of containers that admission was seen to inject.
    pub(super) injected: BTreeSet<Name>,
    pub(super) admission: AdmissionEvidence,
    /// Which target fingerprint goes with which sidecars.
    pub(super) targets: Targets,
    pub(super) absences: Absences,
    /// Workloads whose renderings come to nothing, by why.
    pub(super) failing: Waiting<Trouble>,
    /// Workloads to be rendered, to tell whether what others lack is given.
    pub(super) asked_again: BTreeSet<WorkloadKey>,
    /// Who was looked at last for a witness.
    pub(super) witness_asked: Option<WorkloadKey>,
    pub(super) vectors: VectorPool,
    /// Spreads the periodic looks; any number.
    pub(super) seed: u64,
}

impl Verdicts {
    /// No workload is known.
    pub fn new(seed: u64) -> Self {
        Self { seed, ..Self::default() }
    }

    /// These workloads are to be judged again.
    pub fn mark(&mut self, keys: impl IntoIterator<Item = WorkloadKey>) {
        self.affected.mark_many(keys);
    }

    /// Every workload is to be judged again.
    pub fn mark_all(&mut self, index: &Index) {
        self.affected.mark_many(index.workloads().map(|(key, _)| key.clone()));
    }

    /// Marks the workloads whose verdict may be another by these changes. Returns those that are new under an old name:
    /// nothing that is remembered is about them.
    pub fn mark_affected(
        &mut self,
        changes: &Changes,
        scopes: &mut ScopeChanges,
        index: &Index,
        out: &mut Outbox,
    ) -> Vec<WorkloadKey> {
        let mut replaced = Vec::new();
        let goes = |change: &Change| matches!(change, Change::Pod { old: Some(_), .. });
        if !self.admission.is_uncontradicted() && changes.list.iter().any(goes) {
            self.forget_pods(index);
        }
        for change in &changes.list {
            match change {
                Change::Pod { old, new } => {
                    let owners = [old, new].into_iter().flatten().filter_map(|pod| index.workload_of(pod)).cloned();
                    owners.for_each(|owner| self.affected.mark(owner));
                }
                Change::Workload { old, key } => {
                    self.affected.mark(key.clone());
                    out.invalidate_report(key);
                    let another = old.as_deref().zip(index.workload(key)).is_some_and(|(old, new)| old.uid != new.uid);
                    if another {
                        self.forget(key, out);
                        replaced.push(key.clone());
                    }
                }
                Change::ReplicaSet { owner } => {
                    if let Some(key) = owner.as_ref().and_then(|uid| index.workload_with_uid(uid)) {
                        self.affected.mark(key.clone());
                    }
                }
                Change::Namespace { old, name } => {
                    self.affected.mark_many(index.workloads_in(name).map(|w| w.key.clone()));
                    // Which of its workloads are looked at may be another question now, also before anything is judged.
                    let (old, new) = (old.as_ref(), index.namespace(name));
                    if old.map(|ns| (&ns.labels, &ns.says)) != new.map(|ns| (&ns.labels, &ns.says)) {
                        index.workloads_in(name).for_each(|w| out.invalidate_report(&w.key));
                    }
                }
                Change::Injector { .. } => self.mark_all(index),
                Change::Node { .. }
                | Change::DisruptionBudget
                | Change::Endpoints { .. }
                | Change::Service { .. }
                | Change::Config { .. }
                | Change::Trigger { .. } => {}
            }
        }
        if changes.visibility {
            self.mark_all(index);
        }
        self.follow_scopes(scopes);
        replaced
    }

    /// Marks the workloads that scope changes affect.
    pub fn follow_scopes(&mut self, scopes: &mut ScopeChanges) {
        self.affected.mark_many(std::mem::take(&mut scopes.affected));
        for scope in &scopes.gone {
            self.admission.forget(scope);
        }
    }

    /// Marks the workloads whose time has come.
    pub fn mark_due(&mut self, resync: Duration, now: Now) {
        self.retry_due(resync, now.elapsed);
        while self.rechecks.first().is_some_and(|(at, _)| *at <= now.elapsed) {
            let Some((at, key)) = self.rechecks.pop_first() else { return };
            if let Some(case) = self.cases.get_mut(&key) {
                case.recheck.take_if(|recheck| *recheck == at);
            }
            self.affected.mark(key);
        }
    }

    /// Judges the workloads that are affected, so many that the step stays short; the others are judged in the next one, which
    /// is asked for at once. `record` lends the locks.
    pub fn judge(
        &mut self,
        view: View<'_>,
        renders: &Renders,
        record: Option<&StateRecord>,
        out: &mut Outbox,
    ) -> Vec<Judgement> {
        if !view.lifecycle.started {
            return Vec::new();
        }
        let mut judged = Vec::new();
        while judged.len() < JUDGED_AT_ONCE
            && let Some(key) = self.affected.pop()
        {
            judged.push(match view.covered(&key) {
                Some(workload) => self.judge_one(workload, view, renders, record, out),
                None => self.forget(&key, out),
            });
        }
        judged
    }

    fn judge_one(
        &mut self,
        workload: &WorkloadSnapshot,
        view: View<'_>,
        renders: &Renders,
        record: Option<&StateRecord>,
        out: &mut Outbox,
    ) -> Judgement {
        let (key, now) = (&workload.key, view.now);
        let revisions = revisions(workload, view.index);
        let case = self.cases.entry(key.clone()).or_default();
        case.follow(workload, &revisions, now);
        let mut assessment = assess::assess(Evidence {
            workload,
            revisions: &revisions,
            index: view.index,
            injection: view.injection,
            case,
            lock: record.and_then(|record| record.lock(&workload.uid)),
            policy: view.policy,
            admission: &self.admission,
            absences: &self.absences,
            targets: &self.targets,
            now,
        });
        if let Some(observed) = assessment.observed.take() {
            self.learn_from_pod(key, observed, now);
        }
        self.follow_absence(&mut assessment, view, renders, key);
        let settling = assessment.judged.reason == Some(UndeterminedReason::Settling);
        let (standing, replan) = self.set_judged(key, assessment.judged, view, out);
        let next = self.jittered(view.policy.resync, key);
        let Some(case) = self.cases.get_mut(key) else { return Judgement::left(key.clone(), replan) };
        let adding = matches!(assessment.want, Want::Another(_));
        let current = revisions.first().map(|current| &current.name);
        let asked = assessment.revision.as_ref().or(current);
        let is_new = case.set().is_none();
        let without_pods = view.policy.one_shot && case.without_pods_since.is_some();
        let set = case.ask(asked, adding);
        let priority = match set {
            // Whose Pods are refused may be out of service: who looks once asks him first.
            _ if without_pods => Priority::Second,
            None if is_new => Priority::Changed,
            Some(set) if adding && set.renderings.len() == 1 => Priority::Second,
            Some(_) | None => Priority::Moved,
        };
        let wish = match assessment.want {
            Want::Render(due) if settling => Wish::Settle(due, priority),
            Want::Render(due) | Want::Another(due) => Wish::Render(due, priority),
            Want::Periodic => Wish::Periodic(set.map_or(now.elapsed, |set| set.confirmed.elapsed) + next),
            Want::Nothing | Want::Look(_) => Wish::Nothing,
        };
        self.recheck(key, if let Want::Look(at) = assessment.want { Some(at) } else { assessment.look });
        out.invalidate_report(key);
        Judgement { key: key.clone(), standing, replan, wish, revision: assessment.revision }
    }

    /// What a Pod says that a real controller made (rule R12).
    fn learn_from_pod(&mut self, key: &WorkloadKey, observed: ObservedPod, now: Now) {
        let Some(versions) = self.cases.get(key).and_then(|case| case.set()).map(|set| set.versions.clone()) else {
            return;
        };
        match observed {
            ObservedPod::Agrees(born, sidecars) => self.admission.agree(&versions, &key.namespace, &sidecars, born),
            ObservedPod::Contradicts(found) => self.contradict(&versions, &found, Some(key), now),
        }
    }

    /// A Pod is not as rendered: others that this concerns are seen in another light now.
    fn contradict(&mut self, versions: &VersionVector, found: &ContradictingPod, by: Option<&WorkloadKey>, now: Now) {
        let news = self.admission.contradict(versions, found);
        if news == News::None {
            return;
        }
        let concerned = |key: &WorkloadKey| news == News::Everywhere || key.namespace == found.pod.namespace;
        let touched = |case: &Case| case.set().is_some_and(|s| s.versions.keys().any(|k| versions.contains_key(k)));
        let others = self.cases.iter().filter(|(other, case)| Some(*other) != by && concerned(other) && touched(case));
        self.rechecks.extend(others.map(|(key, _)| (now.elapsed, key.clone())));
    }

    /// Pods are gone, and what they said of admission with them: who was not believed because of it is looked at again.
    fn forget_pods(&mut self, index: &Index) {
        let there = |pod: &ObjectKey, uid: &Uid| index.pod(pod).is_some_and(|pod| pod.uid == *uid);
        let scopes = self.admission.forget_pods(there);
        if scopes.is_empty() {
            return;
        }
        let doubted = |case: &Case| case.judged.reason == Some(UndeterminedReason::DryRunSensitive);
        let touched = |case: &Case| case.set().is_some_and(|s| s.versions.keys().any(|scope| scopes.contains(scope)));
        let others = self.cases.iter().filter(|(_, case)| doubted(case) && touched(case));
        self.affected.mark_many(others.map(|(key, _)| key.clone()).collect::<Vec<_>>());
    }

    /// The injectors of these workloads are too slow to be asked.
    pub fn throttled(&mut self, keys: &[WorkloadKey], view: View<'_>, out: &mut Outbox) {
        for key in keys {
            if self.cases.get(key).is_some_and(|case| case.judged.is_transient()) {
                let why = "its injector answers slowly, and real Pods come first";
                let minutes = SLOW_INJECTOR_BUDGET.as_secs() / 60;
                let once = format!("{why}; a command that looks once waits {minutes} minutes at most");
                let why = if view.policy.one_shot { once } else { why.to_owned() };
                let judged = Judged::undetermined(UndeterminedReason::Throttled, Some(why));
                self.set_judged(key, judged, view, out);
            }
        }
    }

    /// What a rollout found out.
    pub fn learn(&mut self, contradiction: &Contradiction, now: Now) {
        for found in &contradiction.pods {
            self.contradict(&contradiction.versions, found, None, now);
        }
    }

    /// Takes a verdict in. Returns where the workload stands, and whether the plan may be another.
    fn set_judged(&mut self, key: &WorkloadKey, judged: Judged, view: View<'_>, out: &mut Outbox) -> (Standing, bool) {
        let Some(case) = self.cases.get_mut(key) else { return (Standing::Left, false) };
        if judged.differs() {
            case.first_seen.get_or_insert(view.now.wall);
        } else if judged.reason.is_none() {
            case.first_seen = None;
            case.causes.clear();
        }
        if judged.reason == Some(UndeterminedReason::Rolling) {
            case.rolling = Some(view.now.elapsed);
        }
        let candidate = judged.differs() || (view.policy.regardless_of_drift && judged.is_cured());
        let changed = case.judged != judged;
        // One that differs in another way than before is news, too.
        let news = (judged.verdict, judged.change.clone());
        if !judged.is_transient() && case.last_notified.as_ref() != Some(&news) {
            let from = case.last_notified.replace(news);
            out.notify(Notice::VerdictChanged {
                workload: key.clone(),
                from: from.map_or(Verdict::Undetermined, |(verdict, _)| verdict),
                to: judged.verdict,
                reason: judged.reason,
                change: judged.change.clone(),
            });
        }
        case.judged = judged;
        out.invalidate_report(key);
        let was = self.candidates.contains(key);
        if candidate && !was {
            self.candidates.insert(key.clone());
        } else if !candidate && was {
            self.candidates.remove(key);
        }
        let standing = if candidate { Standing::Candidate } else { Standing::Settled };
        // One that became a candidate, or is none any more, changed, too.
        let replan = if candidate { changed } else { was };
        (standing, replan)
    }

    /// Judges a workload again then, and at no other time that was wanted before.
    fn recheck(&mut self, key: &WorkloadKey, at: Option<Duration>) {
        let Some(case) = self.cases.get_mut(key) else { return };
        let before = std::mem::replace(&mut case.recheck, at);
        if before != at {
            before.map(|before| self.rechecks.remove(&(before, key.clone())));
            self.rechecks.extend(at.map(|at| (at, key.clone())));
        }
    }

    /// `span` ± 20 %, the same for the same workload in one process.
    pub(super) fn jittered(&self, span: Duration, key: &WorkloadKey) -> Duration {
        let mut hasher = DefaultHasher::new();
        (self.seed, key).hash(&mut hasher);
        let thousandths = u32::try_from(hasher.finish() % 401).unwrap_or(0);
        span * (800 + thousandths) / 1000
    }

    fn forget(&mut self, key: &WorkloadKey, out: &mut Outbox) -> Judgement {
        if let Some(case) = self.cases.remove(key) {
            case.recheck.map(|at| self.rechecks.remove(&(at, key.clone())));
            self.forget_troubles(key, &case);
        }
        self.absences.leave(key);
        out.invalidate_report(key);
        Judgement::left(key.clone(), self.candidates.remove(key))
    }

    /// What is remembered of a workload.
    pub fn case(&self, key: &WorkloadKey) -> Option<&Case> {
        self.cases.get(key).map(|case| &**case)
    }

    /// Whom the newest rendering of a revision of a workload is for.
    pub fn rendered_for(&self, key: &WorkloadKey, revision: &Name) -> RenderedFor {
        self.case(key).and_then(|case| Some(RenderedFor::of(case.set_of(revision)?.newest()?))).unwrap_or_default()
    }

    /// All that is remembered.
    pub fn cases(&self) -> impl Iterator<Item = &Case> {
        self.cases.values().map(|case| &**case)
    }

    /// What is known of a workload.
    pub fn judged(&self, key: &WorkloadKey) -> Option<&Judged> {
        self.case(key).map(Case::judged)
    }

    /// The workloads that differ.
    pub fn candidates(&self) -> &BTreeSet<WorkloadKey> {
        &self.candidates
    }

    /// Names of containers that admission was seen to inject.
    pub fn injected(&self) -> &BTreeSet<Name> {
        &self.injected
    }

    /// Whether something is to be judged that was not, yet.
    pub fn has_affected(&self) -> bool {
        !self.affected.is_empty()
    }

    /// Whether this workload is to be judged, and was not, yet.
    pub fn is_affected(&self, key: &WorkloadKey) -> bool {
        self.affected.contains(key)
    }

    /// When some workload is to be judged again though nothing happens.
    pub fn next_recheck(&self) -> Option<Duration> {
        let again = [self.absences.next(), self.failing.next()];
        self.rechecks.first().map(|(at, _)| *at).into_iter().chain(again.into_iter().flatten()).min()
    }

    /// Entries of every map: what must not grow with what is gone.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 7] {
        let Self { cases, affected, rechecks, candidates, admission, absences, failing, .. } = self;
        let all = [cases.len(), affected.len(), rechecks.len(), candidates.len()];
        let [cases, affected, rechecks, candidates] = all;
        [cases, affected, rechecks, candidates, admission.len(), absences.len(), failing.len()]
    }
}

impl KeptRenderings for Verdicts {
    fn rendered_under(&self, key: &WorkloadKey) -> Option<&VersionVector> {
        self.case(key).and_then(Case::rendered_under)
    }

    fn depends_on(&self, scope: &Scope) -> bool {
        self.vectors.has_scope(scope)
    }
}

impl Judgement {
    fn left(key: WorkloadKey, replan: bool) -> Self {
        Self { key, standing: Standing::Left, replan, wish: Wish::Nothing, revision: None }
    }
}
