//! From Pods and renderings to a verdict.

mod absence;
mod observed_pods;
mod unverifiable_revision;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
    time::Duration,
};

use self::{
    absence::{Unproven, unproven_absence},
    observed_pods::{agreeing, contradicting, newer_than_the_last_rendering},
};
use crate::core::injection::backends;
use crate::core::{
    compare::{self, Against, Comparison, IgnoreUse, SidecarSelection, Targets},
    config::{Mode, Policy},
    injection::scope::{self, Generations, Vector},
    inventory::{Index, Pod, on_delete},
    io::{WatchKind, WatchSource},
    model::{
        Name, Strategy, WorkloadSnapshot,
        owner::Kind,
        rollout_status,
        time::Now,
        words::{Difference, UndeterminedReason, Verdict},
    },
    verdict::{
        PodGroup,
        admission_evidence::Truth,
        case::{Judged, RenderSet, Work},
    },
};

/// What should happen next, so that the verdict gets better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing, also nothing that was wanted before: an event will bring it on.
    Nothing,
    /// Nothing but the periodic look.
    Periodic,
    /// Look again then, without asking the API server.
    Look(Duration),
    /// A rendering, not before then: the first one, or one that confirms what is known.
    Render(Duration),
    /// One more rendering for the set, not before then.
    Another(Duration),
}

/// A verdict and the way on from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// What is known.
    pub judged: Judged,
    /// What it takes to know more.
    pub want: Want,
    /// What a Pod that was born meanwhile says about the renderings (rule R12).
    pub birth: Option<Birth>,
    /// This sidecar is not rendered any more, and nobody was given it since (rule R7).
    pub unwitnessed: Option<Name>,
}

impl Assessment {
    fn new(judged: Judged, want: Want) -> Self {
        Self { judged, want, birth: None, unwitnessed: None }
    }
}

/// What a Pod says that a real controller created after the first rendering of a set, while nothing moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Birth {
    /// It, born then, has these sidecars as rendered.
    Agrees(jiff::Timestamp, BTreeSet<Name>),
    /// This Pod has these sidecars otherwise: admission treats dry runs, or us, differently.
    Contradicts(Name, jiff::Timestamp, BTreeSet<Name>),
}

/// The revision that a workload's Pods are judged against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The object that holds the template: a ReplicaSet's or ControllerRevision's name.
    pub object: Name,
}

/// The workload's current revision and those of its Pods that are of it and alive (rules R1, C8). `None`: not known
/// yet. A DaemonSet without Pods has an empty one: its newest, whatever that is called.
pub fn current<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> Option<(Revision, Vec<&'a Pod>)> {
    let mut pods = index.pods_of(w);
    pods.retain(|p| !p.state.terminating && !p.state.finished && !p.state.mirror);
    let object = match w.key.kind {
        kind if kind.has_replica_sets() => {
            let newest = index.newest_replica_set(w)?;
            pods.retain(|p| p.made.owner.as_ref().is_some_and(|o| o.uid == newest.uid));
            newest.key.name.clone()
        }
        // Which Pods are of it is not known one by one: see `made_of_others`.
        kind if kind.has_template_only() => w.template.identity(),
        _ if rollout_status::has_update_revision(w) => {
            let updated = pods.iter().any(|p| p.made.revision == w.update_revision);
            let revision = if updated { &w.update_revision } else { &w.current_revision };
            // Its controller never moves the current revision of one that waits for deletions.
            let youngest =
                pods.iter().max_by_key(|p| p.created).filter(|_| !updated && w.strategy == Strategy::OnDelete);
            let revision = youngest.map_or_else(|| revision.clone(), |pod| pod.made.revision.clone());
            pods.retain(|p| p.made.revision == revision);
            revision
        }
        _ => {
            // Without Pods nobody told us what its revision is called.
            let newest = pods.iter().max_by_key(|p| p.made.template_generation);
            let newest = newest.map(|p| (p.made.template_generation, &p.made.revision));
            // A template that was changed back is of a revision that older Pods are of, too: they stay as they are.
            pods.retain(|p| newest.is_some_and(|(at, of)| p.made.template_generation == at || p.made.revision == *of));
            pods.first().map_or_else(|| Name::from(""), |pod| on_delete::revision_of(w, pod))
        }
    };
    Some((Revision { object }, pods))
}

