//! Objects other than Pods, and the fields of workloads, as scripts write them.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};
use jiff::{SignedDuration, Timestamp};
use sidecar_drift::core::{
    io::WatchKind,
    model::{
        ChangedBy, ConfigKind, ConfigSnapshot, DisruptionBudgetSnapshot, EndpointsSnapshot, InjectorEntry,
        InjectorKind, InjectorSnapshot, Name, NamespaceSnapshot, NodeSnapshot, Object, ObjectKey, Operator, Params,
        Requirement, Selector, ServiceSnapshot, Stamp, Strategy, TriggerSnapshot, WorkloadSnapshot, owner::Kind,
    },
};

use super::{cluster::owner, line::Line, stage::BEGINNING};
use crate::objects::key;

pub(super) enum Made {
    Put(Object),
    Delete(WatchKind, ObjectKey),
}

/// `webhook mesh hash=2 service=mesh/injector select=mesh:on by=helm ago=3s`: changed so long before the script begins
pub(super) fn object(verb: &str, line: &mut Line) -> Result<Made> {
    let name = line.expect("its name")?;
    if line.flag("deleted") {
        let (kind, key) = named(verb, &name)?;
        return Ok(Made::Delete(kind, key));
    }
    let ago = line.duration("ago")?.map(SignedDuration::try_from).transpose()?;
    let time = ago.map(|ago| BEGINNING.parse::<Timestamp>()?.checked_sub(ago)).transpose()?;
    let changed_by = line.name("by").map(|manager| ChangedBy { manager, time });
    let hash = line.name("hash").unwrap_or_else(|| "1".into());
    let object = match verb {
        "namespace" => {
            let says = line.prefixed("@").into_iter().collect();
            let labels: BTreeMap<Name, Name> = line.rest().into_iter().map(|(k, v)| (k.into(), v.into())).collect();
            let hash = format!("{labels:?}").into();
            Object::Namespace(NamespaceSnapshot {
                name: name.into(),
                labels,
                says,
                hash,
                terminating: false,
                changed_by,
            })
        }
        "webhook" | "mutating_policy" => {
            let kind = match verb {
                "webhook" => InjectorKind::MutatingWebhookConfiguration,
                _ => InjectorKind::MutatingAdmissionPolicy,
            };
            let entry = entry(line)?;
            let params = line.name("params").map(|kind| Params { kind, ..Params::default() });
            let entries = if line.flag("of_others") { Vec::new() } else { vec![entry] };
            // What the configuration says is part of its hash, too.
            let hash = format!("{hash} {entries:?}").into();
            Object::Injector(InjectorSnapshot {
                kind,
                name: name.into(),
                hash,
                policy: "".into(),
                entries,
                params,
                changed_by,
            })
        }
        "binding" => {
            let policy = line.name("of").context("of which policy")?;
            let kind = InjectorKind::MutatingAdmissionPolicyBinding;
            let entries = vec![entry(line)?];
            let param = line.text("param").map(|path| path_key(&path)).transpose()?;
            let params = param.map(|ObjectKey { namespace, name }| Params { namespace, name, ..Params::default() });
            Object::Injector(InjectorSnapshot { kind, name: name.into(), hash, policy, entries, params, changed_by })
        }
        "configmap" | "serviceaccount" | "limitrange" => {
            let kind = config_kind(verb);
            let hash = if line.flag("election") { "election".into() } else { hash };
            Object::Config(ConfigSnapshot { kind, key: path_key(&name)?, hash, changed_by })
        }
        "trigger" => {
            let number = line.parsed("number")?.unwrap_or_default();
            Object::Trigger(TriggerSnapshot { number, key: path_key(&name)?, hash, changed_by })
        }
        "endpoints" => {
            let service = line.name("of").context("of which Service")?;
            let ready = line.text("ready").map(|pods| pods.split(',').map(Name::from).collect()).unwrap_or_default();
            let others = line.parsed("others")?.unwrap_or(0);
            Object::Endpoints(EndpointsSnapshot { key: path_key(&name)?, service, ready, others })
        }
        "budget" => {
            let allowed = line.parsed("allowed")?.context("how many disruptions are allowed")?;
            let selector = selector(line.text("objects"))?;
            Object::DisruptionBudget(DisruptionBudgetSnapshot { key: path_key(&name)?, selector, allowed })
        }
        "node" => {
            let kubelet = line.text("kubelet").and_then(|v| {
                let (major, minor) = v.split_once('.')?;
                Some((major.parse().ok()?, minor.parse().ok()?))
            });
            Object::Node(NodeSnapshot { name: name.into(), ready: !line.flag("not_ready"), kubelet })
        }
        "service" => {
            let selector = line.rest().into_iter().map(|(k, v)| (k.into(), v.into())).collect();
            Object::Service(ServiceSnapshot { key: path_key(&name)?, selector })
        }
        other => bail!("nobody knows what {other:?} does"),
    };
    Ok(Made::Put(object))
}

fn entry(line: &mut Line) -> Result<InjectorEntry> {
    Ok(InjectorEntry {
        namespaces: selector(line.text("select"))?,
        objects: selector(line.text("objects"))?,
        service: line.text("service").map(|path| path_key(&path)).transpose()?,
        ignores_failure: line.flag("ignores_failure"),
        refuses_dry_run: line.flag("refuses_dry_run"),
        timeout_seconds: 10,
    })
}

