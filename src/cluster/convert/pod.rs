//! Pods.

use std::sync::Arc;

use jiff::Timestamp;
use serde_json::Value;

use super::{
    STAMPED,
    fields::{Faults, Field},
    metadata,
};
use crate::core::model::{Name, Owner, PodSnapshot, PodState, PodWait, owner::Kind, shape::PodShape};

/// Reasons for which a container that has its image waits and does not start by itself. Pulling (`ContainerCreating`,
/// `PodInitializing`) is not among them.
const CRASHING: [&str; 4] =
    ["CrashLoopBackOff", "CreateContainerConfigError", "CreateContainerError", "RunContainerError"];

/// Reasons which mean that an image cannot be had.
const NO_IMAGE: [&str; 7] = [
    "ImagePullBackOff",
    "ErrImagePull",
    "ErrImageNeverPull",
    "InvalidImageName",
    "ImageInspectError",
    "RegistryUnavailable",
    "SignatureValidationFailed",
];

/// A Pod with containers of this shape; `None` without a name.
pub(super) fn pod(value: &Value, shape: Arc<PodShape>, faults: &Faults) -> Option<PodSnapshot> {
    let object = Field::root(value, faults);
    let key = metadata::key(&object)?;
    let (meta, spec) = (object.at("metadata"), object.at("spec"));
    let labels = meta.at("labels");
    let owner = metadata::owner(&object);
    let of_daemon_set = owner.as_ref().is_some_and(|owner| owner.kind.as_ref() == "DaemonSet");
    let node = if of_daemon_set { node(&spec) } else { None };
    let template_generation = labels.at("pod-template-generation").text().and_then(|text| text.parse().ok());
    Some(PodSnapshot {
        key,
        uid: meta.at("uid").name(),
        revision: revision(&labels, owner.as_ref()),
        stamped: stamped(&meta.at("annotations")),
        owner: owner.map(Arc::new),
        template_generation: template_generation.unwrap_or_default(),
        service_account: service_account(&spec),
        created: meta.at("creationTimestamp").time().unwrap_or_default(),
        node,
        state: state(&object),
        shape,
        patched_images: patched_images(&meta),
    })
}

/// The Node that a DaemonSet's controller made the Pod for: what injectors see of it is the affinity.
fn node(spec: &Field<'_>) -> Option<Name> {
    let required = spec.at("affinity").at("nodeAffinity").at("requiredDuringSchedulingIgnoredDuringExecution");
    let fields =
        required.at("nodeSelectorTerms").items().flat_map(|term| term.at("matchFields").items().collect::<Vec<_>>());
    let mut named = fields.filter(|field| field.at("key").text() == Some("metadata.name"));
    let named = named.find_map(|field| field.at("values").items().next()?.text().map(Name::from));
    named.or_else(|| spec.at("nodeName").text().filter(|name| !name.is_empty()).map(Name::from))
}

/// The newest time under a key of ours, whatever our keys begin with here: a template that has several is stamped anew by one.
fn stamped(annotations: &Field<'_>) -> Option<Timestamp> {
    let ours = annotations.object().into_iter().flatten().filter(|(key, _)| key.ends_with(STAMPED));
    ours.filter_map(|(_, text)| text.as_str()?.parse().ok()).max()
}

/// What the controller that made it says it was made from. Which of the two labels is meant goes by the owner: OpenKruise
/// writes both, and a template that somebody took from a running Pod brings along another controller's.
fn revision(labels: &Field<'_>, owner: Option<&Owner>) -> Name {
    let described = owner.and_then(|owner| Kind::described_as(&owner.api_version, &owner.kind));
    if let Some(label) = described.and_then(|described| described.revision_label.as_deref()) {
        return labels.at(label).name();
    }
    let kind = owner.map(|owner| &*owner.kind);
    let label = if kind == Some("ReplicaSet") { "pod-template-hash" } else { "controller-revision-hash" };
    let revision = labels.at(label).text().unwrap_or_default();
    match owner {
        // OpenKruise's feature gate `CloneSetShortHash` leaves the name out, in the label only.
        Some(owner) if kind == Some("CloneSet") && !revision.is_empty() && !revision.contains('-') => {
            Name::from(format!("{}-{revision}", owner.name))
        }
        _ => Name::from(revision),
    }
}

