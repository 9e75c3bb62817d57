//! `policy mode=enforce canary=0`: the configuration, by the names of its fields.

use std::collections::BTreeSet;

use anyhow::{Context, Result, bail};
use sidecar_drift::core::{
    compare::{IgnoreRule, Ignored},
    config::{Mode, Policy, Trigger, window::windows},
    model::{
        Glob, Name, WorkloadKey,
        owner::Kind,
        words::{Difference, Word as _},
    },
};

use super::{
    line::{Line, duration},
    objects::selector,
};

pub(super) fn set(policy: &mut Policy, line: &mut Line) -> Result<()> {
    for (field, value) in line.rest() {
        let given = || format!("policy {field}={value}");
        match field.as_str() {
            "mode" => policy.mode = if value == "enforce" { Mode::Enforce } else { Mode::Report },
            "act_on" => {
                let named = |word: &str| Difference::ALL.iter().find(|d| d.as_str() == word).copied();
                policy.act_on = list(&value, named)?;
            }
            "kinds" => policy.kinds = list(&value, Kind::from_name)?,
            "roll_kinds" => policy.roll_kinds = list(&value, Kind::from_name)?,
            "sidecars" => policy.sidecars = names(&value),
            "include" => policy.filter.include_namespaces = globs(&value),
            "exclude" => policy.filter.exclude_namespaces = globs(&value),
            "namespaces" => policy.filter.namespaces = Some(selector(Some(value))?),
            "workloads" => policy.filter.workloads = Some(selector(Some(value))?),
            "started_before" => policy.filter.started_before = Some(value.parse().with_context(given)?),
            "regardless" => policy.regardless_of_drift = value == "yes",
            "renders_per_second" => policy.renders_per_second = value.parse().with_context(given)?,
            "render_burst" => policy.render_burst = value.parse().with_context(given)?,
            "renders_in_flight" => policy.renders_in_flight = value.parse().with_context(given)?,
            "resync" => policy.resync = duration(&value)?,
            "settle" => policy.settle = duration(&value)?,
            "absence" => policy.absence = duration(&value)?,
            "min_pod_age" => policy.min_pod_age = duration(&value)?,
            "parallel" => policy.parallel_rollouts = value.parse().with_context(given)?,
            "per_namespace" => policy.parallel_per_namespace = value.parse().with_context(given)?,
            "per_hour" if value == "unlimited" => policy.max_rollouts_per_hour = None,
            "per_hour" => policy.max_rollouts_per_hour = Some(value.parse().with_context(given)?),
            "canary" => policy.canary = value.parse().with_context(given)?,
            "soak" => policy.soak = duration(&value)?,
            "min_ready" => policy.min_ready = duration(&value)?,
            "cooldown" => policy.cooldown = duration(&value)?,
            "daily_cap" => policy.daily_cap = value.parse().with_context(given)?,
            "timeout" => policy.timeout = duration(&value)?,
            "window" => policy.windows = windows(&value).map_err(anyhow::Error::msg)?,
            "allow_downtime" => policy.allow_downtime = value == "yes",
            "allow_collateral" => policy.allow_collateral = value == "yes",
            "include_system" => policy.include_system = value == "yes",
            "evict_on_delete" => policy.evict_on_delete = value == "yes",
            "include_operated" => policy.include_operated = value == "yes",
            "include_unhealthy" => policy.include_unhealthy = value == "yes",
            "without_guard" => policy.without_guard = value == "yes",
            "events" => policy.events = value == "yes",
            "one_shot" => policy.one_shot = value == "yes",
            "alert" => policy.blocking_alerts.push(value.parse().map_err(anyhow::Error::msg)?),
            "own" => {
                let (namespace, name) = value.split_once('/').with_context(given)?;
                policy.own =
                    Some(WorkloadKey { namespace: namespace.into(), kind: Kind::DEPLOYMENT, name: name.into() });
            }
            "trigger" => {
                let (kind, object) = value.split_once('/').with_context(given)?;
                let (namespace, name) = object.split_once('/').with_context(given)?;
                let (group, kind) = (None, kind.into());
                policy.triggers.push(Trigger { group, kind, namespace: namespace.into(), name: name.into() });
            }
            "ignore" => {
                let (sidecar, env) = value.split_once(':').with_context(given)?;
                let what = Ignored::Env(Glob::new(env));
                policy.ignore.push(IgnoreRule { sidecar: Glob::new(sidecar), what });
            }
            "all_workloads" => policy.all_workloads = value == "yes",
            "what_if_namespace" => policy.what_if.namespace = Some(value.into()),
            _ => bail!("there is no {}", given()),
        }
    }
    Ok(())
}

fn globs(value: &str) -> BTreeSet<Glob> {
    value.split(',').map(Glob::new).collect()
}

fn names(value: &str) -> BTreeSet<Name> {
    value.split(',').map(Name::from).collect()
}

fn list<T: Ord>(value: &str, parse: impl Fn(&str) -> Option<T>) -> Result<BTreeSet<T>> {
    value.split(',').map(|word| parse(word).with_context(|| format!("{word:?} is none"))).collect()
}
