//! A container's fields, one by one.

use std::{borrow::Cow, collections::BTreeMap};

use serde_json::Value;

use super::{
    difference::{FieldChange, IMAGE, SECURITY_CONTEXT, Text},
    mask::ContainerMask,
    redacted_pointer::escaped,
};
use crate::core::model::{
    canonical::whole_word,
    shape::{ContainerShape, UNKNOWN},
};

/// Two names of one Pod (rule R3): a StatefulSet's rendering carries the name of an ordinal that does not exist.
#[derive(Clone, Copy, Debug)]
pub struct NameMap<'a> {
    /// The rendering's.
    pub rendered: &'a str,
    /// The running Pod's.
    pub running: &'a str,
    /// Two names of its namespace: a rendering as if in another one.
    pub namespaces: Option<(&'a str, &'a str)>,
}

impl NameMap<'_> {
    /// The running Pod's name, if the rendering has another one.
    pub(super) fn pod(&self) -> Option<&str> {
        Some(self.running).filter(|_| !self.rendered.is_empty())
    }

    fn apply<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let named = whole_word::replace(text, self.rendered, self.running);
        let Some((rendered, running)) = self.namespaces else { return named };
        match named {
            Cow::Borrowed(text) => whole_word::replace(text, rendered, running),
            Cow::Owned(text) => Cow::Owned(whole_word::replace(&text, rendered, running).into_owned()),
        }
    }
}

/// How fields are looked at.
pub(super) struct View<'a> {
    pub(super) mask: ContainerMask<'a>,
    pub(super) names: Option<&'a NameMap<'a>>,
}

/// A canonical projection's leaves by pointer (RFC 6901). An empty object or list within is a leaf of its own.
pub fn leaves(canonical: &Value) -> BTreeMap<String, Text> {
    let mut out = BTreeMap::new();
    collect(canonical, &mut String::new(), ContainerMask::NONE, &mut out);
    out
}

/// The compared fields that differ. The pointers can hold values, and are not for showing.
pub(super) fn changes(running: &ContainerShape, rendered: &ContainerShape, view: &View<'_>) -> Vec<FieldChange> {
    if running.fingerprint == rendered.fingerprint {
        return Vec::new();
    }
    let (runs, renders) = (running.projection.value(), rendered.projection.value());
    let mut found = differences(&runs, &renders, "", view);
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
    if running.collateral == rendered.collateral {
        return Vec::new();
    }
    differences(&running.collateral.value(), &rendered.collateral.value(), SECURITY_CONTEXT, view)
}

/// A rendering's projection, with the running Pod's name in place of its own where it has one.
pub(super) fn projection(rendered: &ContainerShape, names: Option<&NameMap<'_>>) -> Value {
    let projection = rendered.projection.value();
    match names {
        Some(names) => with_names(&projection, names),
        None => projection,
    }
}

/// A rendering's fields with the running Pod's name in place of its own.
pub(super) fn renamed(rendered: &ContainerShape, view: &View<'_>) -> BTreeMap<String, Text> {
    let projection = projection(rendered, view.names);
    let mut out = BTreeMap::new();
    collect(&projection, &mut String::new(), view.mask, &mut out);
    out
}

/// A projection with the running Pod's name in place of the rendered one, in keys, too; but not in the image.
fn with_names(projection: &Value, names: &NameMap<'_>) -> Value {
    fn all(value: &Value, names: &NameMap<'_>) -> Value {
        match value {
            Value::String(text) => names.apply(text).into(),
            Value::Array(elements) => elements.iter().map(|e| all(e, names)).collect(),
            Value::Object(members) => {
                members.iter().map(|(k, v)| (names.apply(k).into_owned(), all(v, names))).collect()
            }
            scalar => scalar.clone(),
        }
    }
    let mut out = all(projection, names);
    if let (Some(renamed), Some(image)) = (out.get_mut("image"), projection.get("image")) {
        *renamed = image.clone();
    }
    out
}

fn differences(running: &Value, rendered: &Value, prefix: &str, view: &View<'_>) -> Vec<FieldChange> {
    let all = |value: &Value| {
        let mut out = BTreeMap::new();
        if !value.is_null() {
            collect(value, &mut prefix.to_owned(), view.mask, &mut out);
        }
        out
    };
    let (before, after) = (all(running), all(rendered));
    let mut runs = before;
    let mut changes = Vec::new();
    for (pointer, text) in after {
        // A name can also be part of a key: `[name=db-6]`.
        let renamed = |names: &NameMap<'_>| Some(names.apply(&pointer).into_owned()).filter(|p| runs.contains_key(p));
        let pointer = match view.names {
            Some(names) if !runs.contains_key(&pointer) => renamed(names).unwrap_or(pointer),
            _ => pointer,
        };
        let before = runs.remove(&pointer);
        let same = before.as_ref().is_some_and(|before| {
            *before == text || view.names.is_some_and(|names| *before == with_name(&pointer, text.clone(), names))
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

/// An image never depends on the Pod's name; whatever else it looks like, it is not to be touched.
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
