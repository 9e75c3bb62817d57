//! The whole story of one workload, for a person who asks about that one: what its renderings depend on and who changed
//! that last, what was tried, what its owner says, what comes next, and what no rendering can see.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::injection::GenerationReport;
use crate::core::injection::backends;
use crate::core::{
    config::Mode,
    injection::scope,
    inventory::Index,
    model::{
        ChangedBy, ConfigKind, InjectorKind, Name, ObjectKey, Stamp, Strategy, WorkloadKey, WorkloadSnapshot,
        rollout_status::{self, Progress},
        time::Now,
        words::Gate,
    },
    step::Core,
    verdict::case::Work,
};

/// Everything about one workload that its line in the report does not say.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// How it stands by the platform's own status, and how it replaces its Pods.
    pub stands: String,
    /// The object that holds the template that was rendered; `None`: nothing was rendered.
    pub revision: Option<Name>,
    /// How often that was rendered as it is now.
    pub renderings: usize,
    /// When last.
    pub last_rendered: Option<Timestamp>,
    /// What its renderings depend on, what was changed last first.
    pub depends_on: Vec<Dependency>,
    /// What moved since we look, newest first.
    pub moves: Vec<GenerationReport>,
    /// The stamps of our rollouts that are known, newest first.
    pub stamps: Vec<Stamp>,
    /// What its owner says, and what is wrong with it.
    pub says: Vec<String>,
    /// What comes next, and when.
    pub next: Vec<String>,
    /// What no rendering can see of it.
    pub unseen: Vec<String>,
}

/// Something that renderings of a workload depend on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// `MutatingWebhookConfiguration istio-sidecar-injector`, `Namespace shop`, ...
    pub what: String,
    /// Who changed it last, if it is recorded.
    pub by: Option<Name>,
    /// When.
    pub at: Option<Timestamp>,
    /// What is to be known of it: that it fails open, that it is being exchanged.
    pub note: Option<String>,
}

impl Dependency {
    fn new(what: String, changed: Option<&ChangedBy>) -> Self {
        Self { what, by: changed.map(|c| c.manager.clone()), at: changed.and_then(|c| c.time), note: None }
    }
}

impl Core {
    /// The story of a workload; `None`: it is not known.
    pub(in crate::core) fn story(&self, key: &WorkloadKey, now: Now) -> Option<Story> {
        let w = self.index.workload(key)?;
        let fresh = Work::default();
        let work = self.work.get(key).map_or(&fresh, |work| &**work);
        let vector = self.generations.vector(w, &self.index);
        let set = work.set.as_ref();
        let mut stamps: Vec<_> = self.history(w).into_iter().map(|attempt| attempt.stamp).collect();
        stamps.sort_by_key(|stamp| std::cmp::Reverse(stamp.timestamp));
        let scopes: Vec<String> = vector.keys().map(ToString::to_string).collect();
        Some(Story {
            stands: stands(w),
            revision: set.map(|set| set.revision.clone()),
            renderings: set.map_or(0, |set| set.renderings.len()),
            last_rendered: set.map(|set| set.confirmed.wall),
            depends_on: depends_on(w, &self.index),
            moves: self.moves.iter().filter(|m| scopes.contains(&m.scope)).cloned().collect(),
            says: self.owners_words(w),
            next: self.next_steps(key, work, &stamps, now),
            unseen: unseen(w, work, &self.index),
            stamps,
        })
    }

