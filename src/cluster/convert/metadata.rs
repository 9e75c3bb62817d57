//! What all objects have: names, owners, annotations, and the record of who changed them.

use std::collections::BTreeMap;

use serde_json::Value;
use sha2::{Digest, Sha256};

use super::fields::Field;
use crate::core::model::{ChangedBy, Name, ObjectKey, Operator, Owner, Requirement, Selector};

/// Annotations by which owners speak to us begin with this.
const SAYS_PREFIX: &str = "sidecar-drift/";

/// Namespace and name; `None` without a name.
pub(super) fn key(object: &Field<'_>) -> Option<ObjectKey> {
    let metadata = object.at("metadata");
    let name = metadata.at("name").text().filter(|name| !name.is_empty())?;
    Some(ObjectKey { namespace: metadata.at("namespace").name(), name: Name::from(name) })
}

/// The ownerReference with `controller: true`.
pub(super) fn owner(object: &Field<'_>) -> Option<Owner> {
    let references = object.at("metadata").at("ownerReferences");
    let owner = references.items().find(|reference| reference.at("controller").flag())?;
    Some(Owner {
        api_version: short(&owner.at("apiVersion")),
        kind: short(&owner.at("kind")),
        name: short(&owner.at("name")),
        uid: short(&owner.at("uid")),
    })
}

/// The API server takes a reference to whatever it is told, in any length: of what cannot exist the beginning is kept.
fn short(of: &Field<'_>) -> Name {
    const LONGEST: usize = 253;
    let text = of.text().unwrap_or_default();
    Name::from(text.get(..text.floor_char_boundary(LONGEST)).unwrap_or_default())
}

/// Annotations that begin with `sidecar-drift/`, prefix removed.
pub(super) fn says(object: &Field<'_>) -> BTreeMap<Name, Name> {
    let annotations = object.at("metadata").at("annotations");
    let mut says = BTreeMap::new();
    for (key, _) in annotations.object().into_iter().flatten() {
        if let Some(word) = key.strip_prefix(SAYS_PREFIX) {
            says.insert(Name::from(word), annotations.at(key).name());
        }
    }
    says
}

/// Whether an annotation is one of [`says`].
pub(super) fn is_ours(annotation: &str) -> bool {
    annotation.starts_with(SAYS_PREFIX)
}

/// One annotation's text.
pub(super) fn annotation<'a>(object: &Field<'a>, key: &'a str) -> Option<&'a str> {
    object.at("metadata").at("annotations").at(key).text()
}

/// The newest entry of `managedFields` that is not about the status. Of entries with the same time (the resolution is one
/// second) the last one counts: the API server appends.
pub(super) fn changed_by(object: &Field<'_>) -> Option<ChangedBy> {
    let entries = object.at("metadata").at("managedFields");
    entries
        .items()
        .filter(|entry| !matches!(entry.at("subresource").text(), Some("status" | "scale")))
        .map(|entry| ChangedBy { manager: entry.at("manager").name(), time: entry.at("time").time() })
        .max_by_key(|change| change.time)
}

/// A `LabelSelector`.
pub(super) fn selector(selector: &Field<'_>) -> Selector {
    let mut requirements = Vec::new();
    for (key, value) in selector.at("matchLabels").map() {
        requirements.push(Requirement { key, operator: Operator::In, values: vec![value] });
    }
    for expression in selector.at("matchExpressions").items() {
        let operator = match expression.at("operator").text() {
            Some("In") => Operator::In,
            Some("NotIn") => Operator::NotIn,
            Some("Exists") => Operator::Exists,
            Some("DoesNotExist") => Operator::DoesNotExist,
            _ => Operator::Unknown,
        };
        let values = expression.at("values").items().map(|value| value.name()).collect();
        requirements.push(Requirement { key: expression.at("key").name(), operator, values });
    }
    Selector { requirements }
}

/// sha-256 (hex) of a value's JSON. `serde_json` keeps object keys sorted, so equal values have equal hashes.
pub(super) fn hash(value: &Value) -> Name {
    let mut hex = String::with_capacity(64);
    for byte in Sha256::digest(value.to_string().as_bytes()) {
        hex.extend([byte >> 4, byte & 0xf].map(|digit| char::from_digit(digit.into(), 16).unwrap_or_default()));
    }
    Name::from(hex)
}
