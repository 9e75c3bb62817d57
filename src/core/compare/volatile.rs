//! What differs between two renderings of one template (rule R8).

use std::collections::BTreeSet;

use serde_json::Value;

use super::{
    difference::{ORDER, PLACEMENT},
    field::{below, with_own_image},
    identity::{Follows, NameMap},
    mask::Mask,
    order,
    rendering::Rendering,
    sidecar::injected,
};
use crate::core::model::{Name, quoted::quoted, shape::ContainerShape};

/// Two renderings that differ in what no mask may hide: nothing honest can be said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unstable {
    /// The container.
    pub container: Name,
    /// Its image in the first and in the second rendering; `None`: the container is not there.
    pub images: (Option<Name>, Option<Name>),
}

impl std::fmt::Display for Unstable {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let image = |image: &Option<Name>| quoted(image.as_deref().unwrap_or("no such container")).into_owned();
        let (first, second) = &self.images;
        write!(
            f,
            "two renderings differ in container {}: {}, then {}",
            quoted(&self.container),
            image(first),
            image(second)
        )
    }
}

impl std::error::Error for Unstable {}

/// What of two renderings of one template is volatile.
///
/// - A value that differs is masked.
/// - A list whose elements only changed places is compared as a set from now on. A list that grew or shrank is masked
///   as a whole: its later elements are not at the same places any more, so nothing about one place is known.
/// - A member that only one of them has is masked. Where each has members that the other has not, in a structured
///   value, the keys themselves are drawn anew each time, and the whole object is masked.
/// - Another image, or a container that only one of them has, is no volatile field but another answer: [`Unstable`].
pub fn volatile(first: &Rendering, second: &Rendering) -> Result<Mask, Unstable> {
    let mut mask = Mask::default();
    // What follows from the Pod that each is for (rule R3) is not volatile.
    let names = match (&first.pod_name, &second.pod_name) {
        (Some(first), Some(second)) if first != second => {
            Some(NameMap { rendered: second, running: first, namespaces: None })
        }
        _ => None,
    };
    let follows = Follows::between(second, first, names);
    let sidecars = injected(&first.template, &first.rendered);
    let (first, second) = (&first.rendered, &second.rendered);
    for a in &first.containers {
        let b = second.container(&a.name);
        let Some(b) = b.filter(|b| b.image == a.image) else {
            let images = (Some(a.image.clone()), b.map(|b| b.image.clone()));
            return Err(Unstable { container: a.name.clone(), images });
        };
        let (pointers, unordered) = differing(a, b, follows.as_ref(), !sidecars.contains(&a.name));
        if !pointers.is_empty() {
            mask.pointers.insert(a.name.clone(), pointers);
        }
        if !unordered.is_empty() {
            mask.unordered.insert(a.name.clone(), unordered);
        }
    }
    for (name, _) in order::moved(first, second) {
        if sidecars.contains(&name) && !order::is_compared(first, second) {
            continue;
        }
        mask.pointers.entry(name).or_default().insert(ORDER.to_owned());
    }
    match second.containers.iter().find(|b| first.container(&b.name).is_none()) {
        Some(b) => Err(Unstable { container: b.name.clone(), images: (None, Some(b.image.clone())) }),
        None => Ok(mask),
    }
}

fn differing(
    a: &ContainerShape,
    b: &ContainerShape,
    follows: Option<&Follows<'_>>,
    own: bool,
) -> (BTreeSet<String>, BTreeSet<String>) {
    let mut walk = Walk::default();
    let translated = |a: &Value, b: Value| match follows {
        Some(follows) => with_own_image(follows.translate(&b, a), &b),
        None => b,
    };
    if a.fingerprint != b.fingerprint {
        let (a, b) = (a.projection.value(), b.projection.value());
        walk.compare(&a, &translated(&a, b), &mut String::new());
    }
    // Of a sidecar it is not compared.
    if own && a.collateral != b.collateral {
        let (a, b) = (a.collateral.value(), b.collateral.value());
        walk.compare(&a, &translated(&a, b), &mut String::new());
    }
    if a.placement != b.placement {
        walk.masked.insert(PLACEMENT.to_owned());
    }
    (walk.masked, walk.unordered)
}

#[derive(Default)]
struct Walk {
    masked: BTreeSet<String>,
    unordered: BTreeSet<String>,
}

impl Walk {
    fn compare(&mut self, a: &Value, b: &Value, pointer: &mut String) {
        match (a, b) {
            _ if a == b => {}
            (Value::Object(a), Value::Object(b)) => {
                let gone = a.keys().any(|key| !b.contains_key(key));
                let come = b.keys().any(|key| !a.contains_key(key));
                if gone && come && is_structured(pointer) {
                    self.masked.insert(pointer.clone());
                    return;
                }
                for key in a.keys().chain(b.keys().filter(|key| !a.contains_key(*key))) {
                    below(pointer, key, |pointer| match (a.get(key), b.get(key)) {
                        (Some(a), Some(b)) => self.compare(a, b, pointer),
                        _ => drop(self.masked.insert(pointer.clone())),
                    });
                }
            }
            (Value::Array(a), Value::Array(b)) if a.len() == b.len() => {
                if sorted(a) == sorted(b) {
                    self.unordered.insert(pointer.clone());
                    return;
                }
                for (index, (a, b)) in a.iter().zip(b).enumerate() {
                    below(pointer, &index.to_string(), |pointer| self.compare(a, b, pointer));
                }
            }
            _ => drop(self.masked.insert(pointer.clone())),
        }
    }
}

/// Whether a pointer leads into a structured value: `/env/NAME/value` or below.
fn is_structured(pointer: &str) -> bool {
    let mut segments = pointer.split('/').skip(1);
    segments.next() == Some("env") && segments.nth(1) == Some("value")
}

fn sorted(elements: &[Value]) -> Vec<String> {
    let mut texts: Vec<String> = elements.iter().map(Value::to_string).collect();
    texts.sort_unstable();
    texts
}

#[cfg(test)]
#[path = "volatile_tests.rs"]
mod tests;
