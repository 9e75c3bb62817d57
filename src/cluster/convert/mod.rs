//! API objects → the snapshots of [`core::model`](crate::core::model::object).
//!
//! Nothing here can fail on content. What has the wrong type reads as absent and is named in [`Converted::faults`]; an
//! object without a name is no object.

mod custom_kind;
mod fields;
mod injector;
mod metadata;
mod needed;
mod pod;
mod replicas;
mod stamp;
#[cfg(test)]
mod tests;
mod workload;

use std::{
    hash::{BuildHasher as _, RandomState},
    sync::{Arc, LazyLock},
};

use serde_json::{Value, json};

use crate::core::{
    io::WatchKind,
    model::{
        ConfigKind, ConfigSnapshot, DisruptionBudgetSnapshot, EndpointsSnapshot, InjectorEntry, Name,
        NamespaceSnapshot, NodeSnapshot, Object, ReplicaSetSnapshot, Selector, ServiceSnapshot, TriggerSnapshot,
        WorkloadSnapshot,
        owner::Kind,
        shape::{FieldSet, PodShape},
    },
};
use fields::{FAULTS, Faults, Field};

pub(super) use custom_kind::template;
pub(super) use needed::{Decoded, Needed, SHAPE, pod as needed_of_pod};
pub(super) use replicas::{decoded_pod, shape, template_shape};
use stamp::STAMPED;
pub use stamp::{KeptKeys, StampKeys};
pub(super) use workload::TEMPLATE_GENERATION;

/// On the ConfigMaps that old leader elections use.
const ELECTION_RECORD: &str = "control-plane.alpha.kubernetes.io/leader";

/// Annotations that say nothing that is not said elsewhere, or change all the time.
const IGNORED_ANNOTATIONS: [&str; 2] = [ELECTION_RECORD, "kubectl.kubernetes.io/last-applied-configuration"];

/// What became of one API object.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Converted {
    /// The snapshot; `None` if the object has no name.
    pub object: Option<Object>,
    /// Where it was of the wrong type, as JSON pointers; at most five. Those places read as absent.
    pub faults: Vec<String>,
}

impl Converted {
    /// Says that this could not be decoded.
    fn lose(&mut self, lost: Vec<String>) {
        if lost.is_empty() {
            return;
        }
        if let Some(Object::Pod(pod)) = &mut self.object {
            pod.state.undecodable = true;
        }
        self.faults.splice(0..0, lost);
        self.faults.truncate(FAULTS);
    }
}

/// Reduce an API object to what is kept of it.
pub fn convert(kind: WatchKind, value: &Value, keys: &KeptKeys) -> Converted {
    let faults = Faults::default();
    let object = match kind {
        WatchKind::Pods => return pod(value, FieldSet::Default),
        WatchKind::Workloads(kind) => {
            // What something else owns is part of that, and no workload.
            let own = |workload: &WorkloadSnapshot| !kind.is_replicas() || workload.owner.is_none();
            let workload = workload::workload(kind, value, keys, &faults).filter(own);
            workload.map(|workload| Object::Workload(Box::new(workload)))
        }
        WatchKind::ReplicaSets => replica_set(value, &faults).map(Object::ReplicaSet),
        WatchKind::Namespaces => namespace(value, &faults).map(Object::Namespace),
        WatchKind::Injectors(kind) => injector::injector(kind, value, &faults).map(Object::Injector),
        WatchKind::Configs(kind) => config(kind, value, &faults).map(Object::Config),
        WatchKind::Trigger(number) => trigger(value).map(|found| Object::Trigger(TriggerSnapshot { number, ..found })),
        WatchKind::Services => service(value, &faults).map(Object::Service),
        WatchKind::EndpointSlices => endpoints(value, &faults).map(Object::Endpoints),
        WatchKind::DisruptionBudgets => disruption_budget(value, &faults).map(Object::DisruptionBudget),
        WatchKind::Nodes => node(value, &faults).map(Object::Node),
    };
    Converted { object, faults: faults.into_vec() }
}

