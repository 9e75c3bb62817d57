//! The story of one workload, what moved, and what was supposed.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::Serialize;

use crate::core::{
    config, injection,
    model::{self, Name},
    report,
};

/// What was supposed, by `--what-if-…`; what was not supposed is left out.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// Labels of the Pods, beside those that they have, or in their place.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Name, Name>,
    /// Annotations of the Pods, in the same way.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<Name, Name>,
    /// The namespace that the Pods were supposed to be in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
}

impl WhatIf {
    /// `None`: things were looked at as they are.
    pub fn of(supposed: &config::WhatIf) -> Option<Self> {
        let config::WhatIf { labels, annotations, namespace } = supposed.clone();
        (!supposed.is_nothing()).then_some(Self { labels, annotations, namespace })
    }
}

/// Everything about one workload that its entry does not say.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Story {
    /// How it stands by the platform's own status, and how it replaces its Pods.
    pub stands: String,
    /// The object that holds the template that was rendered; null: nothing was rendered.
    pub revision: Option<Name>,
    /// How often that was rendered as it is now.
    pub renderings: usize,
    /// When last, RFC 3339, UTC.
    pub last_rendered: Option<String>,
    /// What its renderings depend on, what was changed last first.
    pub depends_on: Vec<Dependency>,
    /// What moved since we look, newest first.
    pub moves: Vec<Generation>,
    /// Our rollouts of it that are known, newest first.
    pub stamps: Vec<Stamp>,
    /// What its owner says by annotation.
    pub says: Vec<String>,
    /// What comes next, and when.
    pub next: Vec<String>,
    /// What no rendering can see of it.
    pub unseen: Vec<String>,
}

/// Something that renderings of a workload depend on.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Dependency {
    /// `MutatingWebhookConfiguration istio-sidecar-injector`, `Namespace shop`, ...
    pub what: String,
    /// Who changed it last; null: not recorded.
    pub by: Option<Name>,
    /// When, RFC 3339, UTC.
    pub at: Option<String>,
    /// What is to be known of it: that it fails open, that it is being exchanged.
    pub note: Option<String>,
}

/// A scope whose version moved.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Generation {
    /// What injection depends on: the cluster, an injector's configuration, a Namespace, a ServiceAccount.
    pub scope: String,
    /// Its version; starts at 1 with the process.
    pub generation: u64,
    /// What moved it, by whom, when.
    pub cause: String,
    /// When it was noticed, RFC 3339, UTC.
    pub at: String,
}

/// The stamp of a rollout on a Pod template.
#[derive(Debug, Serialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Stamp {
    /// When it was started, RFC 3339, UTC.
    pub timestamp: String,
    /// Why, for people.
    pub reason: String,
    /// The rendering that it was for; null on stamps of others.
    pub fingerprint: Option<String>,
}

impl Story {
    /// All of it.
    pub fn of(story: &report::Story) -> Self {
        let report::Story {
            stands,
            revision,
            renderings,
            last_rendered,
            depends_on,
            moves,
            stamps,
            says,
            next,
            unseen,
        } = story.clone();
        Self {
            stands,
            revision,
            renderings,
            last_rendered: last_rendered.map(|at| at.to_string()),
            depends_on: depends_on.into_iter().map(Dependency::of).collect(),
            moves: moves.iter().map(Generation::of).collect(),
            stamps: stamps.into_iter().map(Stamp::of).collect(),
            says,
            next,
            unseen,
        }
    }
}

impl Dependency {
    fn of(one: report::Dependency) -> Self {
        let report::Dependency { what, by, at, note } = one;
        Self { what, by, at: at.map(|at| at.to_string()), note }
    }
}

impl Generation {
    /// One move.
    pub fn of(moved: &injection::ScopeMove) -> Self {
        let injection::ScopeMove { scope, version, cause, at } = moved.clone();
        Self { scope, generation: version, cause, at: at.to_string() }
    }
}

impl Stamp {
    fn of(stamp: model::Stamp) -> Self {
        let model::Stamp { timestamp, reason, fingerprint } = stamp;
        Self { timestamp: timestamp.to_string(), reason, fingerprint }
    }
}