/// Everything that a verdict is made from.
#[derive(Clone, Copy, Debug)]
pub struct Evidence<'a> {
    /// The workload.
    pub workload: &'a WorkloadSnapshot,
    /// The cluster.
    pub index: &'a Index,
    /// What moved.
    pub generations: &'a Generations,
    /// What is remembered of the workload.
    pub work: &'a Work,
    /// The configuration.
    pub policy: &'a Policy,
    /// What reality said about renderings.
    pub truth: &'a Truth,
    /// What was said of other workloads with the same sidecars.
    pub targets: &'a Targets,
    /// The time.
    pub now: Now,
}

/// The verdict on one workload.
pub fn judge(e: Evidence<'_>) -> Assessment {
    let mut assessment = held(e, without_hold(e));
    let crashes = |pod: &&Pod| pod.state.crashing && !pod.state.terminating && !pod.state.finished;
    let pods = e.index.pods_of(e.workload);
    assessment.judged.crashing = pods.into_iter().filter(crashes).map(|pod| pod.key.name.clone()).collect();
    assessment
}

fn without_hold(e: Evidence<'_>) -> Assessment {
    let Evidence { workload: w, index, work, policy, now, .. } = e;
    let nothing = |judged| Assessment::new(judged, Want::Nothing);
    if let Some(why) = unwatchable(e) {
        return nothing(Judged::undetermined(UndeterminedReason::Forbidden, Some(why)));
    }
    if w.terminating {
        return nothing(Judged::plain(Verdict::NoPods));
    }
    if w.template.labels.is_empty() {
        // A template without labels owns no Pods.
        return nothing(Judged::undetermined(
            UndeterminedReason::UnsupportedOwner,
            Some(unverifiable_revision::no_template(w)),
        ));
    }
    if rollout_status::exchanging(w) {
        let why = unverifiable_revision::untold(w).or_else(|| on_delete::pinned(w, index));
        return nothing(Judged::undetermined(UndeterminedReason::Rolling, why));
    }
    if let Some(rolling) = work.rolling.filter(|at| now.elapsed < *at + policy.min_pod_age) {
        let judged = Judged::undetermined(UndeterminedReason::Settling, Some("its rollout just ended".to_owned()));
        return Assessment::new(judged, Want::Look(rolling + policy.min_pod_age));
    }
    let Some((revision, mut all)) = current(w, index) else {
        let none = index.pods_of(w).is_empty();
        let pending = || Judged::undetermined(UndeterminedReason::Pending, None);
        return nothing(if none { Judged::plain(Verdict::NoPods) } else { pending() });
    };
    if let Some(pod) = all.iter().find(|pod| pod.state.undecodable) {
        let why = format!("what the API server sent of Pod {} cannot be decoded", pod.key.name);
        return nothing(Judged::undetermined(UndeterminedReason::ApiError, Some(why)));
    }
    if let Some(why) = unverifiable_revision::made_of_others(w, &all) {
        return nothing(Judged::undetermined(UndeterminedReason::Rolling, Some(why)));
    }
    let alike: Vec<_> = on_delete::alike(w, index, &work.templates).collect();
    if !alike.is_empty() {
        let known: BTreeSet<_> = all.iter().copied().map(|pod| &pod.uid).collect();
        all.extend(alike.into_iter().filter(|pod| !known.contains(&pod.uid)));
    }
    let pods: Vec<_> = all.iter().copied().filter(|p| now.since(p.created) >= policy.min_pod_age).collect();
    let ripe =
        all.iter().map(|p| policy.min_pod_age.saturating_sub(now.since(p.created))).filter(|d| !d.is_zero()).min();
    let ripe = ripe.map(|left| Want::Look(now.elapsed + left));
    // Status and Pods come by different watches.
    if let Some(until) = work.rolling.map(|at| at + LONGEST_LAG).filter(|until| now.elapsed < *until)
        && unseen(w, &all)
    {
        let why = "its new Pods were not seen yet".to_owned();
        return Assessment::new(Judged::undetermined(UndeterminedReason::Settling, Some(why)), Want::Look(until));
    }
    if all.is_empty() && !policy.all_workloads {
        return nothing(Judged::plain(Verdict::NoPods));
    }
    if pods.is_empty() && !all.is_empty() {
        let judged = Judged::undetermined(UndeterminedReason::Settling, Some("its Pods were just created".to_owned()));
        return Assessment::new(judged, ripe.unwrap_or(Want::Nothing));
    }
    let vector = e.generations.vector(w, index);
    if let Some(failure) = work.failure.as_ref().filter(|f| f.revision == revision.object && f.vector == vector) {
        let judged = match failure.reason {
            Some(reason) => Judged::undetermined(reason, Some(failure.message.clone())),
            None => Judged { message: Some(failure.message.clone()), ..Judged::plain(Verdict::Rejected) },
        };
        let full = failure.reason == Some(UndeterminedReason::QuotaFull);
        if let Some(known) = full.then(|| still_known(e, &revision, &vector, &pods)).flatten() {
            return Assessment::new(known, Want::Render(failure.retry));
        }
        return Assessment::new(Judged { pods: pods.len(), ..judged }, Want::Render(failure.retry));
    }
    let Some(set) = work.set.as_ref().filter(|s| s.revision == revision.object && *s.vector == vector) else {
        return first_rendering(e, &vector);
    };
    if all.is_empty() {
        // It would come back, and there is nothing to compare it with.
        return Assessment::new(Judged::plain(Verdict::NoPods), Want::Periodic);
    }
    let assessment = compare_with(e, set, &pods);
    match (&assessment.want, ripe) {
        (Want::Periodic, Some(look)) => Assessment { want: look, ..assessment },
        _ => assessment,
    }
}

