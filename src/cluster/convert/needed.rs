//! Decoding only what is needed of an object: the rest of the text is passed over, and never becomes a value.
//!
//! Most of a Pod's JSON says nothing that a verdict depends on, and nearly every event is about a Pod.

mod container;
mod recover;
mod text;

use std::fmt;

use serde::de::{Deserialize as _, DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{
    Map, Value,
    value::{Number, RawValue},
};

use self::container::CONTAINER;
use crate::core::model::shape::FieldSet;

/// What is needed of a place in an object. What is there of another type than expected is kept, as far as it says so.
#[derive(Clone, Copy, Debug)]
pub(in crate::cluster) enum Needed {
    /// All of it.
    All,
    /// These members; one that begins with `*` stands for all that end so.
    Members(&'static [(&'static str, Needed)]),
    /// Of each member, whatever it is called, or of each item.
    Each(&'static Needed),
    /// That, as a string that holds its JSON: what is mostly the same as what was read before is compared first, and made
    /// values of only if it is not.
    Text(&'static Needed),
}

use Needed::{All, Each, Members, Text};

/// The labels that name a Pod's revision.
const LABELS: Needed =
    Members(&[("pod-template-hash", All), ("controller-revision-hash", All), ("pod-template-generation", All)]);

/// A Pod, with these of its labels, and of its spec that.
macro_rules! pod {
    ($labels:expr, $spec:expr) => {
        Members(&[("metadata", metadata!($labels)), ("spec", $spec), ("status", STATUS)])
    };
}

macro_rules! metadata {
    ($labels:expr) => {
        Members(&[
            ("name", All),
            ("namespace", All),
            ("uid", All),
            ("resourceVersion", All),
            ("generation", All),
            ("creationTimestamp", All),
            ("deletionTimestamp", All),
            ("ownerReferences", All),
            ("labels", $labels),
            ("annotations", ANNOTATIONS),
            ("managedFields", Each(&WRITER)),
        ])
    };
}

const ANNOTATIONS: Needed = Members(&[
    ("kubernetes.io/config.mirror", All),
    ("kubernetes.io/limit-ranger", All),
    ("vpaUpdates", All),
    ("vpaObservedContainers", All),
    // Our stamp, whatever its keys begin with.
    ("*.rollout.timestamp", All),
]);

/// An entry of `managedFields`: who created the Pod, and who wrote an image.
const WRITER: Needed = Members(&[
    ("subresource", All),
    ("time", All),
    (
        "fieldsV1",
        Members(&[
            ("f:metadata", Members(&[("f:generateName", All), ("f:ownerReferences", All)])),
            ("f:spec", Members(&[("f:containers", Each(&WRITTEN)), ("f:initContainers", Each(&WRITTEN))])),
        ]),
    ),
]);

const WRITTEN: Needed = Members(&[("f:image", All)]);

const STATUS: Needed = Members(&[
    ("phase", All),
    ("resize", All),
    // Why it is not scheduled, too.
    ("conditions", Each(&Members(&[("type", All), ("status", All), ("reason", All)]))),
    ("initContainerStatuses", Each(&CONTAINER_STATUS)),
    ("containerStatuses", Each(&CONTAINER_STATUS)),
]);

const CONTAINER_STATUS: Needed = Members(&[
    ("ready", All),
    ("restartCount", All),
    ("state", Members(&[("waiting", Members(&[("reason", All)])), ("terminated", Members(&[("exitCode", All)]))])),
]);

/// Volumes: those are looked for that hold a token.
const VOLUMES: Needed = Each(&Members(&[("name", All), ("projected", All)]));

/// Containers, each as text.
const CONTAINERS: Needed = Each(&Text(&CONTAINER));

/// The spec of a Pod or of a template, as far as it makes its shape when the default fields are compared.
pub(in crate::cluster) const SHAPE: Needed =
    Members(&[("volumes", VOLUMES), ("initContainers", CONTAINERS), ("containers", CONTAINERS)]);

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";

const SPEC: Needed = Members(&[
    ("serviceAccountName", All),
    ("nodeName", All),
    ("affinity", Members(&[("nodeAffinity", Members(&[(REQUIRED, All)]))])),
    ("volumes", VOLUMES),
    ("initContainers", CONTAINERS),
    ("containers", CONTAINERS),
]);

/// What is needed of a Pod when these fields of its containers are compared; with all its labels, where the kind that owns it
/// may have one of its own for the revision. With the default fields the containers are text.
pub(in crate::cluster) fn pod(fields: FieldSet, all_labels: bool) -> Needed {
    match (fields, all_labels) {
        (FieldSet::Default, false) => pod!(LABELS, SPEC),
        (FieldSet::Default, true) => pod!(All, SPEC),
        (FieldSet::Resources | FieldSet::All, false) => pod!(LABELS, All),
        (FieldSet::Resources | FieldSet::All, true) => pod!(All, All),
    }
}

impl Needed {
    /// What is needed of the member of this name; `None`: nothing.
    fn of_member(self, key: &str) -> Option<Self> {
        match self {
            All => Some(All),
            Each(item) => Some(*item),
            Members(known) => {
                let is_it = |name: &str| name == key || name.strip_prefix('*').is_some_and(|end| key.ends_with(end));
                known.iter().find(|(name, _)| is_it(name)).map(|(_, needed)| *needed)
            }
            Text(_) => None,
        }
    }

    /// What is needed of each item of a list; `None`: no list was expected, and that it is one is all that is told of it.
    fn of_item(self) -> Option<Self> {
        match self {
            All => Some(All),
            Each(item) => Some(*item),
            Members(_) | Text(_) => None,
        }
    }
}

/// What lies deeper is kept as a text that holds its JSON. The API server stores what is nested a few hundred deep, and anybody
/// may write it; whatever walks through a value must not need a stack for that. Nothing that we look at lies half as deep.
const DEEPEST: usize = 48;

/// What was decoded of an object's text.
#[derive(Clone, Debug, Default)]
pub(in crate::cluster) struct Decoded {
    /// All that is needed, or all of that which can be decoded.
    pub(in crate::cluster) object: Value,
    /// What cannot be decoded, as JSON pointers. Almost always empty.
    pub(in crate::cluster) lost: Vec<String>,
}

impl Needed {
    /// What is needed of this text, which is one JSON value and nothing else.
    pub(in crate::cluster) fn read(self, text: &[u8]) -> Result<Value, serde_json::Error> {
        let mut reader = serde_json::Deserializer::from_slice(text);
        let value = self.deserialize(&mut reader)?;
        reader.end().map(|()| value)
    }

    /// The same, and of what cannot be decoded as a whole each part that can: an object whose name can be read is never
    /// lost, whatever else stands in it.
    pub(in crate::cluster) fn read_or_recover(self, text: &[u8]) -> Decoded {
        match self.read(text) {
            Ok(object) => Decoded { object, lost: Vec::new() },
            Err(_) => recover::recover(self, text),
        }
    }
}

/// Reads what is needed of a place so deep in an object.
#[derive(Clone, Copy)]
struct Reader {
    needed: Needed,
    depth: usize,
}

impl Reader {
    fn below(self, needed: Needed) -> Self {
        Self { needed, depth: self.depth + 1 }
    }
}

impl<'de> DeserializeSeed<'de> for Needed {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        Reader { needed: self, depth: 0 }.deserialize(deserializer)
    }
}