/// What is left of an object of which this cannot be decoded. Of a workload it is no more than that it is there: half a template,
/// or half a status, would be taken for a whole one.
pub(super) fn convert_rest(kind: WatchKind, mut rest: Decoded, keys: &KeptKeys) -> Converted {
    if matches!(kind, WatchKind::Workloads(_))
        && !rest.lost.is_empty()
        && let Some(object) = rest.object.as_object_mut()
    {
        object.retain(|member, _| member == "metadata");
    }
    let mut converted = convert(kind, &rest.object, keys);
    if !rest.lost.is_empty() {
        match &mut converted.object {
            // Whatever it says, it may hold everything,
            Some(Object::DisruptionBudget(budget)) => {
                (budget.selector, budget.allowed, budget.frees_unhealthy) = (Some(Selector::default()), 0, false);
            }
            // it may inject into every Pod, or fail to,
            Some(Object::Injector(injector)) => {
                injector.entries = vec![InjectorEntry::unknown()];
                injector.hash = of_this_version(&rest.object);
            }
            // and its owner may have opted out.
            Some(Object::Namespace(namespace)) if namespace.says.get("mode").is_none_or(|mode| &**mode != "ignore") => {
                namespace.says.insert("mode".into(), "report".into());
            }
            // What it says is unknown, but not that it changed.
            Some(Object::Config(config)) => config.hash = of_this_version(&rest.object),
            _ => {}
        }
    }
    converted.lose(rest.lost);
    converted
}

/// What a trigger names, of which this cannot be decoded.
pub(super) fn trigger_rest(rest: &Decoded) -> Option<TriggerSnapshot> {
    let found = trigger(&rest.object)?;
    let hash = if rest.lost.is_empty() { found.hash } else { of_this_version(&rest.object) };
    Some(TriggerSnapshot { hash, ..found })
}

/// Stands for a content that cannot be read: another one for each version of the object.
fn of_this_version(object: &Value) -> Name {
    metadata::hash(&json!(["unreadable", object["metadata"]["resourceVersion"]]))
}

/// A Pod, for which no stamp matters.
pub(super) fn pod(value: &Value, fields: FieldSet) -> Converted {
    pod_of_shape(value, PodShape::with(value, fields).into())
}

/// A Pod whose containers were read already.
fn pod_of_shape(value: &Value, shape: Arc<PodShape>) -> Converted {
    let faults = Faults::default();
    let object = pod::pod(value, shape, &faults).map(Object::Pod);
    Converted { object, faults: faults.into_vec() }
}

/// One workload that was read by itself; `None` without a name.
pub fn workload(kind: Kind, value: &Value, keys: &KeptKeys) -> Option<WorkloadSnapshot> {
    workload::workload(kind, value, keys, &Faults::default())
}

fn replica_set(value: &Value, faults: &Faults) -> Option<ReplicaSetSnapshot> {
    let object = Field::root(value, faults);
    let meta = object.at("metadata");
    let revision = metadata::annotation(&object, workload::REVISION).and_then(|text| text.parse().ok());
    Some(ReplicaSetSnapshot {
        key: metadata::key(&object)?,
        uid: meta.at("uid").name(),
        owner: metadata::owner(&object),
        revision: revision.unwrap_or_default(),
        hash: {
            let labels = meta.at("labels");
            let of_a_rollout = labels.at("rollouts-pod-template-hash").name();
            if of_a_rollout.is_empty() { labels.at("pod-template-hash").name() } else { of_a_rollout }
        },
    })
}

fn namespace(value: &Value, faults: &Faults) -> Option<NamespaceSnapshot> {
    let object = Field::root(value, faults);
    let meta = object.at("metadata");
    let annotations = meta.at("annotations");
    let theirs = annotations.object().into_iter().flatten().filter(|(key, _)| !metadata::is_ours(key));
    let theirs: Value = theirs.map(|(key, value)| (key.clone(), value.clone())).collect();
    Some(NamespaceSnapshot {
        name: metadata::key(&object)?.name,
        labels: meta.at("labels").map(),
        says: metadata::says(&object),
        hash: metadata::hash(&json!([meta.at("labels").value(), theirs])),
        terminating: meta.at("deletionTimestamp").is_some(),
        changed_by: metadata::changed_by(&object),
    })
}

fn config(kind: ConfigKind, value: &Value, faults: &Faults) -> Option<ConfigSnapshot> {
    let object = Field::root(value, faults);
    let meta = object.at("metadata");
    let content = match kind {
        // A leader writes its record every few seconds.
        ConfigKind::ConfigMap if metadata::annotation(&object, ELECTION_RECORD).is_some() => Value::Null,
        ConfigKind::ConfigMap => json!([object.at("data").value(), object.at("binaryData").value()]),
        ConfigKind::ServiceAccount => json!([meta.at("labels").value(), meta.at("annotations").value()]),
        ConfigKind::LimitRange => object.at("spec").value().clone(),
    };
    let key = metadata::key(&object)?;
    Some(ConfigSnapshot { kind, key, hash: metadata::hash(&content), changed_by: metadata::changed_by(&object) })
}