    fn owners_words(&self, w: &WorkloadSnapshot) -> Vec<String> {
        let says = self.says(w);
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

    fn next_steps(&self, key: &WorkloadKey, work: &Work, stamps: &[Stamp], now: Now) -> Vec<String> {
        let mut steps = Vec::new();
        if let Some(rollout) = self.rollouts.get(key) {
            steps.push(format!("its rollout goes on: {}", rollout.report(key, None, now).message));
        }
        let at = |elapsed: std::time::Duration| {
            let wait = elapsed.saturating_sub(now.elapsed);
            now.wall.checked_add(wait).unwrap_or(now.wall).strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
        };
        if work.request.is_some() {
            steps.push("a rendering is being asked for".to_owned());
        } else if let Some(due) = self.queue.due(key) {
            steps.push(format!("a daemon would ask for it again at {}", at(due)));
        }
        if let (Some((Gate::Cooldown, _)) | None, Some(stamp)) = (work.gate, stamps.first())
            && let Ok(over) = stamp.timestamp.checked_add(self.policy.cooldown)
            && over > now.wall
        {
            steps.push(format!("may be rolled again from {over} on, by the cool-down"));
        }
        steps
    }
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

fn depends_on(w: &WorkloadSnapshot, index: &Index) -> Vec<Dependency> {
    let template = Dependency::new(format!("{} {}", w.key.kind, w.key.name), w.changed_by.as_ref());
    let mut all = vec![template];
    for injector in scope::injectors_of(w, index) {
        let what = format!("{} {}", injector.kind.as_str(), injector.name);
        let mut dependency = Dependency::new(what, injector.changed_by.as_ref());
        dependency.note = backends::exchanging(injector, index).or_else(|| {
            let open = injector.entries.iter().any(|entry| entry.ignores_failure);
            match backends::healthy(injector, index) {
                Some(false) => Some("what answers for it is not ready".to_owned()),
                None if open => Some("it is reached by a URL and ignored when it fails".to_owned()),
                _ if open && injector.kind == InjectorKind::MutatingWebhookConfiguration => {
                    Some("it is ignored when it fails".to_owned())
                }
                _ => None,
            }
        });
        all.push(dependency);
        for service in backends::services_of(injector) {
            all.extend(index.configs_in(ConfigKind::ConfigMap, &service.namespace).map(|config| {
                let what = format!("ConfigMap {}/{}", config.key.namespace, config.key.name);
                Dependency::new(what, config.changed_by.as_ref())
            }));
        }
        all.extend(backends::backends_of(injector, index).map(|backend| {
            let what = format!("{} {}/{}", backend.key.kind, backend.key.namespace, backend.key.name);
            Dependency::new(what, backend.changed_by.as_ref())
        }));
    }
    if let Some(namespace) = index.namespace(&w.key.namespace) {
        all.push(Dependency::new(format!("Namespace {}", namespace.name), namespace.changed_by.as_ref()));
    }
    let account = ObjectKey { namespace: w.key.namespace.clone(), name: w.template.service_account.clone() };
    let of_account = |config: &&crate::core::model::ConfigSnapshot| config.key == account;
    all.extend(
        index
            .configs_in(ConfigKind::ServiceAccount, &account.namespace)
            .filter(of_account)
            .map(|config| Dependency::new(format!("ServiceAccount {}", config.key.name), config.changed_by.as_ref())),
    );
    all.extend(
        index
            .configs_in(ConfigKind::LimitRange, &account.namespace)
            .map(|config| Dependency::new(format!("LimitRange {}", config.key.name), config.changed_by.as_ref())),
    );
    all.sort_by(|a, b| b.at.cmp(&a.at).then_with(|| a.what.cmp(&b.what)));
    all.dedup();
    all
}

fn unseen(w: &WorkloadSnapshot, work: &Work, index: &Index) -> Vec<String> {
    let mut unseen = vec![
        "configuration that a running sidecar fetches by itself, from its control plane".to_owned(),
        "Secrets and ConfigMaps that its Pods mount or read: only that they are referred to".to_owned(),
    ];
    let masked = work.set.as_ref().map(|set| set.mask.shown()).unwrap_or_default();
    if !masked.is_empty() {
        unseen.push(format!("fields in which two renderings differ: {}", masked.join(", ")));
    }
    if rollout_status::partition(w) > 0 {
        unseen.push("Pods that its partition keeps, which run an older revision".to_owned());
    }
    let opaque: Vec<_> = scope::injectors_of(w, index)
        .filter(|injector| injector.entries.iter().any(|e| e.service.is_none() && e.timeout_seconds > 0))
        .map(|injector| &*injector.name)
        .collect();
    if !opaque.is_empty() {
        let names = opaque.join(", ");
        unseen.push(format!("changes of injectors that are reached by a URL, until the next look: {names}"));
    }
    unseen
}
