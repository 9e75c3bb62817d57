//! What travels through kube's watcher: an object of any kind, decoded without a chance to fail.

use std::{
    borrow::Cow,
    fmt::{self, Debug},
    marker::PhantomData,
};

use kube::{Resource, api::ObjectMeta, core::DynamicResourceScope};
use serde::{
    Deserialize, Deserializer,
    de::{DeserializeSeed, IgnoredAny, MapAccess, Visitor},
};
use serde_json::Value;

use crate::{
    cluster::convert::{self, Converted, Decoded, KeptKeys, Needed},
    core::{
        io::WatchKind,
        model::{ConfigKind, InjectorKind, Name, Object, ObjectKey, TriggerSnapshot, owner::Kind, shape::FieldSet},
    },
};

/// A kind's place in the API.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cluster) struct Row {
    pub(in crate::cluster) group: Cow<'static, str>,
    pub(in crate::cluster) version: Cow<'static, str>,
    pub(in crate::cluster) kind: Cow<'static, str>,
    pub(in crate::cluster) plural: Cow<'static, str>,
    pub(in crate::cluster) namespaced: bool,
}

/// A row of the table below.
#[derive(Clone, Copy)]
struct TableRow {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    namespaced: bool,
}

const CORE: TableRow = TableRow { group: "", version: "v1", kind: "", plural: "", namespaced: true };
const ADMISSION: TableRow = TableRow { group: "admissionregistration.k8s.io", namespaced: false, ..CORE };

/// The row of a watched kind. `policies` is the version in which admission policies are served. What a trigger names has
/// none before the cluster was asked for it.
pub(in crate::cluster) fn row(kind: WatchKind, policies: &'static str) -> Row {
    let TableRow { group, version, kind, plural, namespaced } = table_row(kind, policies);
    Row { group: group.into(), version: version.into(), kind: kind.into(), plural: plural.into(), namespaced }
}

fn table_row(kind: WatchKind, policies: &'static str) -> TableRow {
    match kind {
        WatchKind::Pods => TableRow { kind: "Pod", plural: "pods", ..CORE },
        WatchKind::Workloads(kind) => {
            let owner = kind.row();
            TableRow {
                group: owner.group,
                version: owner.version,
                kind: owner.kind,
                plural: owner.plural,
                namespaced: true,
            }
        }
        WatchKind::ReplicaSets => TableRow { group: "apps", kind: "ReplicaSet", plural: "replicasets", ..CORE },
        WatchKind::Namespaces => TableRow { kind: "Namespace", plural: "namespaces", namespaced: false, ..CORE },
        WatchKind::Injectors(kind) => match kind {
            InjectorKind::MutatingWebhookConfiguration => {
                TableRow { kind: kind.as_str(), plural: "mutatingwebhookconfigurations", ..ADMISSION }
            }
            InjectorKind::MutatingAdmissionPolicy => {
                TableRow { kind: kind.as_str(), plural: "mutatingadmissionpolicies", version: policies, ..ADMISSION }
            }
            InjectorKind::MutatingAdmissionPolicyBinding => TableRow {
                kind: kind.as_str(),
                plural: "mutatingadmissionpolicybindings",
                version: policies,
                ..ADMISSION
            },
        },
        WatchKind::Configs(kind) => {
            let plural = match kind {
                ConfigKind::ConfigMap => "configmaps",
                ConfigKind::ServiceAccount => "serviceaccounts",
                ConfigKind::LimitRange => "limitranges",
            };
            TableRow { kind: kind.as_str(), plural, ..CORE }
        }
        WatchKind::Trigger(_) => CORE,
        WatchKind::Services => TableRow { kind: "Service", plural: "services", ..CORE },
        WatchKind::EndpointSlices => {
            TableRow { group: "discovery.k8s.io", kind: "EndpointSlice", plural: "endpointslices", ..CORE }
        }
        WatchKind::DisruptionBudgets => {
            TableRow { group: "policy", kind: "PodDisruptionBudget", plural: "poddisruptionbudgets", ..CORE }
        }
        WatchKind::Nodes => TableRow { kind: "Node", plural: "nodes", namespaced: false, ..CORE },
    }
}

/// What is kept of an object while it waits in a page of a list.
pub(in crate::cluster) trait Content: Clone + Debug + Send + 'static {
    /// The API server is asked for the metadata only.
    const METADATA_ONLY: bool;

    /// What is decoded of an object: name, namespace and version at least.
    fn needed() -> Needed {
        Needed::All
    }

    /// Called once for each object, while the page is being decoded.
    fn keep(object: Decoded) -> Self;

    /// The snapshot.
    fn convert(self, kind: WatchKind, keys: &KeptKeys) -> Converted;
}

/// The whole object: kinds of which there are few.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct FullObject(Decoded);

/// The metadata that the API server sends when it is asked for no more.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Metadata(Decoded);

/// A Pod is reduced at once: five hundred whole ones would fill more memory than the rest of the process.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Pod<F>(Converted, PhantomData<F>);

/// Which fields a Pod is reduced to.
pub(in crate::cluster) trait Fields: Clone + Debug + Send + 'static {
    /// These.
    const SET: FieldSet;
}

/// [`FieldSet::Default`]
#[derive(Clone, Debug)]
pub(in crate::cluster) struct DefaultFields;

/// [`FieldSet::Resources`]
#[derive(Clone, Debug)]
pub(in crate::cluster) struct WithResources;

/// [`FieldSet::All`]
#[derive(Clone, Debug)]
pub(in crate::cluster) struct AllFields;

