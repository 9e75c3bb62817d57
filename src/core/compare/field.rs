//! A container's fields, one by one.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use super::{
    difference::{FieldChange, IMAGE, Text},
    identity::{Follows, NameMap},
    mask::ContainerMask,
    redacted_pointer::escaped,
};
use crate::core::model::shape::{ContainerShape, UNKNOWN};

/// How fields are looked at.
pub(super) struct View<'a> {
    pub(super) mask: ContainerMask<'a>,
    pub(super) names: Option<&'a NameMap<'a>>,
    /// What is known of how the rendering follows from the Pod that it is for.
    pub(super) follows: Option<&'a Follows<'a>>,
}

impl<'a> View<'a> {
    /// The names that are still to be told from the texts: where two renderings prove what follows, the Pod's is not among them.
    fn unproven_names(&self) -> Option<NameMap<'a>> {
        let names = *self.names?;
        Some(if self.follows.is_some() { NameMap { rendered: "", ..names } } else { names })
    }

    /// Part of a rendered container, for the running Pod as far as two renderings prove it.
    fn translated(&self, rendered: &ContainerShape, part: fn(&ContainerShape) -> Value) -> Value {
        let own = part(rendered);
        match self.follows.and_then(|follows| Some((follows, follows.partner(rendered)?))) {
            Some((follows, partner)) => with_own_image(follows.translate(&own, &part(partner)), &own),
            None => own,
        }
    }

    /// Whether the rendering is another one for another Pod.
    fn depends_on_pod(&self, rendered: &ContainerShape) -> bool {
        self.follows.is_some_and(|follows| follows.partner(rendered).is_some())
    }
}

/// A canonical projection's leaves by pointer (RFC 6901). An empty object or list within is a leaf of its own.
pub fn leaves(canonical: &Value) -> BTreeMap<String, Text> {
    let mut out = BTreeMap::new();
    collect(canonical, &mut String::new(), ContainerMask::NONE, &mut out);
    out
}

/// The compared fields that differ. The pointers can hold values, and are not for showing.
pub(super) fn changes(running: &ContainerShape, rendered: &ContainerShape, view: &View<'_>) -> Vec<FieldChange> {
    if running.fingerprint == rendered.fingerprint && !view.depends_on_pod(rendered) {
        return Vec::new();
    }
    let (runs, renders) = (running.projection.value(), view.translated(rendered, |c| c.projection.value()));
    let mut found = differences(&runs, &renders, view);
    // Rule C6: what somebody else set tells nothing of the injector.
    let unknown = |projection: &Value| projection.get("resources").is_some_and(|r| r == UNKNOWN);
    if unknown(&runs) || unknown(&renders) {
        found.retain(|field| !field.pointer.starts_with("/resources"));
    }
    found
}

/// Whether a field is compared by default: of an app container no other one counts as collateral (rule C14).
pub(super) fn of_default_set(field: &FieldChange) -> bool {
    let first = field.pointer.split('/').nth(1).unwrap_or_default();
    matches!(first, "image" | "command" | "args" | "env" | "envFrom")
}

/// The fields that differ beside those of the projection (rule C14).
pub(super) fn collateral_changes(
    running: &ContainerShape,
    rendered: &ContainerShape,
    view: &View<'_>,
) -> Vec<FieldChange> {
    if running.collateral == rendered.collateral && !view.depends_on_pod(rendered) {
        return Vec::new();
    }
    let rendered = view.translated(rendered, |c| c.collateral.value());
    differences(&running.collateral.value(), &rendered, view)
}

/// A rendering's fields as they are for the Pod in question.
pub(super) fn renamed(rendered: &ContainerShape, view: &View<'_>) -> BTreeMap<String, Text> {
    let projection = view.translated(rendered, |c| c.projection.value());
    let projection = match view.unproven_names() {
        Some(names) => with_own_image(names.apply_to(&projection), &projection),
        None => projection,
    };
    let mut out = BTreeMap::new();
    collect(&projection, &mut String::new(), view.mask, &mut out);
    out
}

/// An image never depends on the Pod; whatever else it looks like, it is not to be touched.
pub(super) fn with_own_image(mut translated: Value, own: &Value) -> Value {
    if let (Some(image), Some(own)) = (translated.get_mut("image"), own.get("image")) {
        *image = own.clone();
    }
    translated
}

fn differences(running: &Value, rendered: &Value, view: &View<'_>) -> Vec<FieldChange> {
    let all = |value: &Value| {
        let mut out = BTreeMap::new();
        if !value.is_null() {
            collect(value, &mut String::new(), view.mask, &mut out);
        }
        out
    };
    let names = view.unproven_names();
    let (before, after) = (all(running), all(rendered));
    let mut runs = before;
    let mut changes = Vec::new();
    for (pointer, text) in after {
        // A name can also be part of a key: `[name=db-6]`.
        let renamed = |names: &NameMap<'_>| Some(names.apply(&pointer).into_owned()).filter(|p| runs.contains_key(p));
        let pointer = match &names {
            Some(names) if !runs.contains_key(&pointer) => renamed(names).unwrap_or(pointer),
            _ => pointer,
        };
        let before = runs.remove(&pointer);
        let same = before.as_ref().is_some_and(|before| {
            *before == text || names.as_ref().is_some_and(|names| *before == with_name(&pointer, text.clone(), names))
        });
        if !same {
            changes.push(FieldChange { pointer, plain: None, running: before, rendered: Some(text) });
        }
    }
    changes.extend(runs.into_iter().map(|(pointer, before)| FieldChange {
        pointer,
        plain: None,
        running: Some(before),
        rendered: None,
    }));
    changes.sort();
    changes
}

/// As [`with_own_image`].
fn with_name(pointer: &str, text: Text, names: &NameMap<'_>) -> Text {
    if pointer == IMAGE {
        return text;
    }
    match names.apply(&text) {
        Cow::Borrowed(_) => text,
        Cow::Owned(replaced) => replaced.into(),
    }
}

fn collect(value: &Value, pointer: &mut String, mask: ContainerMask<'_>, out: &mut BTreeMap<String, Text>) {
    if mask.hides(pointer) {
        return;
    }
    match value {
        Value::Object(members) if !members.is_empty() => {
            for (key, member) in members {
                below(pointer, key, |pointer| collect(member, pointer, mask, out));
            }
        }
        Value::Array(elements) if !elements.is_empty() => {
            let mut elements: Vec<&Value> = elements.iter().collect();
            if mask.unordered(pointer) {
                elements.sort_by_cached_key(ToString::to_string);
            }
            for (index, element) in elements.into_iter().enumerate() {
                below(pointer, &index.to_string(), |pointer| collect(element, pointer, mask, out));
            }
        }
        // A container without any compared field has no leaf.
        Value::Object(_) if pointer.is_empty() => {}
        Value::String(text) => drop(out.insert(pointer.clone(), text.as_str().into())),
        other => drop(out.insert(pointer.clone(), other.to_string().into())),
    }
}

/// Runs with the pointer one segment longer.
pub(super) fn below<R>(pointer: &mut String, segment: &str, run: impl FnOnce(&mut String) -> R) -> R {
    let length = pointer.len();
    pointer.push('/');
    pointer.push_str(&escaped(segment));
    let result = run(pointer);
    pointer.truncate(length);
    result
}