fn config_kind(verb: &str) -> ConfigKind {
    match verb {
        "serviceaccount" => ConfigKind::ServiceAccount,
        "limitrange" => ConfigKind::LimitRange,
        _ => ConfigKind::ConfigMap,
    }
}

fn path_key(path: &str) -> Result<ObjectKey> {
    let (namespace, name) = path.split_once('/').with_context(|| format!("{path:?} is not NAMESPACE/NAME"))?;
    Ok(key(namespace, name))
}

/// `mesh:on`, or `mesh:!off` for all but those; nothing: everything.
pub(super) fn selector(text: Option<String>) -> Result<Selector> {
    let Some(text) = text else { return Ok(Selector::default()) };
    let (label, value) = text.split_once(':').with_context(|| format!("{text:?} is not LABEL:VALUE"))?;
    let (operator, value) = value.strip_prefix('!').map_or((Operator::In, value), |value| (Operator::NotIn, value));
    Ok(Selector { requirements: vec![Requirement { key: label.into(), operator, values: vec![value.into()] }] })
}

pub(super) fn named(kind: &str, name: &str) -> Result<(WatchKind, ObjectKey)> {
    let kind = watch_kind(kind)?;
    let cluster_wide = matches!(kind, WatchKind::Namespaces | WatchKind::Nodes | WatchKind::Injectors(_));
    Ok((kind, if cluster_wide { key("", name) } else { path_key(name)? }))
}

pub(super) fn watch_kind(name: &str) -> Result<WatchKind> {
    Ok(match name {
        "pods" => WatchKind::Pods,
        "replicasets" | "replicaset" => WatchKind::ReplicaSets,
        "namespaces" | "namespace" => WatchKind::Namespaces,
        "webhooks" | "webhook" => WatchKind::Injectors(InjectorKind::MutatingWebhookConfiguration),
        "mutating_policies" | "mutating_policy" => WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicy),
        "bindings" | "binding" => WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicyBinding),
        "configmap" | "serviceaccount" | "limitrange" => WatchKind::Configs(config_kind(name)),
        "trigger" => WatchKind::Trigger(0),
        "endpoints" => WatchKind::EndpointSlices,
        "node" => WatchKind::Nodes,
        "budget" => WatchKind::DisruptionBudgets,
        "service" => WatchKind::Services,
        other => WatchKind::Workloads(Kind::from_name(other).with_context(|| format!("{other:?} is not watched"))?),
    })
}

/// What a script says of a workload's spec.
pub(super) fn spec(line: &mut Line) -> Result<impl FnOnce(&mut WorkloadSnapshot) + use<>> {
    let says = line.prefixed("@");
    let replicas: Option<u32> = line.parsed("scale")?;
    let (paused, resumed) = (line.flag("paused"), line.flag("resumed"));
    let terminating = line.flag("terminating");
    let operator = line.name("operator");
    // `+team=b`: a label; `stamp=2031-01-01T00:00:00Z`: what its template carries, as if we had rolled it then.
    let labels = line.prefixed("+");
    let stamp = line.parsed::<Timestamp>("stamp")?;
    let (surge, unavailable): (Option<u32>, Option<u32>) = (line.parsed("surge")?, line.parsed("unavailable")?);
    let given: Option<u32> = line.parsed("partition")?;
    let (recreate, on_delete) = (line.flag("recreate"), line.flag("on_delete"));
    Ok(move |w: &mut WorkloadSnapshot| {
        w.says.extend(says);
        w.labels.extend(labels);
        if let Some(timestamp) = stamp {
            w.template.stamp = Some(Stamp { timestamp, reason: String::new(), fingerprint: Some("other".to_owned()) });
        }
        w.paused = (w.paused || paused) && !resumed;
        w.terminating |= terminating;
        if let Some(name) = operator {
            w.owner = Some(owner("example.com/v1", "App", &name, "uid-operator"));
        }
        w.counts.desired = replicas.unwrap_or(w.counts.desired);
        if let Strategy::RollingUpdate { max_unavailable, max_surge, partition } = &mut w.strategy {
            *max_surge = surge.unwrap_or(*max_surge);
            *max_unavailable = unavailable.unwrap_or(*max_unavailable);
            *partition = given.unwrap_or(*partition);
        }
        if recreate {
            w.strategy = Strategy::Recreate;
        }
        if on_delete {
            w.strategy = Strategy::OnDelete;
        }
    })
}

/// What a script says of a workload's status.
pub(super) fn status(line: &mut Line) -> Result<impl FnOnce(&mut WorkloadSnapshot) + use<>> {
    let [desired, current, updated, ready, available] =
        ["desired", "current", "updated", "ready", "available"].map(|field| line.parsed(field));
    let (desired, current, updated, ready, available) = (desired?, current?, updated?, ready?, available?);
    let exceeded = line.flag("deadline_exceeded");
    let refused = line.name("refused");
    let behind = line.flag("unobserved");
    Ok(move |w: &mut WorkloadSnapshot| {
        let c = &mut w.counts;
        c.desired = desired.unwrap_or(c.desired);
        c.current = current.unwrap_or(c.current);
        c.updated = updated.unwrap_or(c.updated);
        c.ready = ready.unwrap_or(c.ready);
        c.available = available.unwrap_or(c.available);
        w.refused = refused.or(w.refused.take());
        w.deadline_exceeded |= exceeded;
        if behind {
            w.observed_generation = w.generation - 1;
        }
    })
}
