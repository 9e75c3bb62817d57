//! One container, reduced to what is compared.

use std::hash::{Hash, Hasher};

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::{collateral, env, lenient, packed::Packed, resources::Resources, token_volumes::TokenVolumes};
use crate::core::model::{fingerprint::Fingerprint, name::Name, words::Placement};

/// Which fields of a container are compared (rule C6).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum FieldSet {
    /// Image, command, arguments and environment.
    #[default]
    Default,
    /// And the resources, as far as it was the injector that set them.
    Resources,
    /// And all others.
    All,
}

impl FieldSet {
    /// Whether these are the default.
    pub fn is_default(&self) -> bool {
        *self == Self::Default
    }
}

/// One container of a `PodShape`.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct ContainerShape {
    /// The container's name, unique within its Pod.
    pub name: Name,
    /// In which list it stands, and how.
    pub placement: Placement,
    /// The image as written, empty if absent.
    pub image: Name,
    /// The compared fields in canonical form (rules C3-C6): an object with some of the keys `image`, `command`,
    /// `args`, `env`, `envFrom`. Placement is not in it.
    pub projection: Packed,
    /// The fingerprint of `projection`.
    pub fingerprint: Fingerprint,
    /// What beside the projection counts as collateral in an app container (rule C14): an object, by field.
    pub collateral: Packed,
}

/// The fingerprint stands for the projection: to unpack that for every event of a Pod would be work for nothing.
impl PartialEq for ContainerShape {
    fn eq(&self, other: &Self) -> bool {
        let Self { name, placement, image, projection: _, fingerprint, collateral } = self;
        (name, placement, image) == (&other.name, &other.placement, &other.image)
            && (fingerprint, collateral) == (&other.fingerprint, &other.collateral)
    }
}

impl Eq for ContainerShape {}

/// As they are compared.
impl Hash for ContainerShape {
    fn hash<H: Hasher>(&self, state: &mut H) {
        (&self.name, self.placement, self.fingerprint).hash(state);
    }
}

/// How a Pod's containers are looked at.
pub(super) struct View<'a> {
    pub(super) fields: FieldSet,
    pub(super) resources: Resources<'a>,
}

impl ContainerShape {
    pub(super) fn of(container: &Value, list: List, volumes: &TokenVolumes, view: &View<'_>) -> Self {
        let placement = list.placement(container);
        let projection = Packed::of(&projection(container, placement, volumes, view));
        let text = |field| container.get(field).map(lenient::text).unwrap_or_default();
        Self {
            name: text("name").into(),
            placement,
            image: text("image").into(),
            fingerprint: Fingerprint::of(&projection),
            projection,
            collateral: Packed::of(&collateral::of(container, placement)),
        }
    }
}

impl ContainerShape {
    /// Its name and its place alone.
    pub(super) fn outline(&self) -> Self {
        let nothing = Packed::of(&Value::Null);
        Self {
            name: self.name.clone(),
            placement: self.placement,
            image: Name::default(),
            fingerprint: Fingerprint::of(&nothing),
            projection: nothing.clone(),
            collateral: nothing,
        }
    }
}

/// A Pod's list of containers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum List {
    Init,
    Ordinary,
}

impl List {
    fn placement(self, container: &Value) -> Placement {
        match (self, container.get("restartPolicy").and_then(Value::as_str)) {
            (Self::Ordinary, _) => Placement::Ordinary,
            (Self::Init, Some("Always")) => Placement::Native,
            (Self::Init, _) => Placement::Init,
        }
    }
}

/// The compared fields (rule C6) in canonical form (C3-C5). An empty field and an absent one are the same.
fn projection(container: &Value, placement: Placement, volumes: &TokenVolumes, view: &View<'_>) -> Value {
    let mut out = Map::new();
    for (field, value) in container.as_object().into_iter().flatten() {
        let canonical = match field.as_str() {
            "image" => Value::String(lenient::text(value)),
            "command" | "args" => words(value, volumes),
            "env" => env::env(value, volumes),
            "envFrom" => env::env_from(value, volumes),
            "resources" if view.fields >= FieldSet::Resources => view.resources.of_container(container, placement),
            // A native sidecar is told by a word of its own, and the name is how the container is found.
            "restartPolicy" if placement == Placement::Native => continue,
            "name" | "resources" => continue,
            other if view.fields == FieldSet::All => beside(other, value, volumes),
            _ => continue,
        };
        if !lenient::is_empty(&canonical) {
            out.insert(field.clone(), canonical);
        }
    }
    Value::Object(out)
}

/// A field that is compared only if all are.
fn beside(field: &str, value: &Value, volumes: &TokenVolumes) -> Value {
    let value = volumes.canonical_all(lenient::without_nulls(value));
    match field {
        "securityContext" => collateral::security_context(Some(&value)),
        "volumeMounts" => by_path(&value, "mountPath"),
        "volumeDevices" => by_path(&value, "devicePath"),
        "ports" => {
            let mut ports = lenient::list(Some(&value)).to_vec();
            ports.sort_by_cached_key(Value::to_string);
            Value::Array(ports)
        }
        _ => value,
    }
}

/// A list in no order whose elements are told apart by a path of theirs. A volume that is called by a number has another one
/// in each Pod of some injectors (rule C5): there the path says which it is.
fn by_path(list: &Value, path: &str) -> Value {
    let mut out = Map::new();
    for (number, element) in lenient::list(Some(list)).iter().enumerate() {
        let mut element = element.clone();
        let key = element.get(path).map_or_else(|| format!("({number})"), lenient::text);
        if let Some(members) = element.as_object_mut() {
            members.remove(path);
            let numbered = |name: &str| {
                name.rsplit_once('-').is_some_and(|(_, n)| !n.is_empty() && n.bytes().all(|b| b.is_ascii_digit()))
            };
            if members.get("name").and_then(Value::as_str).is_some_and(numbered) {
                members.insert("name".to_owned(), Value::from("(numbered)"));
            }
        }
        out.insert(key, element);
    }
    Value::Object(out)
}

/// `command` and `args`: ordered, because it is the order in which the process reads them.
fn words(value: &Value, volumes: &TokenVolumes) -> Value {
    match value {
        Value::Array(words) => words.iter().map(|w| Value::String(volumes.canonical(&lenient::text(w)))).collect(),
        other => Value::String(volumes.canonical(&lenient::text(other))),
    }
}
