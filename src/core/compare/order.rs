//! The order of init containers, which they start in: of sidecars with `--fields all` (rule C6), of the template's own always
//! (rule C14).

use std::collections::{BTreeMap, BTreeSet};

use super::{
    difference::{FieldChange, ORDER, SidecarDifference, Text},
    mask::Mask,
    rendering::Rendering,
};
use crate::core::model::{
    Name,
    fingerprint::Fingerprint,
    shape::PodShape,
    words::{Difference, Placement},
};

/// The init containers of two Pods that start after others than in the other Pod. Only containers that both have count: one that
/// came or went is a difference of its own, and moves nobody.
pub(super) fn moved(a: &PodShape, b: &PodShape) -> BTreeMap<Name, [Text; 2]> {
    let (a, b) = (common(a, b), common(b, a));
    let moved = a.iter().enumerate().filter_map(|(at, name)| {
        let before = a.get(..at)?;
        let other = b.get(..b.iter().position(|n| n == name)?)?;
        let set = |names: &[&Name]| names.iter().map(|name| (**name).clone()).collect::<BTreeSet<_>>();
        (set(before) != set(other)).then(|| ((*name).clone(), [text(before), text(other)]))
    });
    moved.collect()
}

/// Whether the order of sidecars is compared.
pub(super) fn is_compared(a: &PodShape, b: &PodShape) -> bool {
    a.ordered && b.ordered
}

/// Adds what differs in order to what else differs of these sidecars.
pub(super) fn add(
    differences: &mut Vec<SidecarDifference>,
    running: &PodShape,
    rendering: &Rendering,
    sidecars: &BTreeSet<Name>,
    mask: &Mask,
) {
    if !is_compared(running, &rendering.rendered) {
        return;
    }
    let moved = moved(running, &rendering.rendered);
    if moved.is_empty() {
        return;
    }
    for (name, [runs, rendered]) in moved {
        if !sidecars.contains(&name) || mask.of(&name).hides(ORDER) {
            continue;
        }
        let field =
            FieldChange { pointer: ORDER.to_owned(), plain: None, running: Some(runs), rendered: Some(rendered) };
        let known = differences.iter_mut().find(|d| d.sidecar == name && d.difference == Difference::Changed);
        match known {
            Some(known) => known.fields.push(field),
            None => differences.push(SidecarDifference {
                sidecar: name,
                difference: Difference::Changed,
                fields: vec![field],
            }),
        }
    }
    differences.sort_by(|a, b| (&a.sidecar, a.difference).cmp(&(&b.sidecar, b.difference)));
}

/// The fingerprint of what a rollout would bring where it brings another order, too. Elsewhere the order is left out: a stamp
/// that was written without it keeps its meaning.
pub fn with_order(target: &str, rendering: &Rendering) -> String {
    let names: Vec<&str> = init(&rendering.rendered).map(|name| &**name).collect();
    Fingerprint::of_text(&format!("{target} {}", names.join(" "))).to_string()
}

fn init(pod: &PodShape) -> impl Iterator<Item = &Name> {
    pod.containers.iter().filter(|c| c.placement != Placement::Ordinary).map(|c| &c.name)
}

fn common<'p>(pod: &'p PodShape, other: &PodShape) -> Vec<&'p Name> {
    init(pod).filter(|name| init(other).any(|n| n == *name)).collect()
}

fn text(before: &[&Name]) -> Text {
    let names: Vec<&str> = before.iter().map(|name| &***name).collect();
    if names.is_empty() { "first".into() } else { format!("after {}", names.join(", ")).into() }
}
