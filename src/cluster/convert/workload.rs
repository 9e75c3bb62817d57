//! Workloads: what owns Pods and can be rolled.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::{
    KeptKeys, StampKeys,
    custom_kind::{self, StatusFields},
    fields::{Faults, Field},
    metadata, pod,
};
use crate::core::model::{
    Counts, Name, Stamp, Strategy, TemplateSnapshot, WorkloadKey, WorkloadSnapshot,
    owner::{Kind, Restart},
};

/// Annotation of a Deployment and of its ReplicaSets.
pub(super) const REVISION: &str = "deployment.kubernetes.io/revision";

/// Annotation of a DaemonSet, kept by the API server.
pub(crate) const TEMPLATE_GENERATION: &str = "deprecated.daemonset.template.generation";

/// More characters of a reason are of no use to anybody.
const LONGEST_REASON: usize = 300;

/// What Kubernetes takes where a Deployment says nothing.
const DEPLOYMENT_DEFAULT: &str = "25%";

/// A workload; `None` without a name.
pub(super) fn workload(kind: Kind, value: &Value, keys: &KeptKeys, faults: &Faults) -> Option<WorkloadSnapshot> {
    let object = Field::root(value, faults);
    let key = metadata::key(&object)?;
    let (meta, spec, status) = (object.at("metadata"), object.at("spec"), object.at("status"));
    let said = match kind.described() {
        Some(described) => StatusFields::read(described, &object),
        None => known(kind, &spec, &status),
    };
    let pod_template = object.within(kind.row().template.iter().copied());
    let number = |annotation| metadata::annotation(&object, annotation).and_then(|text| text.parse::<i64>().ok());
    Some(WorkloadSnapshot {
        key: WorkloadKey { namespace: key.namespace.clone(), kind, name: key.name.clone() },
        uid: meta.at("uid").name(),
        resource_version: meta.at("resourceVersion").name(),
        generation: meta.at("generation").int().unwrap_or_default(),
        observed_generation: said.observed,
        terminating: meta.at("deletionTimestamp").is_some(),
        paused: said.paused,
        counts: said.counts,
        strategy: said.strategy,
        deadline_exceeded: pod::has_condition(&status, "Progressing", |condition| {
            condition.at("reason").text() == Some("ProgressDeadlineExceeded")
        }) || status.at("abort").flag(),
        refused: refused(&status),
        min_ready_seconds: spec.at("minReadySeconds").int().and_then(|n| u32::try_from(n).ok()).unwrap_or_default(),
        revision: number(REVISION).and_then(|n| u64::try_from(n).ok()).unwrap_or_default(),
        current_revision: status.at(if kind == Kind::ROLLOUT { "stableRS" } else { "currentRevision" }).name(),
        update_revision: said.revision,
        restarted: said.restarted,
        template_generation: number(TEMPLATE_GENERATION).unwrap_or_default(),
        template: {
            let mut template = snapshot(&pod_template, &keys.stamp);
            if let Restart::Field(field) = kind.row().restart {
                let asked = object.within(field.iter().copied()).time();
                template.stamp = asked.map(|timestamp| Stamp { timestamp, reason: String::new(), fingerprint: None });
            }
            for (label, text) in custom_kind::labels(kind, &key.name) {
                template.labels.insert(label, text);
            }
            template
        },
        owner: metadata::owner(&object),
        says: metadata::says(&object),
        labels: chosen(&meta.at("labels"), &keys.labels),
        annotations: {
            let mut chosen_ones = chosen(&pod_template.at("metadata").at("annotations"), &keys.annotations);
            chosen_ones.extend(chosen(&meta.at("annotations"), &keys.annotations));
            chosen_ones
        },
        changed_by: metadata::changed_by(&object),
    })
}

/// What a workload of a kind that is known by itself says.
fn known(kind: Kind, spec: &Field<'_>, status: &Field<'_>) -> StatusFields {
    let counts = counts(kind, spec, status);
    StatusFields {
        observed: observed_generation(kind, status),
        paused: paused(kind, spec, status),
        counts,
        strategy: strategy(kind, spec, counts.desired),
        revision: status.at(if kind == Kind::ROLLOUT { "currentPodHash" } else { "updateRevision" }).name(),
        restarted: status.at("restartedAt").time(),
    }
}

