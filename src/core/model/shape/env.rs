//! The environment of a container in canonical form (rules C3, C5, C6, C10).

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use crate::core::model::shape::{lenient::text, packed::Packed, token_volumes::TokenVolumes};
use crate::core::model::{canonical, fingerprint::Fingerprint};

/// The entries before one, by name; with its fingerprint if a later one overrides it.
type Seen = BTreeMap<String, Option<Fingerprint>>;

/// `env` as an object by name. Of several entries of one name the last one wins, as in the kubelet; the order means
/// nothing but for `$(VAR)` references, see [`references`].
pub(super) fn env(list: &Value, volumes: &TokenVolumes) -> Value {
    let Some(entries) = list.as_array() else { return Value::String(volumes.canonical(&text(list))) };
    let mut winners: BTreeMap<String, usize> = BTreeMap::new();
    for (position, entry) in entries.iter().enumerate() {
        winners.insert(name(entry), position);
    }
    let mut seen = Seen::new();
    let mut out = Map::new();
    for (position, entry) in entries.iter().enumerate() {
        let name = name(entry);
        let canonical = Value::Object(one(entry, volumes, &seen, &winners));
        let overridden = winners.get(&name).is_some_and(|winner| *winner != position);
        seen.insert(name.clone(), overridden.then(|| Fingerprint::of(&Packed::of(&canonical))));
        out.insert(name, canonical);
    }
    Value::Object(out)
}

/// `envFrom`: its order decides which source wins, so it stays a list.
pub(super) fn env_from(list: &Value, volumes: &TokenVolumes) -> Value {
    let mut sources = list.clone();
    for source in sources.as_array_mut().into_iter().flatten() {
        let Some(source) = source.as_object_mut() else { continue };
        source.retain(|key, value| !(value.is_null() || key == "prefix" && value == ""));
        source.values_mut().for_each(drop_defaults);
    }
    volumes.canonical_all(sources)
}

fn name(entry: &Value) -> String {
    // What is no object at all still has to be told apart from its absence.
    text(if entry.is_object() { entry.get("name").unwrap_or(&Value::Null) } else { entry })
}

/// One entry: `{"value": ..}` or `{"valueFrom": ..}`, with `encoding` for structured values and `references` where the
/// order matters.
fn one(entry: &Value, volumes: &TokenVolumes, seen: &Seen, winners: &BTreeMap<String, usize>) -> Map<String, Value> {
    let mut out = Map::new();
    let value = entry.get("value").map(text).unwrap_or_default();
    let from = entry.get("valueFrom").filter(|from| !from.is_null());
    if let Some(from) = from {
        let mut from = from.clone();
        from.as_object_mut().into_iter().flat_map(Map::values_mut).for_each(drop_defaults);
        out.insert("valueFrom".to_owned(), volumes.canonical_all(from));
    }
    // The kubelet takes `valueFrom` only where `value` is empty, and an absent value is the empty string.
    if from.is_none() || !value.is_empty() {
        let canonical = canonical::canonical(&volumes.canonical(&value));
        if let Some(encoding) = canonical.encoding {
            out.insert("encoding".to_owned(), json!(encoding));
        }
        out.insert("value".to_owned(), canonical.value);
    }
    let references = references(&value, seen, winners);
    if !references.is_empty() {
        out.insert("references".to_owned(), Value::Object(references));
    }
    out
}

/// What the order of the entries decides (rule C3): the kubelet expands `$(A)` by the entries *before*, so it stays as
/// it is where `A` comes later, and takes the earlier `A` where a later one overrides it.
///
/// The usual case, `A` defined once and before, leaves no trace; so any other order of the entries is the same.
fn references(value: &str, seen: &Seen, winners: &BTreeMap<String, usize>) -> Map<String, Value> {
    let defined = referenced(value).filter(|name| winners.contains_key(*name));
    let relevant = defined.filter_map(|name| match seen.get(name) {
        None => Some((name.to_owned(), json!("undefined"))),
        // A hash and not the entry: entries that refer to each other many times over must not grow without bound.
        Some(Some(overridden)) => Some((name.to_owned(), json!(overridden.to_string()))),
        Some(None) => None,
    });
    relevant.collect()
}

/// The names in `$(NAME)`, where `$$` stands for a `$` and begins nothing, as the kubelet reads them.
fn referenced(value: &str) -> impl Iterator<Item = &str> {
    let mut rest = value;
    std::iter::from_fn(move || {
        loop {
            let (_, after) = rest.split_once('$')?;
            if let Some(reference) = after.strip_prefix('(')
                && let Some((name, behind)) = reference.split_once(')')
            {
                rest = behind;
                return Some(name);
            }
            let mut skipped = after.chars();
            skipped.next();
            rest = skipped.as_str();
        }
    })
}

/// Takes out of one source (`fieldRef`, `secretKeyRef`, ...) what the API server would put in by itself, and what says
/// the same as nothing: old Pods and other versions of the API may lack it.
fn drop_defaults(source: &mut Value) {
    let Some(source) = source.as_object_mut() else { return };
    source.retain(|key, value| {
        let default = match key.as_str() {
            "apiVersion" => *value == "v1",
            "optional" => *value == false,
            // Nought means one here.
            "divisor" => matches!(text(value).as_str(), "0" | "1"),
            _ => false,
        };
        !(default || value.is_null())
    });
}
