//! Labels that the controllers put on Pods: no template holds them, and selectors of injectors may name them.

use crate::core::model::{Added, owner::Kind};

/// ReplicaSets, of Deployments and others.
const TEMPLATE_HASH: &str = "pod-template-hash";
/// Argo Rollouts' ReplicaSets.
const ROLLOUTS_HASH: &str = "rollouts-pod-template-hash";
/// StatefulSets and DaemonSets.
const REVISION_HASH: &str = "controller-revision-hash";
/// DaemonSets.
const GENERATION: &str = "pod-template-generation";
/// StatefulSets.
const POD_NAME: &str = "statefulset.kubernetes.io/pod-name";
/// StatefulSets since Kubernetes 1.28, and OpenKruise's.
const POD_INDEX: &str = "apps.kubernetes.io/pod-index";
/// What OpenKruise and its workloads begin theirs with.
const KRUISE: [&str; 2] = ["apps.kruise.io/", "lifecycle.apps.kruise.io/"];

/// What the controller of this kind may add to a Pod, by the label's key.
pub(super) fn of(kind: Kind) -> impl Fn(&str) -> Option<Added> {
    move |key| match key {
        TEMPLATE_HASH if kind == Kind::DEPLOYMENT => Some(Added::Surely),
        REVISION_HASH if kind == Kind::STATEFUL_SET || kind == Kind::DAEMON_SET => Some(Added::Surely),
        POD_NAME if kind == Kind::STATEFUL_SET => Some(Added::Surely),
        POD_INDEX if kind == Kind::STATEFUL_SET => Some(Added::Maybe),
        GENERATION if kind == Kind::DAEMON_SET => Some(Added::Maybe),
        ROLLOUTS_HASH if kind == Kind::ROLLOUT => Some(Added::Surely),
        // A controller of these kinds adds nothing beside what is named above.
        _ if [Kind::DEPLOYMENT, Kind::STATEFUL_SET, Kind::DAEMON_SET].contains(&kind) => None,
        TEMPLATE_HASH | ROLLOUTS_HASH | REVISION_HASH | GENERATION | POD_NAME | POD_INDEX => Some(Added::Maybe),
        // Which of theirs a version of OpenKruise adds nobody says.
        key => KRUISE.iter().any(|prefix| key.starts_with(prefix)).then_some(Added::Maybe),
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::core::model::{Name, Operator, Requirement, Selector};

    fn may_match(kind: Kind, key: &str, operator: Operator) -> bool {
        let requirement = Requirement { key: key.into(), operator, values: vec!["h1".into()] };
        let labels = BTreeMap::from([(Name::from("app"), Name::from("web"))]);
        Selector { requirements: vec![requirement] }.may_match(&labels, &of(kind))
    }

    #[test]
    fn r7_a_selector_on_a_label_that_a_controller_adds_may_match() {
        let every = [Operator::In, Operator::NotIn, Operator::Exists, Operator::DoesNotExist];
        let of = |kind, key| every.map(|operator| may_match(kind, key, operator));
        let (surely, maybe, absent) = ([true, true, true, false], [true, true, true, true], [false, true, false, true]);
        for (kind, key, expected) in [
            (Kind::DEPLOYMENT, TEMPLATE_HASH, surely),
            (Kind::DEPLOYMENT, REVISION_HASH, absent),
            (Kind::DEPLOYMENT, POD_NAME, absent),
            (Kind::DEPLOYMENT, "team", absent),
            (Kind::STATEFUL_SET, TEMPLATE_HASH, absent),
            (Kind::STATEFUL_SET, REVISION_HASH, surely),
            (Kind::STATEFUL_SET, POD_NAME, surely),
            (Kind::STATEFUL_SET, POD_INDEX, maybe),
            (Kind::DAEMON_SET, REVISION_HASH, surely),
            (Kind::DAEMON_SET, GENERATION, maybe),
            (Kind::DAEMON_SET, POD_INDEX, absent),
            (Kind::ROLLOUT, ROLLOUTS_HASH, surely),
            (Kind::ROLLOUT, TEMPLATE_HASH, maybe),
            (Kind::ROLLOUT, "apps.kruise.io/cloneset-instance-id", maybe),
            (Kind::ROLLOUT, "team", absent),
        ] {
            assert_eq!(of(kind, key), expected, "{kind:?} {key}");
        }
        // What the template has is known.
        assert!(!may_match(Kind::DEPLOYMENT, "app", Operator::In));
        assert!(may_match(Kind::DEPLOYMENT, "app", Operator::Exists));
    }
}
