//! One Pod against the renderings of its template.

use std::{collections::BTreeSet, sync::Arc};

use super::{
    difference::{Comparison, FieldChange, IMAGE, ORDER, PLACEMENT, SidecarDifference, Text},
    field,
    identity::{Follows, NameMap, PodIdentity},
    ignore::{self, IgnoreRule, IgnoreUse},
    mask::Mask,
    order, redacted_pointer,
    rendering::Rendering,
    sidecar::{self, SidecarSelection},
};
use crate::core::model::{
    Name,
    shape::{ContainerShape, PodShape},
    words::{Difference, Placement, Word as _},
};

/// What a running Pod's sidecars and app containers are against one rendering.
///
/// `patched_images` names the containers of the running Pod whose image belongs to another field manager than the Pod's
/// creator (rule C9): a difference there is `mutated_live`, the sidecar's other fields are `changed` all the same. A
/// sidecar that moved between the lists is `placement`, and has a second entry if its fields differ, too (rule C2).
pub fn compare(
    running: &PodShape,
    rendering: &Rendering,
    selection: &SidecarSelection,
    mask: &Mask,
    names: Option<&NameMap<'_>>,
    patched_images: &[Name],
) -> Comparison {
    show(compare_values(running, rendering, selection, patched_images, &Lens { mask, names, follows: None }), names)
}

/// How a rendering is looked at for one running Pod.
#[derive(Clone, Copy)]
struct Lens<'a> {
    mask: &'a Mask,
    names: Option<&'a NameMap<'a>>,
    follows: Option<&'a Follows<'a>>,
}

impl<'a> Lens<'a> {
    fn of(&self, container: &str) -> field::View<'a> {
        field::View { mask: self.mask.of(container), names: self.names, follows: self.follows }
    }
}

/// As [`compare`], but the pointers may hold values: rules of the site are applied to those.
fn compare_values(
    running: &PodShape,
    rendering: &Rendering,
    selection: &SidecarSelection,
    patched_images: &[Name],
    lens: &Lens<'_>,
) -> Comparison {
    let mask = lens.mask;
    let sidecars = selection.sidecars(rendering, Some(running));
    let mut differences = Vec::new();
    for sidecar in &sidecars {
        let one = |difference, fields| SidecarDifference { sidecar: sidecar.clone(), difference, fields };
        match sidecar::pair(rendering, running, sidecar) {
            (None, None) => {}
            (None, Some(_)) => differences.push(one(Difference::Missing, Vec::new())),
            (Some(_), None) => differences.push(one(Difference::Removed, Vec::new())),
            (Some(runs), Some(rendered)) => {
                let fields = field::changes(runs, rendered, &lens.of(sidecar));
                let patched = patched_images.contains(sidecar);
                let (live, changed): (Vec<_>, Vec<_>) =
                    fields.into_iter().partition(|field| patched && field.pointer == IMAGE);
                let moved = placement_change(runs, rendered, mask);
                let entries = [
                    (Difference::Changed, changed),
                    (Difference::Placement, moved.into_iter().collect()),
                    (Difference::MutatedLive, live),
                ];
                differences
                    .extend(entries.into_iter().filter(|(_, fields)| !fields.is_empty()).map(|(d, f)| one(d, f)));
            }
        }
    }
    order::add(&mut differences, running, rendering, &sidecars, mask);
    Comparison { differences, collateral: collateral(running, rendering, &sidecars, lens) }
}

/// What a running Pod is against several renderings of its template (rule R8): in sync if it matches any of them.
///
/// `running_name` is the Pod's name, used where a rendering has a name of its own. Where the Pod matches none, the
/// rendering that it is nearest to is told, of several the latest. No renderings: nothing differs.
pub fn compare_all(
    running: &PodShape,
    running_name: &str,
    renderings: &[Rendering],
    selection: &SidecarSelection,
    mask: &Mask,
    patched_images: &[Name],
) -> Comparison {
    let against = Against { renderings, selection, mask, ignore: &[], namespaces: None };
    compare_against(running, PodIdentity { name: running_name, node: None }, patched_images, &against).0
}

/// What a running Pod is compared with.
#[derive(Clone, Copy, Debug)]
pub struct Against<'a> {
    /// The renderings of its template.
    pub renderings: &'a [Rendering],
    /// Which containers are sidecars.
    pub selection: &'a SidecarSelection,
    /// What is volatile.
    pub mask: &'a Mask,
    /// What the site leaves out.
    pub ignore: &'a [IgnoreRule],
    /// The namespaces of the renderings and of the running Pod, where they are two.
    pub namespaces: Option<(&'a str, &'a str)>,
}

