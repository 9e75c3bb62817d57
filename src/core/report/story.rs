//! The whole story of one workload, as readers see it.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::{
    injection::ScopeMove,
    model::{ChangedBy, Name, Stamp, quoted::quoted},
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
    pub moves: Vec<ScopeMove>,
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
    pub(super) fn new(what: String, changed: Option<&ChangedBy>) -> Self {
        Self {
            what,
            by: changed.map(|c| quoted(&c.manager).as_ref().into()),
            at: changed.and_then(|c| c.time),
            note: None,
        }
    }
}
