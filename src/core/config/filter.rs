//! Which workloads are looked at at all: what a person, or the operator, chose by namespace, label, annotation and age.
//!
//! Pure, and one place for every command, so that `scan` and `rollout` with the same flags speak of the same workloads.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::model::{Glob, Name, Selector, WorkloadKey, WorkloadSnapshot};

/// What is chosen. Without anything said: everything.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Filter {
    /// Only namespaces that one of these matches, if any.
    pub include_namespaces: BTreeSet<Glob>,
    /// No namespace that one of these matches.
    pub exclude_namespaces: BTreeSet<Glob>,
    /// Only namespaces with such labels.
    pub namespaces: Option<Selector>,
    /// Only workloads with such labels of their own.
    pub workloads: Option<Selector>,
    /// Only workloads that one of these matches, if any.
    pub include_annotations: BTreeSet<AnnotationMatch>,
    /// No workload that one of these matches.
    pub exclude_annotations: BTreeSet<AnnotationMatch>,
    /// Rolls a workload only for Pods that were created before. A Pod is injected when it is created, so this, and not
    /// when its containers started, tells which configuration it has.
    pub started_before: Option<Timestamp>,
    /// Only these, if a person chose them one by one.
    pub chosen: Option<BTreeSet<WorkloadKey>>,
}

impl Filter {
    /// Whether a namespace of this name is looked at; by its labels, too, where they are known. A namespace whose labels
    /// cannot be read is none that a selector selects.
    pub fn takes_namespace(&self, name: &str, labels: Option<&BTreeMap<Name, Name>>) -> bool {
        let any = |globs: &BTreeSet<Glob>| globs.iter().any(|glob| glob.matches(name));
        (self.include_namespaces.is_empty() || any(&self.include_namespaces))
            && !any(&self.exclude_namespaces)
            && self.namespaces.as_ref().is_none_or(|selector| labels.is_some_and(|labels| selector.matches(labels)))
    }

    /// Whether a workload of a namespace that is looked at is looked at itself.
    pub fn takes(&self, w: &WorkloadSnapshot) -> bool {
        let any = |wanted: &BTreeSet<AnnotationMatch>| wanted.iter().any(|one| one.matches(&w.annotations));
        self.chosen.as_ref().is_none_or(|chosen| chosen.contains(&w.key))
            && self.workloads.as_ref().is_none_or(|selector| selector.matches(&w.labels))
            && (self.include_annotations.is_empty() || any(&self.include_annotations))
            && !any(&self.exclude_annotations)
    }

    /// Whether Pods whose owner we do not know can be meant: they have neither the labels nor the annotations that
    /// were asked for, as far as we know.
    pub fn takes_unmanaged(&self) -> bool {
        self.chosen.is_none() && self.workloads.is_none() && self.include_annotations.is_empty()
    }

    /// Whether a Pod created then is old enough to be rolled for.
    pub fn is_old_enough(&self, created: Timestamp) -> bool {
        self.started_before.is_none_or(|time| created < time)
    }

    /// The labels of workloads that have to be kept to answer.
    pub fn labels(&self) -> BTreeSet<Name> {
        self.workloads.iter().flat_map(|selector| &selector.requirements).map(|r| r.key.clone()).collect()
    }

    /// The annotations of workloads and of their Pod templates that have to be kept to answer.
    pub fn annotations(&self) -> BTreeSet<Name> {
        self.include_annotations.iter().chain(&self.exclude_annotations).map(|one| one.key.clone()).collect()
    }
}

/// An annotation that is there, whatever its value, or has this very value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct AnnotationMatch {
    /// The key.
    pub key: Name,
    /// The value; `None`: any.
    pub value: Option<Name>,
}

impl AnnotationMatch {
    fn matches(&self, annotations: &BTreeMap<Name, Name>) -> bool {
        let found = annotations.get(&self.key);
        found.is_some_and(|found| self.value.as_ref().is_none_or(|wanted| wanted == found))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{Operator, Requirement, owner::Kind, test_objects};

    fn globs(patterns: &[&str]) -> BTreeSet<Glob> {
        patterns.iter().map(|pattern| Glob::new(pattern)).collect()
    }

    fn map(pairs: &[(&str, &str)]) -> BTreeMap<Name, Name> {
        pairs.iter().map(|(k, v)| ((*k).into(), (*v).into())).collect()
    }

    fn selector(key: &str, value: &str) -> Selector {
        let requirement = Requirement { key: key.into(), operator: Operator::In, values: vec![value.into()] };
        Selector { requirements: vec![requirement] }
    }

    #[test]
    fn a_namespace_is_taken_by_its_name_and_its_labels() {
        let all = Filter::default();
        assert!(all.takes_namespace("shop", None));
        let some = Filter { include_namespaces: globs(&["shop", "team-*"]), ..Filter::default() };
        assert!(some.takes_namespace("shop", None) && some.takes_namespace("team-a", None));
        assert!(!some.takes_namespace("tools", None));
        let others = Filter { exclude_namespaces: globs(&["kube-*"]), ..Filter::default() };
        assert!(others.takes_namespace("shop", None) && !others.takes_namespace("kube-system", None));
        let labelled = Filter { namespaces: Some(selector("team", "a")), ..Filter::default() };
        assert!(labelled.takes_namespace("shop", Some(&map(&[("team", "a")]))));
        assert!(!labelled.takes_namespace("shop", Some(&map(&[("team", "b")]))));
        assert!(!labelled.takes_namespace("shop", None), "labels that cannot be read select nothing");
    }

    #[test]
    fn a_workload_is_taken_by_its_labels_and_annotations() {
        let mut w = test_objects::workload(Kind::DEPLOYMENT, "web");
        w.labels = map(&[("app", "web")]);
        w.annotations = map(&[("example.com/roll", "yes")]);
        let one = |key: &str, value: Option<&str>| {
            BTreeSet::from([AnnotationMatch { key: key.into(), value: value.map(Into::into) }])
        };
        let labelled = |value| Filter { workloads: Some(selector("app", value)), ..Filter::default() };
        assert!(labelled("web").takes(&w) && !labelled("db").takes(&w));
        let include = |key, value| Filter { include_annotations: one(key, value), ..Filter::default() };
        assert!(include("example.com/roll", None).takes(&w) && include("example.com/roll", Some("yes")).takes(&w));
        assert!(!include("example.com/roll", Some("no")).takes(&w) && !include("other", None).takes(&w));
        let exclude = |key, value| Filter { exclude_annotations: one(key, value), ..Filter::default() };
        assert!(!exclude("example.com/roll", None).takes(&w) && !exclude("example.com/roll", Some("yes")).takes(&w));
        assert!(exclude("example.com/roll", Some("no")).takes(&w) && exclude("other", None).takes(&w));
    }

    #[test]
    fn only_what_is_asked_for_is_kept() {
        assert!(Filter::default().labels().is_empty() && Filter::default().annotations().is_empty());
        let filter = Filter { workloads: Some(selector("app", "web")), ..Filter::default() };
        assert_eq!(filter.labels(), BTreeSet::from(["app".into()]));
    }

    #[test]
    fn a_pod_created_at_that_very_time_is_not_older() {
        let time: Timestamp = "2022-05-01T13:00:00Z".parse().unwrap();
        let filter = Filter { started_before: Some(time), ..Filter::default() };
        assert!(!filter.is_old_enough(time) && filter.is_old_enough(time - jiff::SignedDuration::from_secs(1)));
        assert!(Filter::default().is_old_enough(Timestamp::MAX));
    }
}
