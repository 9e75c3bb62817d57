//! Admission configurations, and the selectors by which they choose Pods.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{changed_by::ChangedBy, key::ObjectKey, name::Name};

/// Which object kind an [`InjectorSnapshot`] was read from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum InjectorKind {
    /// `admissionregistration.k8s.io` MutatingWebhookConfiguration
    MutatingWebhookConfiguration,
    /// `admissionregistration.k8s.io` MutatingAdmissionPolicy
    MutatingAdmissionPolicy,
    /// `admissionregistration.k8s.io` MutatingAdmissionPolicyBinding
    MutatingAdmissionPolicyBinding,
}

impl InjectorKind {
    /// Every kind.
    pub const ALL: [Self; 3] =
        [Self::MutatingWebhookConfiguration, Self::MutatingAdmissionPolicy, Self::MutatingAdmissionPolicyBinding];

    /// The object kind's name.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::MutatingWebhookConfiguration => "MutatingWebhookConfiguration",
            Self::MutatingAdmissionPolicy => "MutatingAdmissionPolicy",
            Self::MutatingAdmissionPolicyBinding => "MutatingAdmissionPolicyBinding",
        }
    }
}

/// A mutating admission configuration that may touch Pods: one webhook configuration, policy or binding.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectorSnapshot {
    /// The object's kind.
    pub kind: InjectorKind,
    /// The object's name.
    pub name: Name,
    /// sha-256 (hex) of what can change a rendering: the spec without `caBundle`, resourceVersion, managedFields.
    pub hash: Name,
    /// A binding: the policy that it binds. Else empty.
    pub policy: Name,
    /// The entries that match the creation of Pods (webhooks of the configuration, or the policy's one). Empty: it
    /// does not concern Pods.
    pub entries: Vec<InjectorEntry>,
    /// The objects that a policy reads beside the Pod.
    pub params: Option<Params>,
    /// Who changed it last.
    pub changed_by: Option<ChangedBy>,
}

impl InjectorSnapshot {
    /// The Services behind a webhook configuration.
    pub fn services(&self) -> impl Iterator<Item = &ObjectKey> {
        self.entries.iter().filter_map(|entry| entry.service.as_ref())
    }
}

/// Of a policy the kind of its params, of a binding which of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Params {
    /// A policy: the API group, empty for the core.
    pub group: Name,
    /// A policy: the kind.
    pub kind: Name,
    /// A binding: the namespace; empty: that of the Pod, or none.
    pub namespace: Name,
    /// A binding: the name; empty: a selector chooses.
    pub name: Name,
}

/// One webhook, or one policy's match.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct InjectorEntry {
    /// Which namespaces.
    pub namespaces: Selector,
    /// Which Pods, by their labels.
    pub objects: Selector,
    /// The Service behind a webhook; `None` for a `url` and for a policy.
    pub service: Option<ObjectKey>,
    /// `failurePolicy: Ignore`: a failure injects nothing and says nothing.
    pub ignores_failure: bool,
    /// `timeoutSeconds` of a webhook, 10 if it says none; 0 for a policy.
    pub timeout_seconds: u32,
    /// `sideEffects` is not `None` or `NoneOnDryRun`.
    pub refuses_dry_run: bool,
}

impl InjectorEntry {
    /// What an entry may be that cannot be read: it matches every Pod, takes its time, and may fail without a word.
    pub fn unknown() -> Self {
        Self {
            namespaces: Selector::default(),
            objects: Selector::default(),
            service: None,
            ignores_failure: true,
            timeout_seconds: 30,
            refuses_dry_run: false,
        }
    }
}

/// A label selector.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Selector {
    /// All must hold; none: everything matches.
    pub requirements: Vec<Requirement>,
}

/// One requirement of a [`Selector`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Requirement {
    /// The label.
    pub key: Name,
    /// What must be true of it.
    pub operator: Operator,
    /// The values for `In` and `NotIn`.
    pub values: Vec<Name>,
}

/// The operators of a label selector. An operator that a later Kubernetes adds is `Unknown` and always matches: we
/// would rather render once too often than miss a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Operator {
    /// The label has one of the values.
    In,
    /// The label is absent or has none of the values.
    NotIn,
    /// The label is there.
    Exists,
    /// The label is not there.
    DoesNotExist,
    /// Not known to us.
    Unknown,
}

/// What is known of a label that a template does not decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Added {
    /// Every Pod has it, with a value of its own.
    Surely,
    /// A Pod may have it.
    Maybe,
}

impl Selector {
    /// Whether an object with these labels may be selected once others have labels added to it: `added` tells which.
    pub fn may_match(&self, labels: &BTreeMap<Name, Name>, added: &impl Fn(&str) -> Option<Added>) -> bool {
        self.requirements.iter().all(|r| match added(&r.key) {
            None => r.matches(labels),
            Some(Added::Surely) => r.operator != Operator::DoesNotExist,
            Some(Added::Maybe) => true,
        })
    }

    /// Whether an object with these labels is selected.
    pub fn matches(&self, labels: &BTreeMap<Name, Name>) -> bool {
        self.requirements.iter().all(|r| r.matches(labels))
    }
}

impl Requirement {
    fn matches(&self, labels: &BTreeMap<Name, Name>) -> bool {
        let value = labels.get(&self.key);
        match self.operator {
            Operator::In => value.is_some_and(|v| self.values.contains(v)),
            Operator::NotIn => value.is_none_or(|v| !self.values.contains(v)),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Unknown => true,
        }
    }
}