/// What a trigger names; its number is not known here. `None` without a name.
///
/// The hash is keyed, because a short Secret could be guessed from a plain one.
fn trigger(value: &Value) -> Option<TriggerSnapshot> {
    /// Drawn once for the process.
    static KEY: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    /// What changes without the object meaning anything else.
    const IGNORED_FIELDS: [&str; 4] = ["apiVersion", "kind", "metadata", "status"];
    let faults = Faults::default();
    let object = Field::root(value, &faults);
    let members = value.as_object().into_iter().flatten();
    let content: Value = if metadata::annotation(&object, ELECTION_RECORD).is_some() {
        Value::Null
    } else {
        members
            .filter(|(key, _)| !IGNORED_FIELDS.contains(&key.as_str()))
            .map(|(k, v)| (k.clone(), v.clone()))
            .collect()
    };
    let labels = object.at("metadata").at("labels");
    let annotations = object.at("metadata").at("annotations");
    let annotations =
        annotations.object().into_iter().flatten().filter(|(key, _)| !IGNORED_ANNOTATIONS.contains(&key.as_str()));
    let annotations: Value = annotations.map(|(key, value)| (key.clone(), value.clone())).collect();
    let hash = KEY.hash_one(json!([content, labels.value(), annotations]).to_string());
    let key = metadata::key(&object)?;
    let hash = format!("{hash:016x}").into();
    Some(TriggerSnapshot { number: 0, key, hash, changed_by: metadata::changed_by(&object) })
}

fn endpoints(value: &Value, faults: &Faults) -> Option<EndpointsSnapshot> {
    let object = Field::root(value, faults);
    let mut snapshot = EndpointsSnapshot {
        key: metadata::key(&object)?,
        service: object.at("metadata").at("labels").at("kubernetes.io/service-name").name(),
        ready: Vec::new(),
        others: 0,
    };
    let endpoints = object.at("endpoints");
    // An endpoint that does not say is to be taken for ready.
    for endpoint in endpoints.items().filter(|e| e.at("conditions").at("ready").value() != &Value::Bool(false)) {
        let target = endpoint.at("targetRef");
        if target.at("kind").text() == Some("Pod") {
            snapshot.ready.push(target.at("name").name());
        } else {
            snapshot.others += 1;
        }
    }
    snapshot.ready.sort();
    Some(snapshot)
}

fn disruption_budget(value: &Value, faults: &Faults) -> Option<DisruptionBudgetSnapshot> {
    let object = Field::root(value, faults);
    let (spec, status) = (object.at("spec"), object.at("status"));
    let (healthy, wanted) = (status.at("currentHealthy").count(), status.at("desiredHealthy").count());
    let always = spec.at("unhealthyPodEvictionPolicy").text() == Some("AlwaysAllow");
    // One that its controller has not looked at yet leaves no room that we know of.
    let seen = status.at("observedGeneration").int() >= object.at("metadata").at("generation").int();
    let allowed = status.at("disruptionsAllowed").value().as_u64().filter(|_| seen);
    Some(DisruptionBudgetSnapshot {
        key: metadata::key(&object)?,
        selector: spec.at("selector").is_some().then(|| metadata::selector(&spec.at("selector"))),
        allowed: allowed.and_then(|n| n.try_into().ok()).unwrap_or_default(),
        frees_unhealthy: always || (wanted > 0 && healthy >= wanted),
    })
}

fn node(value: &Value, faults: &Faults) -> Option<NodeSnapshot> {
    let object = Field::root(value, faults);
    let status = object.at("status");
    let conditions = status.at("conditions");
    let is_ready = |c: Field<'_>| c.at("type").text() == Some("Ready") && c.at("status").text() == Some("True");
    Some(NodeSnapshot {
        name: metadata::key(&object)?.name,
        ready: conditions.items().any(is_ready),
        kubelet: status.at("nodeInfo").at("kubeletVersion").text().and_then(major_minor),
    })
}

/// `v1.37.2-gke.100` → `(1, 37)`
fn major_minor(version: &str) -> Option<(u32, u32)> {
    let mut parts = version.strip_prefix('v').unwrap_or(version).split('.');
    Some((parts.next()?.parse().ok()?, parts.next()?.parse().ok()?))
}

fn service(value: &Value, faults: &Faults) -> Option<ServiceSnapshot> {
    let object = Field::root(value, faults);
    Some(ServiceSnapshot { key: metadata::key(&object)?, selector: object.at("spec").at("selector").map() })
}