/// `spec.serviceAccountName`, `default` if empty.
pub(super) fn service_account(pod_spec: &Field<'_>) -> Name {
    let name = pod_spec.at("serviceAccountName").text().filter(|name| !name.is_empty());
    Name::from(name.unwrap_or("default"))
}

fn state(object: &Field<'_>) -> PodState {
    let status = object.at("status");
    let statuses = || status.at("initContainerStatuses").items().chain(status.at("containerStatuses").items());
    let waits = |of: &[&str]| {
        let mut reasons = statuses().filter_map(|status| status.at("state").at("waiting").at("reason").text());
        reasons.any(|reason| of.contains(&reason))
    };
    // Until it says that it backs off, and for as long as it does not, the kubelet leaves the end of the last run there. An init
    // container that has done its work is ready.
    let ended = |status: Field<'_>| status.at("state").at("terminated").is_some() && !status.at("ready").flag();
    let terminating = object.at("metadata").at("deletionTimestamp").is_some();
    let finished = matches!(status.at("phase").text(), Some("Succeeded" | "Failed"));
    let restarts = statuses().filter_map(|status| status.at("restartCount").int()).max().unwrap_or_default();
    let unscheduled = |reason: &str| {
        has_condition(&status, "PodScheduled", |condition| {
            condition.at("status").text() == Some("False") && condition.at("reason").text() == Some(reason)
        })
    };
    PodState {
        terminating,
        finished,
        mirror: metadata::annotation(object, "kubernetes.io/config.mirror").is_some(),
        ready: has_condition(&status, "Ready", |condition| condition.at("status").text() == Some("True")),
        crashing: waits(&CRASHING) || waits(&NO_IMAGE) || !terminating && !finished && statuses().any(ended),
        restarts: u8::try_from(restarts.clamp(0, i64::from(PodState::MOST_RESTARTS))).unwrap_or_default(),
        waits_for: match () {
            () if unscheduled("SchedulingGated") => Some(PodWait::SchedulingGate),
            () if unscheduled("Unschedulable") => Some(PodWait::Node),
            () if waits(&NO_IMAGE) => Some(PodWait::Image),
            () => None,
        },
        undecodable: false,
    }
}

/// Whether the status has a condition of this type for which `holds`.
pub(super) fn has_condition(status: &Field<'_>, of_type: &str, holds: impl Fn(&Field<'_>) -> bool) -> bool {
    status.at("conditions").items().any(|condition| condition.at("type").text() == Some(of_type) && holds(&condition))
}

/// The containers whose `image` was set by another writer than the Pod's creator (rule C9).
///
/// The creator's entry is the one that owns `generateName`, which cannot be set later, or (some operators name their Pods
/// themselves) the owner together with containers: a controller that adopts a Pod writes the owner alone. A Pod that has
/// neither was created by a person; then the oldest entry counts. Entries of subresources (`status`, `binding`, `resize`,
/// `ephemeralcontainers`) cannot set an image of these lists.
fn patched_images(meta: &Field<'_>) -> Vec<Name> {
    let entries: Vec<_> = meta.at("managedFields").items().filter(|entry| !entry.at("subresource").is_some()).collect();
    let owns = |entry: &Field<'_>, part, field| entry.at("fieldsV1").at(part).at(field).is_some();
    let creator = (entries.iter().position(|entry| owns(entry, "f:metadata", "f:generateName")))
        .or_else(|| {
            entries.iter().position(|entry| {
                owns(entry, "f:metadata", "f:ownerReferences") && owns(entry, "f:spec", "f:containers")
            })
        })
        .or_else(|| (0..entries.len()).min_by_key(|&index| entries[index].at("time").time()));
    let mut patched = Vec::new();
    for (index, entry) in entries.iter().enumerate() {
        if Some(index) != creator {
            let spec = entry.at("fieldsV1").at("f:spec");
            for list in ["f:initContainers", "f:containers"] {
                patched.extend(owned_images(&spec.at(list)));
            }
        }
    }
    patched.sort();
    patched.dedup();
    patched
}

/// The containers in a `fieldsV1` list whose `f:image` is owned: members are called `k:{"name":"app"}`.
fn owned_images(list: &Field<'_>) -> Vec<Name> {
    let members = list.object().into_iter().flatten();
    members
        .filter(|(_, fields)| fields.get("f:image").is_some())
        .filter_map(|(member, _)| serde_json::from_str::<Value>(member.strip_prefix("k:")?).ok())
        .filter_map(|key| key.get("name")?.as_str().map(Name::from))
        .collect()
}