/// As [`compare_all`], and which rules left something out of it.
pub fn compare_against(
    running: &PodShape,
    pod: PodIdentity<'_>,
    patched_images: &[Name],
    against: &Against<'_>,
) -> (Comparison, BTreeSet<IgnoreUse>) {
    let Against { renderings, selection, mask, ignore, namespaces } = *against;
    // With one that is as a later one nothing more is found.
    let distinct = renderings
        .iter()
        .enumerate()
        .rev()
        .filter(|(n, rendering)| !renderings.iter().skip(n + 1).any(|later| later == *rendering));
    let comparisons = distinct.map(|(_, rendering)| {
        let rendered = rendering.pod_name.as_deref();
        // No name is ever replaced by another where there is only one.
        let names = NameMap { rendered: rendered.unwrap_or_default(), running: pod.name, namespaces };
        let names = Some(names).filter(|_| rendered.is_some() || namespaces.is_some());
        let follows = Follows::of(rendering, renderings, Some(pod), names);
        let lens = Lens { mask, names: names.as_ref(), follows: follows.as_ref() };
        let mut found = compare_values(running, rendering, selection, patched_images, &lens);
        let uses = ignore::leave_out(ignore, &mut found, names.as_ref());
        (show(found, names.as_ref()), uses)
    });
    let fields = |comparison: &Comparison| -> usize {
        // A missing or removed sidecar has no fields, and is no smaller a difference for that.
        comparison.differences.iter().map(|d| d.fields.len().max(1)).sum()
    };
    comparisons.min_by_key(|(found, _)| (fields(found), found.collateral.len())).unwrap_or_default()
}

/// What was found, with pointers that hold no value.
fn show(mut found: Comparison, names: Option<&NameMap<'_>>) -> Comparison {
    let pod = names.and_then(NameMap::pod);
    let show = |field: &mut FieldChange, container: usize| {
        let (container, pointer) = field.pointer.split_at_checked(container).unwrap_or_default();
        let shown = redacted_pointer::shown(pointer, pod);
        let plain = redacted_pointer::plain(pointer, &shown, pod).map(|plain| format!("{container}{plain}").into());
        (field.pointer, field.plain) = (format!("{container}{shown}"), plain);
    };
    for difference in &mut found.differences {
        difference.fields.iter_mut().for_each(|field| show(field, 0));
        difference.fields.sort();
    }
    for field in &mut found.collateral {
        let behind = field.pointer.get(1..).and_then(|rest| rest.find('/'));
        let container = behind.map_or(field.pointer.len(), |at| at + 1);
        show(field, container);
    }
    found.collateral.sort();
    found
}

fn placement_change(running: &ContainerShape, rendered: &ContainerShape, mask: &Mask) -> Option<FieldChange> {
    let differs = running.placement != rendered.placement && !mask.of(&rendered.name).hides(PLACEMENT);
    let text = |placement: Placement| Some(Text::from(placement.as_str()));
    differs.then(|| FieldChange {
        pointer: PLACEMENT.to_owned(),
        plain: None,
        running: text(running.placement),
        rendered: text(rendered.placement),
    })
}

/// Differences of the template's own containers (rule C14).
fn collateral(
    running: &PodShape,
    rendering: &Rendering,
    sidecars: &BTreeSet<Name>,
    lens: &Lens<'_>,
) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    let mut moved = order::moved(running, &rendering.rendered);
    for app in rendering.template.containers.iter().filter(|c| !sidecars.contains(&c.name)) {
        let prefix = format!("/{}", redacted_pointer::escaped(&app.name));
        let view = lens.of(&app.name);
        match (running.container(&app.name), rendering.rendered.container(&app.name)) {
            (Some(runs), Some(rendered)) => {
                let fields = field::changes(runs, rendered, &view).into_iter().filter(field::of_default_set);
                let beside = field::collateral_changes(runs, rendered, &view);
                let placement = placement_change(runs, rendered, lens.mask);
                let order = moved.remove(&app.name).filter(|_| !view.mask.hides(ORDER));
                let order = order.map(|[runs, rendered]| FieldChange {
                    pointer: ORDER.to_owned(),
                    plain: None,
                    running: Some(runs),
                    rendered: Some(rendered),
                });
                let all = fields.chain(beside).chain(placement).chain(order);
                changes.extend(all.map(|f| FieldChange { pointer: prefix.clone() + &f.pointer, ..f }));
            }
            (None, None) => {}
            (runs, rendered) => {
                let image = |c: Option<&ContainerShape>| c.map(|c| Arc::clone(&c.image));
                changes.push(FieldChange {
                    pointer: prefix,
                    plain: None,
                    running: image(runs),
                    rendered: image(rendered),
                });
            }
        }
    }
    changes.sort();
    changes
}

#[cfg(test)]
mod app_tests;
#[cfg(test)]
mod tests;
