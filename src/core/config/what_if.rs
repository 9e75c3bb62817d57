//! "What if": renderings as if Pods had other labels or annotations, or were in another namespace.
//!
//! They show what an upgrade would change before it is made. What they find is never acted on: nothing in the cluster is
//! as they suppose.

use std::{borrow::Cow, collections::BTreeMap, fmt};

use serde::{Deserialize, Serialize};

use crate::core::model::Name;

/// What is supposed. By default nothing.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WhatIf {
    /// Labels of the Pods, beside those that they have, or in their place.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<Name, Name>,
    /// Annotations of the Pods, in the same way.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<Name, Name>,
    /// The namespace that the Pods are created in; `None`: their own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub namespace: Option<Name>,
}

impl WhatIf {
    /// Whether everything is as it is.
    pub fn is_nothing(&self) -> bool {
        *self == Self::default()
    }

    /// The namespace in which Pods of `own` are created.
    pub fn namespace<'a>(&'a self, own: &'a Name) -> &'a Name {
        self.namespace.as_ref().unwrap_or(own)
    }

    /// The labels of Pods whose template has these.
    pub fn labels<'a>(&self, own: &'a BTreeMap<Name, Name>) -> Cow<'a, BTreeMap<Name, Name>> {
        if self.labels.is_empty() {
            return Cow::Borrowed(own);
        }
        let supposed = self.labels.iter().map(|(key, value)| (key.clone(), value.clone()));
        Cow::Owned(own.clone().into_iter().chain(supposed).collect())
    }

    /// The namespaces of a rendering and of what runs, where they are two.
    pub fn namespaces<'a>(&'a self, own: &'a Name) -> Option<(&'a str, &'a str)> {
        self.namespace.as_ref().filter(|supposed| *supposed != own).map(|supposed| (&**supposed, &**own))
    }
}

/// `Pods had the label a=b and were in namespace c`
impl fmt::Display for WhatIf {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let had = |what: &'static str| move |(key, value): (&Name, &Name)| format!("had the {what} {key}={value}");
        let labels = self.labels.iter().map(had("label"));
        let annotations = self.annotations.iter().map(had("annotation"));
        let namespace = self.namespace.iter().map(|name| format!("were in namespace {name}"));
        let all: Vec<_> = labels.chain(annotations).chain(namespace).collect();
        match all.split_last() {
            None => f.write_str("everything were as it is"),
            Some((last, [])) => write!(f, "Pods {last}"),
            Some((last, rest)) => write!(f, "Pods {} and {last}", rest.join(", ")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<Name, Name> {
        pairs.iter().map(|(k, v)| (Name::from(*k), Name::from(*v))).collect()
    }

    #[test]
    fn supposed_labels_are_added_or_take_the_place_of_those_that_are_there() {
        let what_if = WhatIf { labels: map(&[("rev", "canary"), ("new", "")]), ..WhatIf::default() };
        let own = map(&[("app", "shop"), ("rev", "stable")]);
        assert_eq!(*what_if.labels(&own), map(&[("app", "shop"), ("new", ""), ("rev", "canary")]));
        assert!(matches!(WhatIf::default().labels(&own), Cow::Borrowed(_)));
    }

    #[test]
    fn a_namespace_is_another_one_only_if_it_is() {
        let what_if = WhatIf { namespace: Some("canary".into()), ..WhatIf::default() };
        assert_eq!(what_if.namespaces(&"shop".into()), Some(("canary", "shop")));
        assert_eq!(what_if.namespaces(&"canary".into()), None);
        assert_eq!(WhatIf::default().namespaces(&"shop".into()), None);
        assert_eq!(**what_if.namespace(&"shop".into()), *"canary");
    }

    #[test]
    fn it_says_what_is_supposed() {
        let what_if =
            WhatIf { labels: map(&[("a", "1")]), annotations: map(&[("b", "2")]), namespace: Some("canary".into()) };
        let text = "Pods had the label a=1, had the annotation b=2 and were in namespace canary";
        assert_eq!(what_if.to_string(), text);
    }
}