/// A full quota says nothing about what was rendered before it was full: what differs then, differs.
fn still_known(e: Evidence<'_>, revision: &Revision, vector: &Vector, pods: &[&Pod]) -> Option<Judged> {
    let set = e.work.set.as_ref().filter(|s| s.revision == revision.object && *s.vector == *vector)?;
    let judged = compare_with(e, set, pods).judged;
    judged.differs().then_some(Judged { quota_full: true, ..judged })
}

/// The status tells of Pods of the current template, and they are not among those that are known.
fn unseen(w: &WorkloadSnapshot, pods: &[&Pod]) -> bool {
    // A DaemonSet's template that was changed back and forth leaves its Pods older than it, and counts them as updated.
    let older = w.key.kind == Kind::DAEMON_SET && w.strategy != Strategy::OnDelete;
    let older = older && pods.iter().all(|pod| pod.made.template_generation < w.template_generation);
    w.counts.updated > 0 && (pods.is_empty() || older)
}

/// A watch that is behind another by more than this is not waited for.
const LONGEST_LAG: Duration = Duration::from_mins(5);

/// Rule R9: as long as an injector that may touch its Pods is being exchanged, no rendering of a workload is asked for.
fn held(e: Evidence<'_>, assessment: Assessment) -> Assessment {
    if !matches!(assessment.want, Want::Render(_) | Want::Another(_)) {
        return assessment;
    }
    let Some(why) = scope::injectors_of(e.workload, e.index).find_map(|i| backends::exchanging(i, e.index)) else {
        return assessment;
    };
    let judged = assessment.judged;
    let judged = if judged.passing() {
        let pods = judged.pods;
        Judged { pods, ..Judged::undetermined(UndeterminedReason::Settling, Some(why)) }
    } else {
        judged
    };
    Assessment { judged, want: Want::Nothing, ..assessment }
}