impl<'de> DeserializeSeed<'de> for Reader {
    type Value = Value;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Value, D::Error> {
        match self.needed {
            Text(needed) => text::read(*needed, deserializer).map(Value::String),
            // To pass over a value takes no stack.
            _ if self.depth >= DEEPEST => {
                let text = Box::<RawValue>::deserialize(deserializer)?;
                let nested = text.get().starts_with(['{', '[']);
                if nested { Ok(text.get().into()) } else { serde_json::from_str(text.get()).map_err(D::Error::custom) }
            }
            _ => deserializer.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Reader {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("any JSON")
    }

    fn visit_bool<E>(self, value: bool) -> Result<Value, E> {
        Ok(Value::Bool(value))
    }

    fn visit_i64<E>(self, value: i64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_u64<E>(self, value: u64) -> Result<Value, E> {
        Ok(Value::Number(value.into()))
    }

    fn visit_f64<E>(self, value: f64) -> Result<Value, E> {
        Ok(Number::from_f64(value).map_or(Value::Null, Value::Number))
    }

    fn visit_str<E>(self, value: &str) -> Result<Value, E> {
        Ok(Value::String(value.to_owned()))
    }

    fn visit_string<E>(self, value: String) -> Result<Value, E> {
        Ok(Value::String(value))
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut sequence: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        let Some(item) = self.needed.of_item() else {
            while sequence.next_element::<IgnoredAny>()?.is_some() {}
            return Ok(Value::Array(items));
        };
        while let Some(value) = sequence.next_element_seed(self.below(item))? {
            items.push(value);
        }
        Ok(Value::Array(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut members = Map::new();
        while let Some((key, needed)) = map.next_key_seed(Key(self.needed))? {
            match needed {
                Some(needed) => drop(members.insert(key, map.next_value_seed(self.below(needed))?)),
                None => drop(map.next_value::<IgnoredAny>()?),
            }
        }
        Ok(Value::Object(members))
    }
}

/// Reads a member's name, and what is needed of the member; a name that is not needed is not kept.
struct Key(Needed);

type Member = (String, Option<Needed>);

impl<'de> DeserializeSeed<'de> for Key {
    type Value = Member;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Member, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Key {
    type Value = Member;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a member's name")
    }

    fn visit_str<E>(self, key: &str) -> Result<Member, E> {
        let needed = self.0.of_member(key);
        let key = if needed.is_some() { key.to_owned() } else { String::new() };
        Ok((key, needed))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::{
        cluster::convert,
        core::model::{Object, PodState},
    };

    fn decoded(text: &str, needed: Needed) -> Value {
        needed.deserialize(&mut serde_json::Deserializer::from_str(text)).unwrap()
    }

    #[test]
    fn what_is_not_needed_is_passed_over() {
        let text = json!({"a": {"b": 1, "c": [1, 2]}, "d": "x", "e": [{"f": 1.5, "g": null}, {"f": -1}]}).to_string();
        let needed = Members(&[("a", Members(&[("b", All)])), ("e", Each(&Members(&[("f", All)])))]);
        assert_eq!(decoded(&text, needed), json!({"a": {"b": 1}, "e": [{"f": 1.5}, {"f": -1}]}));
        assert_eq!(decoded(&text, All).to_string(), text);
    }

    #[test]
    fn what_is_of_another_type_is_told() {
        let needed = Members(&[("a", Members(&[("b", All)])), ("c", Each(&All))]);
        assert_eq!(decoded(r#"{"a": [1], "c": "text"}"#, needed), json!({"a": [], "c": "text"}));
    }

    /// An array in an array and so on, so deep.
    fn nested(depth: usize) -> String {
        "[".repeat(depth) + &"]".repeat(depth)
    }

    #[test]
    fn however_deep_a_value_is_nothing_is_lost_and_the_stack_is_not_needed() {
        for depth in [DEEPEST - 1, DEEPEST, 127, 128, 300, 10_000, 1_000_000] {
            let text = format!(r#"{{"a":{},"b":"c"}}"#, nested(depth));
            let value = All.read(text.as_bytes()).unwrap();
            assert_eq!(value["b"], "c");
            let (mut deepest, mut levels) = (&value["a"], 0);
            while let Some(inner) = deepest.as_array().and_then(|items| items.first()) {
                (deepest, levels) = (inner, levels + 1);
            }
            match deepest.as_str() {
                None => assert!(levels + 1 == depth && depth < DEEPEST),
                // As text it is all there still.
                Some(rest) => assert_eq!(rest, nested(depth - levels)),
            }
            assert_eq!(decoded(&text, Members(&[("b", All)])), json!({"b": "c"}), "passed over");
        }
        assert_eq!(
            decoded(&("[".repeat(DEEPEST) + "7,\"x\"" + &"]".repeat(DEEPEST)), All).to_string().matches('"').count(),
            2
        );
    }

    #[test]
    fn what_is_too_deep_to_be_closed_is_an_error() {
        assert!(All.read("[".repeat(1_000_000).as_bytes()).is_err());
        assert!(All.read(br#"{"a":1} {"b":2}"#).is_err());
    }

    /// Every recorded Pod, and one in which each field is of a wrong type, gives the same either way.
    #[test]
    fn nothing_that_is_read_of_a_pod_is_left_out() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/it/fixtures");
        let mut pods = recorded(folder.as_ref());
        assert!(pods.len() > 5, "the recordings were not found");
        pods.extend(pods.clone().iter().flat_map(spoiled).collect::<Vec<_>>());
        for pod in pods {
            let sets = [FieldSet::Default, FieldSet::Resources, FieldSet::All];
            for (fields, all_labels) in sets.into_iter().flat_map(|fields| [(fields, false), (fields, true)]) {
                let pruned = decoded(&pod.to_string(), self::pod(fields, all_labels));
                let pruned = Decoded { object: pruned, lost: Vec::new() };
                assert_eq!(convert::decoded_pod(pruned, fields), convert::pod(&pod, fields), "{pod}");
            }
        }
    }

    /// No recorded Pod is in trouble: what it waits for, and how often it was started again, is read all the same.
    #[test]
    fn what_holds_a_pod_up_is_read_of_it() {
        let pod = |status: Value| {
            json!({
                "apiVersion": "v1", "kind": "Pod",
                "metadata": { "name": "web-1", "namespace": "shop", "uid": "u", "resourceVersion": "1" },
                "spec": { "containers": [{ "name": "app", "image": "app:1" }] },
                "status": status,
            })
        };
        let unscheduled = |reason: &str| {
            json!({ "phase": "Pending",
            "conditions": [{ "type": "PodScheduled", "status": "False", "reason": reason, "message": "no" }] })
        };
        let started = |reason: &str| {
            json!({ "phase": "Running", "containerStatuses": [
            { "name": "app", "ready": false, "restartCount": 3, "state": { "waiting": { "reason": reason } } }] })
        };
        let ended = json!({ "phase": "Running", "containerStatuses": [
            { "name": "app", "ready": false, "restartCount": 3, "state": { "terminated": { "exitCode": 1 } } }] });
        let waits = |state: PodState| state.waits_for.is_some();
        let restarted = |state: PodState| state.restarts == 3 && state.crashing;
        for (status, is_read) in [
            (unscheduled("Unschedulable"), &waits as &dyn Fn(PodState) -> bool),
            (unscheduled("SchedulingGated"), &waits),
            (started("ImagePullBackOff"), &waits),
            (started("CrashLoopBackOff"), &restarted),
            (ended, &restarted),
        ] {
            let pod = pod(status);
            let pruned = decoded(&pod.to_string(), self::pod(FieldSet::Default, false));
            let read = convert::decoded_pod(Decoded { object: pruned, lost: Vec::new() }, FieldSet::Default);
            assert_eq!(read, convert::pod(&pod, FieldSet::Default), "{pod}");
            let Some(Object::Pod(read)) = read.object else { panic!("no Pod: {pod}") };
            assert!(is_read(read.state), "{pod}: {read:?}");
        }
    }

    fn recorded(folder: &std::path::Path) -> Vec<Value> {
        let mut found = Vec::new();
        for entry in std::fs::read_dir(folder).unwrap().flatten() {
            if entry.path().is_dir() {
                found.extend(recorded(&entry.path()));
            } else if entry.path().extension().is_some_and(|extension| extension == "json") {
                let object: Value = serde_json::from_str(&std::fs::read_to_string(entry.path()).unwrap()).unwrap();
                found.extend(Some(object).filter(|object| object["kind"] == "Pod"));
            }
        }
        found
    }

    /// The same with one member after another replaced, down to the third level.
    fn spoiled(pod: &Value) -> Vec<Value> {
        let mut places = vec![String::new()];
        for _ in 0..3 {
            let below: Vec<_> = places.iter().flat_map(|place| members(pod, place)).collect();
            places.extend(below);
        }
        places.sort();
        places.dedup();
        let wrong = [json!(7), json!("text"), json!([1]), json!({"x": 1}), Value::Null];
        let spoil = |place: &String| {
            wrong.clone().map(|wrong| {
                let mut spoiled = pod.clone();
                *spoiled.pointer_mut(place).unwrap() = wrong;
                spoiled
            })
        };
        places.iter().filter(|place| !place.is_empty()).flat_map(spoil).collect()
    }

    fn members(pod: &Value, place: &str) -> Vec<String> {
        let escaped = |key: &String| key.replace('~', "~0").replace('/', "~1");
        let object = pod.pointer(place).and_then(Value::as_object);
        object.into_iter().flatten().map(|(key, _)| format!("{place}/{}", escaped(key))).collect()
    }
}
