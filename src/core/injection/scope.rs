//! Scopes: what renderings depend on, in pieces that change as a whole.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Serialize};

use crate::core::model::{InjectorKind, InjectorSnapshot, Name};

/// Something that renderings depend on and that moves as a whole.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Scope {
    /// What every rendering depends on: the lowest kubelet version.
    Cluster,
    /// One webhook configuration or policy (with its bindings, and with what backs it).
    Injector(InjectorKind, Name),
    /// One Namespace's labels and annotations, and its LimitRanges.
    Namespace(Name),
    /// One ServiceAccount's labels and annotations: its namespace and name.
    ServiceAccount(Name, Name),
}

impl fmt::Display for Scope {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Injector(kind, name) => write!(f, "injector {}/{name}", kind.as_str()),
            Self::Cluster => f.write_str("cluster"),
            Self::Namespace(name) => write!(f, "namespace {name}"),
            Self::ServiceAccount(namespace, name) => write!(f, "service_account {namespace}/{name}"),
        }
    }
}

/// A text that names no scope.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
#[error("this names no scope")]
pub struct NoScope;

/// Reads what [`Display`](fmt::Display) writes: a record of an earlier process may name scopes.
impl FromStr for Scope {
    type Err = NoScope;

    fn from_str(text: &str) -> Result<Self, NoScope> {
        if text == "cluster" {
            return Ok(Self::Cluster);
        }
        let (what, name) = text.split_once(' ').ok_or(NoScope)?;
        let pair = || name.split_once('/').ok_or(NoScope);
        match what {
            "namespace" => Ok(Self::Namespace(name.into())),
            "service_account" => pair().map(|(namespace, name)| Self::ServiceAccount(namespace.into(), name.into())),
            "injector" => {
                let (kind, name) = pair()?;
                let kind = InjectorKind::ALL.into_iter().find(|k| k.as_str() == kind).ok_or(NoScope)?;
                Ok(Self::Injector(kind, name.into()))
            }
            _ => Err(NoScope),
        }
    }
}

/// The versions of the scopes that one rendering depends on. Renderings with equal vectors saw the same configuration.
pub type VersionVector = BTreeMap<Scope, u64>;

/// Of which object the scope is that an injector object belongs to: a binding's is its policy's.
fn subject(injector: &InjectorSnapshot) -> (InjectorKind, &Name) {
    match injector.kind {
        InjectorKind::MutatingAdmissionPolicyBinding => (InjectorKind::MutatingAdmissionPolicy, &injector.policy),
        kind => (kind, &injector.name),
    }
}

/// Whether this is the scope that an injector object belongs to.
pub(super) fn is_scope(scope: &Scope, injector: &InjectorSnapshot) -> bool {
    matches!(scope, Scope::Injector(kind, name) if (*kind, name) == subject(injector))
}

/// The scope that an injector object belongs to: a binding to its policy's.
pub fn scope_of(injector: &InjectorSnapshot) -> Scope {
    let (kind, name) = subject(injector);
    Scope::Injector(kind, name.clone())
}
