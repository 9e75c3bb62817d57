//! What a rollout would be for, in short.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use super::{
    difference::{PLACEMENT, Text},
    field,
    identity::{ANY_POD, Follows, NameMap, depends_on_pod},
    ignore::IgnoreRule,
    mask::Mask,
    rendering::Rendering,
    sidecar::SidecarSelection,
};
use crate::core::model::{
    Name,
    fingerprint::Fingerprint,
    recent::Recent,
    shape::ContainerShape,
    words::{Placement, Word as _},
};

/// Most workloads have the sidecars of some others; so many sorts may come by turns.
const SORTS: usize = 8;

/// Target fingerprints that were made last: whether the sidecars are the same is quickly told.
#[derive(Debug)]
pub struct Targets(RefCell<Recent<Sidecars, String>>);

impl Default for Targets {
    fn default() -> Self {
        Self(RefCell::new(Recent::of(SORTS)))
    }
}

/// All that a target fingerprint is made of, if nothing is masked, left out or renamed.
type Sidecars = Vec<(Name, Placement, Fingerprint)>;

impl Targets {
    /// [`target_fingerprint`], remembered.
    pub fn of(
        &self,
        renderings: &[Rendering],
        selection: &SidecarSelection,
        mask: &Mask,
        ignore: &[IgnoreRule],
    ) -> String {
        let make = || target_fingerprint(renderings, selection, mask, ignore);
        let Some(rendering) = renderings.last() else { return make() };
        if depends_on_pod(renderings) || !mask.is_empty() || !ignore.is_empty() {
            return make();
        }
        let mut known = self.0.borrow_mut();
        let names = selection.sidecars(rendering, None);
        let sidecars = sidecars(rendering, &names).map(|c| (c.name.clone(), c.placement, c.fingerprint));
        let sidecars: Sidecars = sidecars.collect();
        if let Some(target) = known.get(&sidecars) {
            return target.clone();
        }
        let target = make();
        known.insert(sidecars, target.clone());
        target
    }
}

fn sidecars<'r>(rendering: &'r Rendering, names: &BTreeSet<Name>) -> impl Iterator<Item = &'r ContainerShape> {
    names.iter().filter_map(|name| rendering.rendered.container(name))
}

/// The fingerprint of what a rollout would be for: every sidecar's projection and placement in the newest rendering, without
/// masked fields and without what follows from the Pod that it is for (rule R3). The same for all Pods of a workload, however
/// many there are, and for the next rendering unless the injector moved.
pub fn target_fingerprint(
    renderings: &[Rendering],
    selection: &SidecarSelection,
    mask: &Mask,
    ignore: &[IgnoreRule],
) -> String {
    let Some(rendering) = renderings.last() else { return String::new() };
    // No Pod has this name, so it stands for all of them.
    let names = rendering.pod_name.as_deref().map(|rendered| NameMap { rendered, running: ANY_POD, namespaces: None });
    let follows = Follows::of(rendering, renderings, None, names);
    let mut target: BTreeMap<&str, BTreeMap<String, Text>> = BTreeMap::new();
    for container in sidecars(rendering, &selection.sidecars(rendering, None)) {
        let sidecar = &container.name;
        let mask = mask.of(sidecar);
        let mut fields =
            field::renamed(container, &field::View { mask, names: names.as_ref(), follows: follows.as_ref() });
        if !mask.hides(PLACEMENT) {
            fields.insert(PLACEMENT.to_owned(), container.placement.as_str().into());
        }
        if !ignore.is_empty() {
            let covered = |pointer: &str| ignore.iter().any(|rule| rule.covers(sidecar, pointer));
            let kept: BTreeMap<_, _> = fields.iter().filter(|(pointer, _)| !covered(pointer)).collect();
            fields = kept.into_iter().map(|(pointer, text)| (pointer.clone(), text.clone())).collect();
        }
        target.insert(&container.name, fields);
    }
    let text = serde_json::to_string(&target).unwrap_or_else(|_| serde_json::json!(target).to_string());
    let mut fingerprint = Fingerprint::of_text(&text).to_string();
    // Every workload keeps one.
    fingerprint.shrink_to_fit();
    fingerprint
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::json;

    use super::*;
    use crate::core::model::shape::PodShape;

    #[test]
    fn what_was_not_asked_for_long_is_forgotten_and_the_rest_is_not_made_again() {
        let (targets, selection) = (Targets::default(), SidecarSelection::default());
        for number in 0..3 * SORTS {
            let rendered =
                json!({ "spec": { "containers": [{ "name": "proxy", "image": format!("proxy:{number}") }] } });
            let rendered = Arc::new(PodShape::from_pod(&rendered));
            let rendering = [Rendering { rendered, ..Rendering::default() }];
            let made = targets.of(&rendering, &selection, &Mask::default(), &[]);
            let known = || format!("{:?}", targets.0.borrow());
            let before = known();
            assert!(targets.0.borrow().len() <= SORTS && before.contains(&made));
            assert_eq!(targets.of(&rendering, &selection, &Mask::default(), &[]), made);
            assert_eq!(known(), before);
        }
    }
}
