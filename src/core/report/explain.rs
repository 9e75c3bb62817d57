//! The whole story of one workload, for a person who asks about that one: what its renderings depend on and who changed
//! that last, what was tried, what its owner says, what comes next, and what no rendering can see.

use std::time::Duration;

use super::{
    sources::Sources,
    story::{Dependency, Story},
};
use crate::core::{
    config::Mode,
    injection::{
        View,
        backends::{backends_mixed, backends_of, healthy},
        injectors_of,
    },
    inventory::Index,
    model::{
        ChangedBy, ConfigKind, ConfigSnapshot, InjectorKind, ObjectKey, Stamp, Strategy, WorkloadKey, WorkloadSnapshot,
        rollout_status::{self, Progress},
        words::Gate,
    },
    verdict::Case,
};

/// The story of a workload; `None`: it is not known.
pub(super) fn story(key: &WorkloadKey, sources: Sources<'_>) -> Option<Story> {
    let view = sources.view;
    let w = view.index.workload(key)?;
    let case = sources.verdicts.case(key);
    let set = case.and_then(Case::set);
    let versions = view.versions_of(w);
    let attempts = sources.rollouts.history(w, view);
    let mut stamps: Vec<_> = attempts.into_iter().map(|attempt| attempt.stamp).collect();
    stamps.sort_by_key(|stamp| std::cmp::Reverse(stamp.timestamp));
    let scopes: Vec<String> = versions.keys().map(ToString::to_string).collect();
    Some(Story {
        stands: stands(w),
        revision: case.and_then(Case::rendered_revision).cloned(),
        renderings: set.map_or(0, |set| set.renderings.len()),
        last_rendered: set.map(|set| set.confirmed.wall),
        depends_on: depends_on(w, view),
        moves: view.injection.recent_moves().filter(|m| scopes.contains(&m.scope)).cloned().collect(),
        says: owners_words(w, sources),
        next: next_steps(key, &stamps, sources),
        unseen: unseen(w, case, view.index),
        stamps,
    })
}

fn owners_words(w: &WorkloadSnapshot, sources: Sources<'_>) -> Vec<String> {
    let says = sources.view.owner_annotations(w);
    let mut words = says.bad;
    match says.mode {
        Mode::Ignore => words.push("mode ignore: it is not to be looked at".to_owned()),
        Mode::Report => words.push("mode report: it is not to be rolled".to_owned()),
        Mode::Enforce => {}
    }
    if says.paused {
        words.push("paused".to_owned());
    }
    words.extend(says.accepted_until.map(|until| format!("this drift is accepted until {until}")));
    words
}

fn next_steps(key: &WorkloadKey, stamps: &[Stamp], sources: Sources<'_>) -> Vec<String> {
    let Sources { view, renders, rollouts, .. } = sources;
    let now = view.now;
    let mut steps = Vec::new();
    if let Some(progress) = rollouts.progress_of(key) {
        steps.push(format!("its rollout goes on: {progress}"));
    }
    let at = |elapsed: Duration| {
        let wait = elapsed.saturating_sub(now.elapsed);
        now.wall.checked_add(wait).unwrap_or(now.wall).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
    };
    if renders.is_pending(key) {
        steps.push("a rendering is being asked for".to_owned());
    } else if let Some(due) = renders.due(key) {
        steps.push(format!("a daemon would ask for it again at {}", at(due)));
    }
    if let (Some((Gate::Cooldown, _)) | None, Some(stamp)) = (rollouts.gate(key).0, stamps.first())
        && let Ok(over) = stamp.timestamp.checked_add(view.policy.cooldown)
        && over > now.wall
    {
        steps.push(format!("may be rolled again from {over} on, by the cool-down"));
    }
    steps
}

fn stands(w: &WorkloadSnapshot) -> String {
    let progress = match rollout_status::progress(w) {
        Progress::Done => format!("{} of {} Pods available", w.counts.available, w.counts.desired),
        Progress::Waiting(what) => what,
        Progress::Failed(why) => format!("failed: {why}"),
    };
    let strategy = match w.strategy {
        Strategy::RollingUpdate { max_unavailable, max_surge, .. } => {
            format!("rolls with at most {max_unavailable} missing and {max_surge} more")
        }
        Strategy::Recreate => "takes all Pods down before it starts new ones".to_owned(),
        Strategy::OnDelete => "replaces a Pod when somebody deletes it".to_owned(),
    };
    let paused = if w.paused { "; paused" } else { "" };
    format!("{progress}; {strategy}{paused}")
}

