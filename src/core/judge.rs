//! From Pods and renderings to a verdict.

use std::{
    collections::{BTreeMap, HashMap},
    sync::Arc,
    time::Duration,
};

use super::{
    compare::{self, Comparison, SidecarSelection},
    index::Index,
    io::{WatchKind, WatchSource},
    model::{PodSnapshot, WorkloadSnapshot},
    owner::Kind,
    policy::Policy,
    report::PodGroup,
    scope::{self, Generations, Vector},
    shape::Name,
    status,
    time::Now,
    words::{Difference, UndeterminedReason, Verdict},
    work::{Judged, RenderSet, Work},
};

/// What should happen next, so that the verdict gets better.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Want {
    /// Nothing: an event or the periodic look will bring it on.
    Nothing,
    /// Look again then, without asking the API server.
    Look(Duration),
    /// A rendering, not before then.
    Render(Duration),
}

/// A verdict and the way on from it.
#[derive(Clone, Debug, PartialEq)]
pub struct Assessment {
    /// What is known.
    pub judged: Judged,
    /// What it takes to know more.
    pub want: Want,
}

/// The revision that a workload's Pods are judged against.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Revision {
    /// The object that holds the template: a ReplicaSet's or ControllerRevision's name.
    pub object: Name,
}

/// The workload's current revision and those of its Pods that are of it and alive (rules R1, C8). `None`: not known
/// yet, or there is no such Pod.
pub fn current<'a>(w: &'a WorkloadSnapshot, index: &'a Index) -> Option<(Revision, Vec<&'a PodSnapshot>)> {
    let mut pods = index.pods_of(w);
    pods.retain(|p| !p.state.terminating && !p.state.finished && !p.state.mirror);
    let object = match w.key.kind {
        Kind::DEPLOYMENT => {
            let newest = index.newest_replica_set(w)?;
            pods.retain(|p| p.owner.as_ref().is_some_and(|o| o.uid == newest.uid));
            newest.key.name.clone()
        }
        Kind::STATEFUL_SET => {
            let updated = pods.iter().any(|p| p.revision == w.update_revision);
            let revision = if updated { &w.update_revision } else { &w.current_revision };
            pods.retain(|p| p.revision == *revision);
            revision.clone()
        }
        _ => {
            let newest = pods.iter().map(|p| p.template_generation).max()?;
            pods.retain(|p| p.template_generation == newest);
            // As the controller names them, cut to the length of a name.
            let prefix: String = w.key.name.chars().take(223).collect();
            Name::from(format!("{prefix}-{}", pods.first()?.revision))
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
    /// The time.
    pub now: Now,
}

/// The verdict on one workload.
pub fn judge(e: Evidence<'_>) -> Assessment {
    let Evidence { workload: w, index, work, policy, now, .. } = e;
    let nothing = |judged| Assessment { judged, want: Want::Nothing };
    if let Some(why) = unwatchable(e) {
        return nothing(Judged::undetermined(UndeterminedReason::Forbidden, Some(why)));
    }
    if w.terminating {
        return nothing(Judged::plain(Verdict::NoPods));
    }
    if status::exchanging(w) {
        return nothing(Judged::undetermined(UndeterminedReason::Rolling, None));
    }
    let Some((revision, all)) = current(w, index) else {
        let none = index.pods_of(w).is_empty();
        let pending = || Judged::undetermined(UndeterminedReason::Pending, None);
        return nothing(if none { Judged::plain(Verdict::NoPods) } else { pending() });
    };
    let pods: Vec<_> = all.iter().copied().filter(|p| now.since(p.created) >= policy.min_pod_age).collect();
    let ripe =
        all.iter().map(|p| policy.min_pod_age.saturating_sub(now.since(p.created))).filter(|d| !d.is_zero()).min();
    let ripe = ripe.map(|left| Want::Look(now.elapsed + left));
    if all.is_empty() {
        return nothing(Judged::plain(Verdict::NoPods));
    }
    if pods.is_empty() {
        let judged = Judged::undetermined(UndeterminedReason::Settling, Some("its Pods were just created".to_owned()));
        return Assessment { judged, want: ripe.unwrap_or(Want::Nothing) };
    }
    let vector = e.generations.vector(w, index);
    if let Some(failure) = work.failure.as_ref().filter(|f| f.revision == revision.object && f.vector == vector) {
        let judged = match failure.reason {
            Some(reason) => Judged::undetermined(reason, Some(failure.message.clone())),
            None => Judged { message: Some(failure.message.clone()), ..Judged::plain(Verdict::Rejected) },
        };
        return Assessment { judged: Judged { pods: pods.len(), ..judged }, want: Want::Render(failure.retry) };
    }
    let Some(set) = work.set.as_ref().filter(|s| s.revision == revision.object && s.vector == vector) else {
        return first_rendering(e, &vector);
    };
    let assessment = compare_with(e, set, &pods);
    match (&assessment.want, ripe) {
        (Want::Nothing, Some(look)) => Assessment { want: look, ..assessment },
        _ => assessment,
    }
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
        return Assessment { judged, want: Want::Nothing };
    }
    // Rule R9: a half-upgraded injector answers either way.
    if let Some(why) = scope::injectors_of(w, index).find_map(|i| scope::exchanging(i, index)) {
        let judged = Judged::undetermined(UndeterminedReason::Settling, Some(why));
        return Assessment { judged, want: Want::Nothing };
    }
    let moved = e.generations.moved().filter(|(scope, _)| vector.contains_key(scope)).map(|(_, g)| g.at.elapsed).max();
    // A scope that the workload left by the move is not in its vector any more, but settles all the same.
    let left = e.work.set.as_ref().and_then(|s| e.generations.cause(&s.vector, vector)).map(|g| g.at.elapsed);
    let due = moved.into_iter().chain(left).max().map_or(now.elapsed, |at| (at + policy.settle).max(now.elapsed));
    let reason = if due > now.elapsed { UndeterminedReason::Settling } else { UndeterminedReason::Pending };
    Assessment { judged: Judged::undetermined(reason, None), want: Want::Render(due) }
}

/// Kinds without which nothing can be said, and that cannot be watched.
fn unwatchable(e: Evidence<'_>) -> Option<String> {
    let key = &e.workload.key;
    let needed = |source: &WatchSource| {
        let here = source.namespace.as_ref().is_none_or(|ns| *ns == key.namespace);
        here && (source.kind == WatchKind::Pods
            || (source.kind == WatchKind::ReplicaSets && key.kind == Kind::DEPLOYMENT))
    };
    e.index.unavailable().find(|(source, _)| needed(source)).map(|(_, why)| why.to_owned())
}

fn compare_with(e: Evidence<'_>, set: &RenderSet, pods: &[&PodSnapshot]) -> Assessment {
    let Evidence { workload: w, policy, now, .. } = e;
    let selection = SidecarSelection { named: policy.sidecars.clone() };
    let (groups, reordered) = differing(set, pods, &selection);
    let newest = set.renderings.last();
    let mut judged = Judged {
        sidecars: newest.map(|r| selection.sidecars(r, None).into_iter().collect()).unwrap_or_default(),
        target: newest.map(|r| compare::target_fingerprint(r, &selection, &set.mask)).unwrap_or_default(),
        pods: pods.len(),
        ..Judged::plain(Verdict::InSync)
    };
    if groups.is_empty() {
        if judged.sidecars.is_empty() {
            judged.verdict = Verdict::NotInjected;
        }
        return Assessment { judged, want: Want::Nothing };
    }
    let wanted = if reordered { RENDERINGS_IF_REORDERED } else { RENDERINGS };
    if set.renderings.len() < wanted {
        let another = Want::Render(set.confirmed.elapsed + policy.render_spacing);
        return Assessment { judged: Judged { pods: pods.len(), ..Judged::default() }, want: another };
    }
    if let Some(what) = &set.unstable {
        let unstable = Judged::undetermined(UndeterminedReason::UnstableRendering, Some(what.clone()));
        let judged = Judged { pods: pods.len(), sidecars: judged.sidecars, ..unstable };
        return Assessment { judged, want: Want::Render(set.confirmed.elapsed + UNCERTAIN_RETRY) };
    }
    judged.differences = groups.iter().flat_map(|g| &g.differences).map(|d| d.difference).collect();
    if judged.differences.contains(&Difference::Removed) {
        // Rule R7: an injector that is down and ignores failures looks just like this.
        let why = "a running sidecar was not rendered; an injector that is down would look the same".to_owned();
        let absent = Judged::undetermined(UndeterminedReason::InjectorUnavailable, Some(why));
        let judged = Judged { pods: pods.len(), sidecars: judged.sidecars, ..absent };
        return Assessment { judged, want: Want::Render(set.confirmed.elapsed + UNCERTAIN_RETRY) };
    }
    judged.collateral = groups.iter().any(|g| !g.collateral.is_empty());
    judged.change = change(&groups);
    judged.groups = groups;
    judged.verdict = verdict(w, e.work, &judged);
    debug_assert!(now.elapsed >= set.first.elapsed, "time went backwards");
    Assessment { judged, want: Want::Nothing }
}

/// What differs is asked for twice before anything is said (rule R8) ...
const RENDERINGS: usize = 2;
/// ... and where it is only the order that differs, more often: an injector that walks over a map gives two values in the
/// same order twice in a row every second time.
pub(super) const RENDERINGS_IF_REORDERED: usize = 5;

/// After a rendering that leaves things open, ask again after this long: soon enough to notice that an injector is
/// back, seldom enough not to hammer one that is not.
pub const UNCERTAIN_RETRY: Duration = Duration::from_mins(5);

fn verdict(w: &WorkloadSnapshot, work: &Work, judged: &Judged) -> Verdict {
    // Pods patched by hand prove nothing about our rollout.
    let ours = judged.differences.iter().any(|d| *d != Difference::MutatedLive);
    let stamped = w.template.stamp.as_ref().and_then(|s| s.fingerprint.as_deref()) == Some(&*judged.target);
    let locked = work.lock.as_ref().is_some_and(|lock| {
        lock.template == w.template.hash && judged.fields().iter().all(|field| lock.fields.contains(field))
    });
    if ours && (stamped || locked) {
        Verdict::NonConvergent
    } else if judged.differences.contains(&Difference::Missing) {
        Verdict::Missing
    } else {
        Verdict::Drifted
    }
}

/// The Pods that match no rendering of the set, grouped by how they differ; and whether for some of them it is only the
/// order. Pods that share a shape are compared once, unless their names play a part.
fn differing(set: &RenderSet, pods: &[&PodSnapshot], selection: &SidecarSelection) -> (Vec<PodGroup>, bool) {
    let mut known: HashMap<(usize, &[Name]), Comparison> = HashMap::new();
    let mut groups: BTreeMap<Comparison, Vec<Name>> = BTreeMap::new();
    let compare = |pod: &PodSnapshot| {
        let (name, patched) = (&*pod.key.name, &*pod.patched_images);
        compare::compare_all(&pod.shape, name, &set.renderings, selection, &set.mask, patched)
    };
    let named = set.renderings.iter().any(|r| r.pod_name.is_some());
    for pod in pods {
        let comparison = if named {
            compare(pod)
        } else {
            let shape = Arc::as_ptr(&pod.shape).addr();
            known.entry((shape, &pod.patched_images)).or_insert_with(|| compare(pod)).clone()
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
    (groups, reordered)
}

/// The change in short: that of the largest group that a rollout would be for.
fn change(groups: &[PodGroup]) -> String {
    let by_hand = |g: &&PodGroup| g.differences.iter().all(|d| d.difference == Difference::MutatedLive);
    let group = groups.iter().find(|g| !by_hand(g)).or_else(|| groups.first());
    group.map(|g| compare::title(&g.differences)).unwrap_or_default()
}
