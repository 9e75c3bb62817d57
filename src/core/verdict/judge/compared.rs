//! A workload's Pods against its renderings.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    sync::Arc,
};

use crate::core::{
    compare::{self, Against, Comparison, IgnoreUse, PodIdentity, SidecarSelection},
    inventory::Pod,
    model::Name,
    verdict::{case::RenderSet, evidence::Evidence, pod_group::PodGroup, ripe_pods::RipePods},
};

/// What comparing found: the Pods that match no rendering of the set, grouped by how they differ, the largest group first.
#[derive(Debug)]
pub(super) struct Compared<'a> {
    groups: Vec<PodGroup>,
    ignored: BTreeSet<IgnoreUse>,
    reordered: bool,
    /// What was found of Pods that look alike; empty where their names play a part.
    alike: HashMap<Look<'a>, Comparison>,
}

/// What of a Pod makes its comparison, where its name plays no part: its shape, by address, and the containers whose image
/// somebody patched.
type Look<'a> = (usize, &'a [Name]);

fn look(pod: &Pod) -> Look<'_> {
    (Arc::as_ptr(&pod.made.shape).addr(), &pod.made.patched_images)
}

impl<'a> Compared<'a> {
    /// Compares. Pods that look alike are compared once, unless their names play a part.
    pub(super) fn of(e: Evidence<'_>, set: &RenderSet, pods: &RipePods<'a>, selection: &SidecarSelection) -> Self {
        let mut alike: HashMap<Look<'a>, Comparison> = HashMap::new();
        let mut groups: BTreeMap<Comparison, Vec<Name>> = BTreeMap::new();
        let mut ignored = BTreeSet::new();
        let against = Against {
            renderings: &set.renderings,
            selection,
            mask: &set.mask,
            ignore: &e.policy.ignore,
            namespaces: e.policy.what_if.namespaces(&e.workload.key.namespace),
        };
        let mut against_all = |pod: &Pod| {
            let identity = PodIdentity { name: &pod.key.name, node: pod.node().map(|node| &**node) };
            let (found, uses) = compare::compare_against(&pod.made.shape, identity, &pod.made.patched_images, &against);
            ignored.extend(uses);
            found
        };
        let one_by_one = compare::depends_on_pod(&set.renderings);
        for class in pods.classes() {
            if one_by_one {
                for pod in class.pods() {
                    let comparison = against_all(pod);
                    if !comparison.differences.is_empty() {
                        groups.entry(comparison).or_default().push(pod.key.name.clone());
                    }
                }
            } else if let Some(first) = class.pods().next() {
                let found = alike.entry(look(first)).or_insert_with(|| against_all(first));
                if !found.differences.is_empty() {
                    let pods = class.pods().map(|pod| pod.key.name.clone());
                    groups.entry(found.clone()).or_default().extend(pods);
                }
            }
        }
        let reordered = groups.keys().any(Comparison::looks_reordered);
        let group = |(found, mut pods): (Comparison, Vec<Name>)| {
            pods.sort_unstable();
            PodGroup { pods, differences: found.differences, collateral: found.collateral }
        };
        let mut groups: Vec<_> = groups.into_iter().map(group).collect();
        groups.sort_by_key(|g| std::cmp::Reverse(g.pods.len()));
        Self { groups, ignored, reordered, alike }
    }

    pub(super) fn groups(&self) -> &[PodGroup] {
        &self.groups
    }

    /// What rules of the site left out.
    pub(super) fn ignored(&self) -> &BTreeSet<IgnoreUse> {
        &self.ignored
    }

    /// Whether for some Pods it is only the order that differs.
    pub(super) fn looks_reordered(&self) -> bool {
        self.reordered
    }

    /// The group that a Pod is in; `None`: it matches a rendering.
    pub(super) fn group_of(&self, pod: &Pod) -> Option<&PodGroup> {
        if self.groups.is_empty() {
            return None;
        }
        match self.alike.get(&look(pod)) {
            Some(found) if found.differences.is_empty() => None,
            Some(found) => {
                self.groups.iter().find(|g| g.differences == found.differences && g.collateral == found.collateral)
            }
            None => self.groups.iter().find(|g| g.pods.binary_search(&pod.key.name).is_ok()),
        }
    }
}