/// What is to be known of an object that is written, and has changed no rendering lately.
fn unheeded(what: &str, view: View<'_>) -> Option<String> {
    let (writes, at) = view.injection.unheeded(what)?;
    let wait = at.saturating_sub(view.now.elapsed);
    let at = view.now.wall.checked_add(wait).unwrap_or(view.now.wall).strftime("%Y-%m-%dT%H:%M:%SZ");
    Some(format!("written {writes} times, and no rendering changed: moves nothing, is looked at again by {at}"))
}

fn depends_on(w: &WorkloadSnapshot, view: View<'_>) -> Vec<Dependency> {
    let index = view.index;
    let seen = |what: String, full: &str, by: Option<&ChangedBy>| Dependency {
        note: unheeded(full, view),
        ..Dependency::new(what, by)
    };
    let template = Dependency::new(format!("{} {}", w.key.kind, w.key.name), w.changed_by.as_ref());
    let mut all = vec![template];
    for injector in injectors_of(w, index) {
        let what = format!("{} {}", injector.kind.as_str(), injector.name);
        let mut dependency = Dependency::new(what.clone(), injector.changed_by.as_ref());
        dependency.note = backends_mixed(injector, index).or_else(|| unheeded(&what, view)).or_else(|| {
            let open = injector.entries.iter().any(|entry| entry.ignores_failure);
            match healthy(injector, index) {
                Some(false) => Some("what answers for it is not ready".to_owned()),
                None if open => Some("it is reached by a URL and ignored when it fails".to_owned()),
                _ if open && injector.kind == InjectorKind::MutatingWebhookConfiguration => {
                    Some("it is ignored when it fails".to_owned())
                }
                _ => None,
            }
        });
        all.push(dependency);
        for service in injector.services() {
            all.extend(index.configs_in(ConfigKind::ConfigMap, &service.namespace).map(|config| {
                let what = format!("ConfigMap {}/{}", config.key.namespace, config.key.name);
                seen(what.clone(), &what, config.changed_by.as_ref())
            }));
        }
        all.extend(backends_of(injector, index).map(|backend| {
            let what = format!("{} {}/{}", backend.key.kind, backend.key.namespace, backend.key.name);
            seen(what.clone(), &what, backend.changed_by.as_ref())
        }));
    }
    if let Some(namespace) = index.namespace(&w.key.namespace) {
        let what = format!("Namespace {}", namespace.name);
        all.push(seen(what.clone(), &what, namespace.changed_by.as_ref()));
    }
    let account = ObjectKey { namespace: w.key.namespace.clone(), name: w.template.service_account.clone() };
    let in_namespace = |kind| {
        index.configs_in(kind, &account.namespace).map(move |config: &ConfigSnapshot| {
            let what = format!("{} {}", config.kind.as_str(), config.key.name);
            let full = format!("{} {}/{}", config.kind.as_str(), config.key.namespace, config.key.name);
            (config, seen(what, &full, config.changed_by.as_ref()))
        })
    };
    let accounts = in_namespace(ConfigKind::ServiceAccount).filter(|(config, _)| config.key == account);
    all.extend(accounts.chain(in_namespace(ConfigKind::LimitRange)).map(|(_, dependency)| dependency));
    all.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.what.cmp(&b.what)));
    all.dedup();
    all
}

fn unseen(w: &WorkloadSnapshot, case: Option<&Case>, index: &Index) -> Vec<String> {
    let mut unseen = vec![
        "configuration that a running sidecar fetches by itself, from its control plane".to_owned(),
        "Secrets and ConfigMaps that its Pods mount or read: only that they are referred to".to_owned(),
    ];
    let masked = case.and_then(Case::set).map(|set| set.mask.shown()).unwrap_or_default();
    if !masked.is_empty() {
        unseen.push(format!("fields in which two renderings differ: {}", masked.join(", ")));
    }
    let opaque: Vec<_> = injectors_of(w, index)
        .filter(|injector| injector.entries.iter().any(|e| e.service.is_none() && e.timeout_seconds > 0))
        .map(|injector| &*injector.name)
        .collect();
    if !opaque.is_empty() {
        let names = opaque.join(", ");
        unseen.push(format!("changes of injectors that are reached by a URL, until the next look: {names}"));
    }
    unseen
}