/// No rendering holds: when to ask for one.
fn first_rendering(e: Evidence<'_>, vector: &Vector) -> Assessment {
    let Evidence { workload: w, index, policy, now, .. } = e;
    // Rule R5: such a webhook makes the API server refuse every dry run, or, worse, leaves the Pod silently alone.
    let refusing = scope::injectors_of(w, index).find(|i| i.entries.iter().any(|entry| entry.refuses_dry_run));
    if let Some(injector) = refusing {
        let why =
            format!("{} {} does not say that dry runs have no side effects", injector.kind.as_str(), injector.name);
        let judged = Judged::undetermined(UndeterminedReason::DryRunUnsupported, Some(why));
        return Assessment::new(judged, Want::Nothing);
    }
    let moved = e.generations.unsettled_since(vector);
    // A scope that the workload left by the move is not in its vector any more, but settles all the same.
    let left = e.work.set.as_ref().and_then(|s| e.generations.cause(&s.vector, vector)).map(|g| g.at.elapsed);
    let due = moved.into_iter().chain(left).max().map_or(now.elapsed, |at| (at + policy.settle).max(now.elapsed));
    let reason = if due > now.elapsed { UndeterminedReason::Settling } else { UndeterminedReason::Pending };
    Assessment::new(Judged::undetermined(reason, None), Want::Render(due))
}

/// Kinds without which nothing can be said, and that cannot be watched.
fn unwatchable(e: Evidence<'_>) -> Option<String> {
    let key = &e.workload.key;
    let of_kind = |kind| kind == WatchKind::Pods || kind == WatchKind::Workloads(key.kind);
    let needed = |source: &WatchSource| {
        let here = source.namespace.as_ref().is_none_or(|ns| *ns == key.namespace);
        here && (of_kind(source.kind) || (source.kind == WatchKind::ReplicaSets && key.kind.has_replica_sets()))
    };
    e.index.unavailable().find(|(source, _)| needed(source)).map(|(_, why)| why.to_owned())
}

