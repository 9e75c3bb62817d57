//! Objects that injection depends on and that nothing in the cluster leads to: named by a person (`--trigger`), or the
//! params of a policy.

use std::{collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use super::{
    index::Index,
    model::{InjectorKind, InjectorSnapshot, ObjectKey},
    scope::{self, Scope},
    shape::Name,
};

/// What to watch: one object, or all of a kind.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Trigger {
    /// The API group, empty for the core; `None`: whichever has the kind.
    pub group: Option<Name>,
    /// The kind, or its plural: `Secret`, `secrets`.
    pub kind: Name,
    /// Empty: the kind has no namespaces, or all of them count.
    pub namespace: Name,
    /// Empty: each object of the kind.
    pub name: Name,
}

/// `Secret istio-system/cacerts`
impl fmt::Display for Trigger {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { group, kind, namespace, name } = self;
        f.write_str(kind)?;
        if let Some(group) = group.as_ref().filter(|group| !group.is_empty()) {
            write!(f, ".{group}")?;
        }
        match (&**namespace, &**name) {
            ("", "") => Ok(()),
            ("", name) => write!(f, " {name}"),
            (namespace, "") => write!(f, " {namespace}/*"),
            (namespace, name) => write!(f, " {namespace}/{name}"),
        }
    }
}

/// All triggers of a process. One keeps its place, which is its number, for good.
#[derive(Debug, Default)]
pub struct Triggers {
    all: Vec<Trigger>,
    /// As many as were named by a person; the others are params.
    named: usize,
}

impl Triggers {
    /// Those that a person named.
    pub fn named(all: Vec<Trigger>) -> Self {
        Self { named: all.len(), all }
    }

    /// All of them, in their order.
    pub fn all(&self) -> &[Trigger] {
        &self.all
    }

    /// One of them.
    pub fn get(&self, number: u16) -> Option<&Trigger> {
        self.all.get(usize::from(number))
    }

    /// Adds the params that are new. Returns their numbers.
    pub fn add(&mut self, params: impl IntoIterator<Item = Trigger>) -> Vec<u16> {
        let mut added = Vec::new();
        for trigger in params {
            if !self.all.contains(&trigger)
                && let Ok(number) = u16::try_from(self.all.len())
            {
                self.all.push(trigger);
                added.push(number);
            }
        }
        added
    }
}

/// The params that admission policies read about Pods, each with the policies that read it.
pub fn params(index: &Index) -> BTreeMap<Trigger, Vec<Name>> {
    let mut all: BTreeMap<Trigger, Vec<Name>> = BTreeMap::new();
    let of_kind = |kind| index.injectors().filter(move |i: &&InjectorSnapshot| i.kind == kind && !i.entries.is_empty());
    for policy in of_kind(InjectorKind::MutatingAdmissionPolicy) {
        let Some(kind) = &policy.params else { continue };
        for binding in of_kind(InjectorKind::MutatingAdmissionPolicyBinding).filter(|b| b.policy == policy.name) {
            let Some(which) = &binding.params else { continue };
            let trigger = Trigger {
                group: Some(kind.group.clone()),
                kind: kind.kind.clone(),
                namespace: which.namespace.clone(),
                name: which.name.clone(),
            };
            all.entry(trigger).or_default().push(policy.name.clone());
        }
    }
    all
}

/// What moves when this object does. A policy's params move the policy. What a person named moves the injectors that are
/// backed from its namespace, or everything, if none is.
pub fn scopes(number: u16, object: &ObjectKey, index: &Index) -> Vec<Scope> {
    let triggers = index.triggers();
    let Some(trigger) = triggers.get(number) else { return Vec::new() };
    let policies = params(index).remove(trigger).unwrap_or_default();
    let mut scopes: Vec<_> =
        policies.into_iter().map(|name| Scope::Injector(InjectorKind::MutatingAdmissionPolicy, name)).collect();
    if usize::from(number) < triggers.named {
        let before = scopes.len();
        scopes.extend(scope::backed_from(&object.namespace, index).map(scope::scope_of));
        if scopes.len() == before {
            scopes.push(Scope::Cluster);
        }
    }
    scopes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn trigger(namespace: &str, name: &str) -> Trigger {
        Trigger { group: Some("".into()), kind: "Secret".into(), namespace: namespace.into(), name: name.into() }
    }

    #[test]
    fn r11_a_trigger_keeps_its_number() {
        let mut triggers = Triggers::named(vec![trigger("mesh", "ca")]);
        assert_eq!(triggers.add([trigger("mesh", "ca"), trigger("mesh", "")]), [1]);
        assert_eq!(triggers.add([trigger("mesh", ""), trigger("", "a")]), [2]);
        assert_eq!(triggers.get(0), Some(&trigger("mesh", "ca")));
        assert_eq!(triggers.get(3), None);
    }

    #[test]
    fn a_trigger_is_named_as_people_do() {
        assert_eq!(trigger("mesh", "ca").to_string(), "Secret mesh/ca");
        assert_eq!(trigger("mesh", "").to_string(), "Secret mesh/*");
        let issuer = Trigger { group: Some("cert-manager.io".into()), kind: "Issuer".into(), ..trigger("", "ca") };
        assert_eq!(issuer.to_string(), "Issuer.cert-manager.io ca");
    }
}
