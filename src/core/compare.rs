//! Comparing a running Pod with a rendering.
//!
//! Which containers are compared: [`SidecarSelection::sidecars`] (rules C1, C2). What of them: their projections, leaf
//! by leaf ([`leaves`]), without what is volatile ([`volatile`], rule R8) and with the name of the running Pod in the place of
//! the rendered one ([`NameMap`], rule R3). What else a restart would bring: [`Comparison::collateral`] (rule C14).

mod field;
mod image;
mod mask;
mod shown;
mod sidecar;
mod target;
mod title;

use std::{collections::BTreeSet, sync::Arc};

use serde::{Deserialize, Serialize};

pub use self::{
    field::{IMAGE, NameMap, leaves},
    mask::{Mask, Unstable, volatile},
    sidecar::{SidecarSelection, injected},
    target::{Targets, target_fingerprint},
    title::title,
};
use super::{
    ignore::{self, IgnoreRule, IgnoreUse},
    io::Rendering,
    shape::{ContainerShape, Name, PodShape},
    words::{Difference, Placement, Word as _},
};

/// One compared field that differs. The pointer (RFC 6901) is within the sidecar's projection: `/image`,
/// `/args/3`, `/env/PROXY_CONFIG/value`, or `/placement`. Inside a structured value (rule C5) it goes on:
/// `/env/PROXY_CONFIG/value/concurrency`; a list whose elements are told apart by a member of theirs has
/// `[destination 2]` in the place of an index. No value is ever part of a pointer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct FieldChange {
    /// Where.
    pub pointer: String,
    /// What runs; `None`: absent.
    pub running: Option<Text>,
    /// What would be injected; `None`: absent.
    pub rendered: Option<Text>,
}

/// A leaf of a projection as text: a string as it is, anything else as JSON. May be a secret: outputs mask it.
pub type Text = std::sync::Arc<str>;

/// How one sidecar of a Pod differs.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct SidecarDifference {
    /// The container's name.
    pub sidecar: Name,
    /// In which way.
    pub difference: Difference,
    /// Which fields; empty for `missing` and `removed`.
    pub fields: Vec<FieldChange>,
}

/// What one Pod's comparison found.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Comparison {
    /// The sidecars that differ, by name. Empty: in sync.
    pub differences: Vec<SidecarDifference>,
    /// Changes of app containers that a restart would bring along (rule C14); the pointer begins with the
    /// container's name: `/app/image`.
    pub collateral: Vec<FieldChange>,
}

impl Comparison {
    /// Whether everything that differs is the same text in another order: arguments or elements that changed places.
    ///
    /// An injector that walks over a map gives its values in another order each time, and with few of them two
    /// renderings often agree by chance (with two elements every second time). So this is no proof of the opposite, but
    /// a reason to ask more than twice before the difference is believed.
    pub fn looks_reordered(&self) -> bool {
        let sorted = |side: fn(&FieldChange) -> Option<&Text>| {
            let fields = self.differences.iter().flat_map(|d| &d.fields);
            let mut bytes: Vec<u8> = fields.filter_map(side).flat_map(|text| text.bytes()).collect();
            bytes.sort_unstable();
            bytes
        };
        let only_values = |d: &SidecarDifference| {
            d.difference == Difference::Changed && d.fields.iter().all(|f| f.pointer != field::IMAGE)
        };
        !self.differences.is_empty()
            && self.differences.iter().all(only_values)
            && sorted(|f| f.running.as_ref()) == sorted(|f| f.rendered.as_ref())
    }
}

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
    let sidecars = selection.sidecars(rendering, Some(running));
    let mut differences = Vec::new();
    for sidecar in &sidecars {
        let one = |difference, fields| SidecarDifference { sidecar: sidecar.clone(), difference, fields };
        match sidecar::pair(rendering, running, sidecar) {
            (None, None) => {}
            (None, Some(_)) => differences.push(one(Difference::Missing, Vec::new())),
            (Some(_), None) => differences.push(one(Difference::Removed, Vec::new())),
            (Some(runs), Some(rendered)) => {
                let fields = field::changes(runs, rendered, &field::View { mask: mask.of(sidecar), names });
                let patched = patched_images.contains(sidecar);
                let (live, changed): (Vec<_>, Vec<_>) =
                    fields.into_iter().partition(|field| patched && field.pointer == field::IMAGE);
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
    Comparison { differences, collateral: collateral(running, rendering, &sidecars, mask, names) }
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
    compare_against(running, running_name, patched_images, &against).0
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
    running_name: &str,
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
        let names = NameMap { rendered: rendered.unwrap_or_default(), running: running_name, namespaces };
        let names = Some(names).filter(|_| rendered.is_some() || namespaces.is_some());
        let mut found = compare(running, rendering, selection, mask, names.as_ref(), patched_images);
        let uses = ignore::leave_out(ignore, &mut found);
        (found, uses)
    });
    let fields = |comparison: &Comparison| -> usize {
        // A missing or removed sidecar has no fields, and is no smaller a difference for that.
        comparison.differences.iter().map(|d| d.fields.len().max(1)).sum()
    };
    comparisons.min_by_key(|(found, _)| (fields(found), found.collateral.len())).unwrap_or_default()
}

fn placement_change(running: &ContainerShape, rendered: &ContainerShape, mask: &Mask) -> Option<FieldChange> {
    let differs = running.placement != rendered.placement && !mask.of(&rendered.name).hides(field::PLACEMENT);
    let text = |placement: Placement| Some(Text::from(placement.as_str()));
    differs.then(|| FieldChange {
        pointer: field::PLACEMENT.to_owned(),
        running: text(running.placement),
        rendered: text(rendered.placement),
    })
}

/// Differences of the template's own containers (rule C14).
fn collateral(
    running: &PodShape,
    rendering: &Rendering,
    sidecars: &BTreeSet<Name>,
    mask: &Mask,
    names: Option<&NameMap<'_>>,
) -> Vec<FieldChange> {
    let mut changes = Vec::new();
    for app in rendering.template.containers.iter().filter(|c| !sidecars.contains(&c.name)) {
        let prefix = format!("/{}", field::escaped(&app.name));
        let view = field::View { mask: mask.of(&app.name), names };
        match (running.container(&app.name), rendering.rendered.container(&app.name)) {
            (Some(runs), Some(rendered)) => {
                let fields = field::changes(runs, rendered, &view).into_iter().filter(field::of_default_set);
                let context = field::collateral_changes(runs, rendered, &view);
                changes
                    .extend(fields.chain(context).map(|f| FieldChange { pointer: prefix.clone() + &f.pointer, ..f }));
            }
            (None, None) => {}
            (runs, rendered) => {
                let image = |c: Option<&ContainerShape>| c.map(|c| Arc::clone(&c.image));
                changes.push(FieldChange { pointer: prefix, running: image(runs), rendered: image(rendered) });
            }
        }
    }
    changes.sort();
    changes
}

#[cfg(test)]
mod tests;