fn compare_with(e: Evidence<'_>, set: &RenderSet, pods: &[&Pod]) -> Assessment {
    let Evidence { workload: w, policy, now, .. } = e;
    let selection = SidecarSelection { named: policy.sidecars.clone() };
    let (groups, reordered, ignored) = differing(e, set, pods, &selection);
    let newest = set.renderings.last();
    let mut judged = Judged {
        sidecars: newest.map(|r| selection.sidecars(r, None).into_iter().collect()).unwrap_or_default(),
        target: newest.map(|r| e.targets.of(r, &selection, &set.mask, &policy.ignore)).unwrap_or_default(),
        pods: pods.len(),
        ignored,
        ..Judged::plain(Verdict::InSync)
    };
    if groups.is_empty() {
        if judged.sidecars.is_empty() {
            judged.verdict = Verdict::NotInjected;
        } else if policy.regardless_of_drift {
            REGARDLESS.clone_into(&mut judged.change);
        }
        if let Some(why) = left_out(e, pods) {
            let why = Some(why.to_owned());
            let (pods, sidecars) = (judged.pods, judged.sidecars);
            let judged = Judged::undetermined(UndeterminedReason::Rolling, why);
            let judged = Judged { pods, sidecars, partial: true, ..judged };
            return Assessment::new(judged, Want::Periodic);
        }
        return Assessment { birth: agreeing(e, set, pods, &judged), ..Assessment::new(judged, Want::Periodic) };
    }
    let wanted = match (reordered, set.mask.is_empty()) {
        (true, _) => RENDERINGS_IF_REORDERED,
        // Two that differ: is it a volatile field, or did the injector move in between? A third one tells.
        (false, false) => RENDERINGS_IF_VOLATILE,
        (false, true) => RENDERINGS,
    };
    if set.renderings.len() < wanted {
        let another = Want::Another(set.confirmed.elapsed + policy.render_spacing);
        return Assessment::new(Judged { pods: pods.len(), ..Judged::default() }, another);
    }
    let doubt = |reason, why| {
        let doubtful = Judged::undetermined(reason, Some(why));
        Judged { pods: pods.len(), sidecars: judged.sidecars.clone(), ..doubtful }
    };
    if let Some(what) = &set.unstable {
        let want = Want::Another(set.confirmed.elapsed + UNCERTAIN_RETRY);
        return Assessment::new(doubt(UndeterminedReason::UnstableRendering, what.to_string()), want);
    }
    let differing = || groups.iter().flat_map(|g| &g.differences);
    if let Some(why) = e.truth.wavering(&set.vector, differing(), now.elapsed) {
        let want = Want::Another(set.confirmed.elapsed + UNCERTAIN_RETRY);
        return Assessment::new(doubt(UndeterminedReason::UnstableRendering, why), want);
    }
    if let Some((pod, sidecars)) = contradicting(e, set, pods, &groups) {
        let name = &pod.key.name;
        let why = format!("Pod {name} was created meanwhile and is not as its dry run");
        let judged = doubt(UndeterminedReason::DryRunSensitive, why);
        let birth = Some(Birth::Contradicts(name.clone(), pod.created, sidecars));
        return Assessment { birth, ..Assessment::new(judged, Want::Periodic) };
    }
    if let Some(evidence) = e.truth.contradicted(&set.vector, differing().map(|d| &d.sidecar)) {
        let why = format!("a real Pod was not as its dry run: {evidence}");
        return Assessment::new(doubt(UndeterminedReason::DryRunSensitive, why), Want::Periodic);
    }
    if let Some(Unproven { why, want, unwitnessed }) = unproven_absence(e, set, &groups) {
        let judged = doubt(UndeterminedReason::InjectorUnavailable, why);
        return Assessment { unwitnessed, ..Assessment::new(judged, want) };
    }
    if e.index.unavailable().any(|(source, _)| matches!(source.kind, WatchKind::Injectors(_))) {
        let why =
            "the configuration of injectors may not be watched here: that one is being exchanged would not be seen";
        // A person knows what he may not see; a machine must not roll without seeing it.
        if policy.mode == Mode::Enforce && !policy.one_shot {
            return Assessment::new(doubt(UndeterminedReason::Forbidden, why.to_owned()), Want::Periodic);
        }
        judged.message = Some(why.to_owned());
    }
    judged.differences = differing().map(|d| d.difference).collect();
    judged.collateral = groups.iter().any(|g| !g.collateral.is_empty());
    judged.change = change(groups.iter());
    judged.groups = groups;
    judged.verdict = verdict(w, e.work, &judged);
    debug_assert!(now.elapsed >= set.first.elapsed, "time went backwards");
    // Whether it was the injector that moved unseen, or the answer that is another one for us, one more rendering tells.
    let untold = newer_than_the_last_rendering(e, set, pods, &judged.groups);
    let want = if untold { Want::Another(now.elapsed) } else { Want::Periodic };
    Assessment { birth: agreeing(e, set, pods, &judged), ..Assessment::new(judged, want) }
}