impl Fields for DefaultFields {
    const SET: FieldSet = FieldSet::Default;
}

impl Fields for WithResources {
    const SET: FieldSet = FieldSet::Resources;
}

impl Fields for AllFields {
    const SET: FieldSet = FieldSet::All;
}

impl FullObject {
    /// The object; `None`: something of it could not be decoded.
    pub(in crate::cluster) fn object(&self) -> Option<&Value> {
        self.0.lost.is_empty().then_some(&self.0.object)
    }
}

impl Content for FullObject {
    const METADATA_ONLY: bool = false;

    fn keep(object: Decoded) -> Self {
        Self(object)
    }

    fn convert(self, kind: WatchKind, keys: &KeptKeys) -> Converted {
        convert::convert_rest(kind, self.0, keys)
    }
}

/// What a trigger names may be a Secret: only a hash of it outlives the decoding.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Hashed(Option<TriggerSnapshot>);

impl Content for Hashed {
    const METADATA_ONLY: bool = false;

    fn keep(object: Decoded) -> Self {
        Self(convert::trigger_rest(&object))
    }

    fn convert(self, kind: WatchKind, _: &KeptKeys) -> Converted {
        let number = if let WatchKind::Trigger(number) = kind { number } else { 0 };
        let object = self.0.map(|snapshot| Object::Trigger(TriggerSnapshot { number, ..snapshot }));
        Converted { object, faults: Vec::new() }
    }
}

impl Content for Metadata {
    const METADATA_ONLY: bool = true;

    fn keep(object: Decoded) -> Self {
        Self(object)
    }

    fn convert(self, kind: WatchKind, keys: &KeptKeys) -> Converted {
        convert::convert_rest(kind, self.0, keys)
    }
}

impl<F: Fields> Content for Pod<F> {
    const METADATA_ONLY: bool = false;

    fn needed() -> Needed {
        convert::needed_of_pod(F::SET, Kind::any_revision_label())
    }

    fn keep(object: Decoded) -> Self {
        Self(convert::decoded_pod(object, F::SET), PhantomData)
    }

    fn convert(self, _: WatchKind, _: &KeptKeys) -> Converted {
        self.0
    }
}

/// An object on its way from kube's watcher.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Watched<C> {
    /// Name, namespace and resourceVersion only.
    meta: ObjectMeta,
    pub(in crate::cluster) content: C,
}

impl<C> Watched<C> {
    /// Namespace and name; `None` without a name.
    pub(in crate::cluster) fn key(&self) -> Option<ObjectKey> {
        let name = self.meta.name.as_deref().filter(|name| !name.is_empty())?;
        Some(ObjectKey {
            namespace: Name::from(self.meta.namespace.as_deref().unwrap_or_default()),
            name: Name::from(name),
        })
    }
}

/// By this name `serde_json` hands out the text of a value. `RawValue` asks by it, too, but cannot be had of an event whose `type`
/// stands behind its `object`, which kube decodes in two steps: such an event is decoded as it comes. It does not matter whether
/// `serde_json` knows the name: if not, every event is.
const TEXT: &str = "$serde_json::private::RawValue";

/// Whatever an object's text holds, the objects beside it are decoded, and of it whatever can be.
struct Text(Needed);

impl<'de> DeserializeSeed<'de> for Text {
    type Value = Decoded;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Decoded, D::Error> {
        deserializer.deserialize_newtype_struct(TEXT, self)
    }
}

impl<'de> Visitor<'de> for Text {
    type Value = Decoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Decoded, A::Error> {
        map.next_key::<IgnoredAny>()?;
        map.next_value_seed(Given(self.0))
    }

    fn visit_newtype_struct<D: Deserializer<'de>>(self, deserializer: D) -> Result<Decoded, D::Error> {
        self.0.deserialize(deserializer).map(|object| Decoded { object, lost: Vec::new() })
    }
}

/// Reads the text that was handed out.
struct Given(Needed);

impl<'de> DeserializeSeed<'de> for Given {
    type Value = Decoded;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Decoded, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl Visitor<'_> for Given {
    type Value = Decoded;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the text of an object")
    }

    fn visit_str<E>(self, text: &str) -> Result<Decoded, E> {
        Ok(self.0.read_or_recover(text.as_bytes()))
    }
}

impl<'de, C: Content> Deserialize<'de> for Watched<C> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let object = Text(C::needed()).deserialize(deserializer)?;
        let text = |field: &str| object.object.pointer(field).and_then(Value::as_str).map(str::to_owned);
        let meta = ObjectMeta {
            name: text("/metadata/name"),
            namespace: text("/metadata/namespace"),
            resource_version: text("/metadata/resourceVersion"),
            ..ObjectMeta::default()
        };
        Ok(Self { meta, content: C::keep(object) })
    }
}

impl<C: Content> Resource for Watched<C> {
    type DynamicType = Row;
    type Scope = DynamicResourceScope;

    fn kind(row: &Row) -> Cow<'_, str> {
        Cow::Borrowed(&*row.kind)
    }

    fn group(row: &Row) -> Cow<'_, str> {
        Cow::Borrowed(&*row.group)
    }

    fn version(row: &Row) -> Cow<'_, str> {
        Cow::Borrowed(&*row.version)
    }

    fn plural(row: &Row) -> Cow<'_, str> {
        Cow::Borrowed(&*row.plural)
    }

    fn metadata_api() -> bool {
        C::METADATA_ONLY
    }

    fn meta(&self) -> &ObjectMeta {
        &self.meta
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.meta
    }
}