/// A Rollout's is a text.
fn observed_generation(kind: Kind, status: &Field<'_>) -> i64 {
    let observed = status.at("observedGeneration");
    let number =
        if kind == Kind::ROLLOUT { observed.text().and_then(|text| text.parse().ok()) } else { observed.int() };
    number.unwrap_or_default()
}

/// Its own rollouts are stopped: by a person, or, of a Rollout, at one of its steps.
fn paused(kind: Kind, spec: &Field<'_>, status: &Field<'_>) -> bool {
    match kind {
        Kind::ROLLOUT => spec.at("paused").flag() || status.at("pauseConditions").items().next().is_some(),
        Kind::CLONE_SET => spec.at("updateStrategy").at("paused").flag(),
        Kind::ADVANCED_STATEFUL_SET => spec.at("updateStrategy").at("rollingUpdate").at("paused").flag(),
        _ => spec.at("paused").flag(),
    }
}

/// Those members of a map that are asked for.
fn chosen(map: &Field<'_>, keys: &BTreeSet<Name>) -> BTreeMap<Name, Name> {
    let there = keys.iter().filter(|key| map.at(key).is_some());
    there.map(|key| (key.clone(), map.at(key).name())).collect()
}

fn counts(kind: Kind, spec: &Field<'_>, status: &Field<'_>) -> Counts {
    if kind == Kind::DAEMON_SET {
        return Counts {
            desired: status.at("desiredNumberScheduled").count(),
            current: status.at("currentNumberScheduled").count(),
            updated: status.at("updatedNumberScheduled").count(),
            ready: status.at("numberReady").count(),
            available: status.at("numberAvailable").count(),
        };
    }
    let replicas = spec.at("replicas");
    let current = status.at("replicas").count();
    Counts {
        desired: if replicas.is_some() { replicas.count() } else { 1 },
        current,
        // Nothing exchanges the Pods of plain replicas: as many as there are count, and what is left of a rollout the Pods tell.
        updated: if kind.is_replicas() { current } else { status.at("updatedReplicas").count() },
        ready: status.at("readyReplicas").count(),
        available: status.at("availableReplicas").count(),
    }
}

fn snapshot(template: &Field<'_>, keys: &StampKeys) -> TemplateSnapshot {
    let meta = template.at("metadata");
    TemplateSnapshot {
        hash: keys.hash_without_stamp(template.value()),
        stamp: keys.read(template.value()),
        labels: meta.at("labels").map(),
        has_annotations: meta.at("annotations").object().is_some(),
        service_account: pod::service_account(&template.at("spec")),
    }
}

/// How the controller of this kind reads its strategy.
fn strategy(kind: Kind, spec: &Field<'_>, desired: u32) -> Strategy {
    match kind {
        Kind::DEPLOYMENT => deployment_strategy(spec, desired),
        Kind::ROLLOUT => restart_strategy(spec, desired),
        Kind::CLONE_SET => clone_set_strategy(spec, desired),
        Kind::REPLICA_SET | Kind::REPLICATION_CONTROLLER => Strategy::OnDelete,
        _ => set_strategy(kind, spec, desired),
    }
}

/// How a Rollout restarts its Pods: it evicts as many at a time as may be unavailable, and at least one.
fn restart_strategy(spec: &Field<'_>, desired: u32) -> Strategy {
    let canary = spec.at("strategy").at("canary");
    let unavailable = if canary.is_some() {
        scaled(&canary.at("maxUnavailable"), &Value::from(DEPLOYMENT_DEFAULT), desired, Rounding::Down)
    } else {
        0
    };
    Strategy::RollingUpdate { max_unavailable: unavailable.clamp(1, desired.max(1)), max_surge: 0, partition: 0 }
}

/// A CloneSet's defaults are those of its documentation: 20 % may be unavailable, none is added.
fn clone_set_strategy(spec: &Field<'_>, desired: u32) -> Strategy {
    let strategy = spec.at("updateStrategy");
    if is_in_place(strategy.at("type").text()) {
        return Strategy::OnDelete;
    }
    let max_surge = scaled(&strategy.at("maxSurge"), &Value::from(0), desired, Rounding::Up);
    let round = if max_surge == 0 { Rounding::Up } else { Rounding::Down };
    let unavailable = scaled(&strategy.at("maxUnavailable"), &Value::from("20%"), desired, round);
    let max_unavailable = if max_surge == 0 { unavailable.max(1) } else { unavailable };
    Strategy::RollingUpdate { max_unavailable, max_surge, partition: kept(&strategy.at("partition"), desired) }
}