/// Why what was judged is not all of it.
fn left_out(e: Evidence<'_>, pods: &[&Pod]) -> Option<&'static str> {
    let w = e.workload;
    if rollout_status::partition(w) > 0 && e.index.pods_of(w).len() > pods.len() {
        return Some("what its partition keeps runs another revision, which is not judged");
    }
    if w.key.kind == Kind::ROLLOUT && w.update_revision != w.current_revision {
        return Some("its own steps are under way, and only Pods of its stable revision are judged");
    }
    on_delete::has_others(w, e.index, &e.work.templates)
        .then_some("Pods of an older revision wait for somebody to delete them, and are not judged")
}

/// What a rollout changes that a person wants although nothing differs.
const REGARDLESS: &str = "restart regardless of drift";

/// What differs is asked for twice before anything is said (rule R8) ...
const RENDERINGS: usize = 2;
/// ... and once more where these two differ ...
const RENDERINGS_IF_VOLATILE: usize = 3;
/// ... and where it is only the order that differs, more often: an injector that walks over a map gives two values in the
/// same order twice in a row every second time.
pub(in crate::core) const RENDERINGS_IF_REORDERED: usize = 5;

/// After a rendering that leaves things open, ask again after this long: soon enough to notice that an injector is
/// back, seldom enough not to hammer one that is not.
pub const UNCERTAIN_RETRY: Duration = Duration::from_mins(5);

fn verdict(w: &WorkloadSnapshot, work: &Work, judged: &Judged) -> Verdict {
    // Pods patched by hand prove nothing about our rollout.
    let ours = judged.differences.iter().any(|d| *d != Difference::MutatedLive);
    // That the stamp names this very target proves nothing: the injector may have gone to and fro, and a Pod that was
    // born meanwhile differs again (rule C11).
    let locked = work.lock.as_ref().is_some_and(|lock| {
        lock.template == w.template.hash && judged.fields().iter().all(|field| lock.fields.contains(field))
    });
    if ours && locked {
        Verdict::NonConvergent
    } else if judged.differences.contains(&Difference::Removed) {
        Verdict::Removed
    } else if judged.differences.contains(&Difference::Missing) {
        Verdict::Missing
    } else {
        Verdict::Drifted
    }
}

/// The Pods that match no rendering of the set, grouped by how they differ; and whether for some of them it is only the
/// order. Pods that share a shape are compared once, unless their names play a part.
fn differing(
    e: Evidence<'_>,
    set: &RenderSet,
    pods: &[&Pod],
    selection: &SidecarSelection,
) -> (Vec<PodGroup>, bool, BTreeSet<IgnoreUse>) {
    let mut known: HashMap<(usize, &[Name]), Comparison> = HashMap::new();
    let mut groups: BTreeMap<Comparison, Vec<Name>> = BTreeMap::new();
    let mut ignored = BTreeSet::new();
    let against = Against {
        renderings: &set.renderings,
        selection,
        mask: &set.mask,
        ignore: &e.policy.ignore,
        namespaces: e.policy.what_if.namespaces(&e.workload.key.namespace),
    };
    let mut compare = |pod: &Pod| {
        let (name, patched) = (&*pod.key.name, &*pod.made.patched_images);
        let (found, uses) = compare::compare_against(&pod.made.shape, name, patched, &against);
        ignored.extend(uses);
        found
    };
    let named = set.renderings.iter().any(|r| r.pod_name.is_some());
    for pod in pods {
        let comparison = if named {
            compare(pod)
        } else {
            let shape = Arc::as_ptr(&pod.made.shape).addr();
            known.entry((shape, &pod.made.patched_images)).or_insert_with(|| compare(pod)).clone()
        };
        if !comparison.differences.is_empty() {
            groups.entry(comparison).or_default().push(pod.key.name.clone());
        }
    }
    let reordered = groups.keys().any(Comparison::looks_reordered);
    let mut groups: Vec<_> = groups
        .into_iter()
        .map(|(c, pods)| PodGroup { pods, differences: c.differences, collateral: c.collateral })
        .collect();
    groups.sort_by_key(|g| std::cmp::Reverse(g.pods.len()));
    (groups, reordered, ignored)
}

/// The change in short: that of the largest group that a rollout would be for.
pub(in crate::core) fn change<'a>(mut groups: impl Iterator<Item = &'a PodGroup> + Clone) -> String {
    let by_hand = |g: &&PodGroup| g.differences.iter().all(|d| d.difference == Difference::MutatedLive);
    let first = groups.clone().next();
    let group = groups.find(|g| !by_hand(g)).or(first);
    group.map(|g| compare::title(&g.differences)).unwrap_or_default()
}

#[cfg(test)]
mod tests;
