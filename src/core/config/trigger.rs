//! Objects that injection depends on and that nothing in the cluster leads to: named by a person (`--trigger`), or the
//! params of a policy.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::core::model::Name;

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

    /// Whether a person named it; else it is the params of a policy.
    pub fn is_named(&self, number: u16) -> bool {
        usize::from(number) < self.named
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