/// How many Pods a CloneSet's partition keeps: rounded up, but of several not all by a percentage that does not say so.
fn kept(partition: &Field<'_>, desired: u32) -> u32 {
    let kept = scaled(partition, &Value::from(0), desired, Rounding::Up).min(desired);
    let all = partition.value().as_str().is_none_or(|text| text == "100%");
    if kept == desired && desired > 1 && !all { desired - 1 } else { kept }
}

/// OpenKruise writes annotations to the running Pods then, and replaces none.
fn is_in_place(policy: Option<&str>) -> bool {
    matches!(policy, Some("InPlaceIfPossible" | "InPlaceOnly"))
}

fn deployment_strategy(spec: &Field<'_>, desired: u32) -> Strategy {
    let strategy = spec.at("strategy");
    if strategy.at("type").text() == Some("Recreate") {
        return Strategy::Recreate;
    }
    let rolling = strategy.at("rollingUpdate");
    let default = Value::from(DEPLOYMENT_DEFAULT);
    let max_surge = scaled(&rolling.at("maxSurge"), &default, desired, Rounding::Up);
    let mut max_unavailable = scaled(&rolling.at("maxUnavailable"), &default, desired, Rounding::Down).min(desired);
    // Both can only be zero where a percentage was rounded; the Deployment controller then goes one by one.
    if max_surge == 0 && max_unavailable == 0 {
        max_unavailable = 1;
    }
    Strategy::RollingUpdate { max_unavailable, max_surge, partition: 0 }
}

fn set_strategy(kind: Kind, spec: &Field<'_>, desired: u32) -> Strategy {
    let strategy = spec.at("updateStrategy");
    let rolling = strategy.at("rollingUpdate");
    if strategy.at("type").text() == Some("OnDelete") || is_in_place(rolling.at("podUpdatePolicy").text()) {
        return Strategy::OnDelete;
    }
    let one = Value::from(1);
    if kind == Kind::DAEMON_SET {
        // A DaemonSet rounds both up.
        let max_surge = scaled(&rolling.at("maxSurge"), &Value::from(0), desired, Rounding::Up);
        let unavailable = scaled(&rolling.at("maxUnavailable"), &one, desired, Rounding::Up);
        let max_unavailable = if max_surge == 0 { unavailable.max(1) } else { unavailable };
        return Strategy::RollingUpdate { max_unavailable, max_surge, partition: 0 };
    }
    let max_unavailable = scaled(&rolling.at("maxUnavailable"), &one, desired, Rounding::Down).max(1);
    Strategy::RollingUpdate { max_unavailable, max_surge: 0, partition: rolling.at("partition").count() }
}

#[derive(Clone, Copy)]
enum Rounding {
    Up,
    Down,
}

/// An `IntOrString`: a number of Pods, or a percentage of `desired`.
fn scaled(field: &Field<'_>, default: &Value, desired: u32, round: Rounding) -> u32 {
    let value = if field.is_some() { field.value() } else { default };
    if let Some(number) = value.as_i64() {
        return u32::try_from(number.max(0)).unwrap_or(u32::MAX);
    }
    let percent = value.as_str().and_then(|text| text.strip_suffix('%')).and_then(|number| number.parse::<u32>().ok());
    let Some(percent) = percent.or_else(|| field.fault()) else { return 0 };
    let hundredths = u64::from(percent) * u64::from(desired);
    let pods = match round {
        Rounding::Up => hundredths.div_ceil(100),
        Rounding::Down => hundredths / 100,
    };
    u32::try_from(pods).unwrap_or(u32::MAX)
}

/// Why the Pods of a Deployment could not be created: a quota, or admission.
fn refused(status: &Field<'_>) -> Option<Name> {
    let mut conditions = status.at("conditions").items();
    let failed = conditions.find(|condition| {
        condition.at("type").text() == Some("ReplicaFailure") && condition.at("status").text() == Some("True")
    })?;
    let message = failed.at("message").text().unwrap_or("it does not say why");
    Some(message.chars().take(LONGEST_REASON).collect::<String>().into())
}
