//! What reality says about our renderings: which configurations give a real creation something else than they give a dry run
//! (rule R12), and which waver.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::core::{
    compare::{self, SidecarDifference, Unstable},
    injection::{Scope, VersionVector, injector_scopes},
    model::{Name, WorkloadKey},
};

/// After a rendering that leaves things open, ask again after this long: soon enough to notice that an injector is
/// back, seldom enough not to hammer one that is not.
pub const UNCERTAIN_RETRY: Duration = Duration::from_mins(5);

/// Evidence about injectors, gathered over all workloads.
#[derive(Debug, Default)]
pub(super) struct AdmissionEvidence {
    /// Scopes whose renderings were contradicted by a real Pod.
    contradicted: BTreeMap<Scope, Contradiction>,
    /// Sidecars that some workload was given with one image and then with another, under one version of the scope.
    flapped: BTreeMap<(Scope, Name), Flapping>,
}

/// An injector that cannot make up its mind gives the same answer twice in a row often enough: what one workload finds
/// out holds for all, until no workload has found it again for this long.
const FLAPPING_HOLDS: Duration = UNCERTAIN_RETRY;

/// Two renderings of one workload had different images.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flapping {
    /// When that was seen last.
    at: Duration,
    /// For people: where, and which.
    evidence: String,
}

/// A real Pod that is not as rendered, though nothing moved.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Contradiction {
    /// Holds for this version of the scope only.
    version: u64,
    /// Which sidecars were not as rendered.
    sidecars: BTreeSet<Name>,
    /// When the Pod was born that showed it last.
    born: Timestamp,
    /// For people: which Pod.
    evidence: String,
}

impl AdmissionEvidence {
    /// Two renderings of this workload differ in an image.
    pub(super) fn flapped(
        &mut self,
        vector: &VersionVector,
        unstable: &Unstable,
        workload: &WorkloadKey,
        now: Duration,
    ) {
        for scope in injector_scopes(vector) {
            let evidence = format!("{workload}: {unstable}");
            self.flapped.insert((scope.clone(), unstable.container.clone()), Flapping { at: now, evidence });
        }
    }

    /// Why a difference in image is not to be believed now, if so: the injector gave another workload two answers.
    pub(super) fn flapping<'a>(
        &self,
        vector: &VersionVector,
        mut differences: impl Iterator<Item = &'a SidecarDifference>,
        now: Duration,
    ) -> Option<String> {
        let found = differences.find_map(|d| {
            let holds = |scope: &Scope| {
                let flapping = self.flapped.get(&(scope.clone(), d.sidecar.clone()));
                flapping.filter(|w| now < w.at + FLAPPING_HOLDS)
            };
            injector_scopes(vector).find_map(holds).filter(|_| d.fields.iter().any(|f| f.pointer == compare::IMAGE))
        })?;
        Some(format!("its injector gives different answers: {}", found.evidence))
    }

    /// A real Pod has these sidecars otherwise than rendered. All injectors that may have had a hand in it are blamed, each
    /// only for these sidecars; where none is known, the namespace is.
    /// Returns whether that is news.
    pub(super) fn contradict(
        &mut self,
        vector: &VersionVector,
        sidecars: &BTreeSet<Name>,
        born: Timestamp,
        evidence: &str,
    ) -> bool {
        if sidecars.is_empty() {
            return false;
        }
        let before = self.contradicted.clone();
        let mut blamed: Vec<_> = injector_scopes(vector).cloned().collect();
        if blamed.is_empty() {
            blamed.extend(vector.keys().filter(|s| matches!(s, Scope::Namespace(_))).cloned());
        }
        for scope in blamed {
            let version = vector.get(&scope).copied().unwrap_or_default();
            let fresh = || Contradiction { version, sidecars: BTreeSet::new(), born, evidence: evidence.to_owned() };
            let contradiction = self.contradicted.entry(scope).or_insert_with(fresh);
            if contradiction.version != version {
                *contradiction = fresh();
            }
            contradiction.sidecars.extend(sidecars.iter().cloned());
            contradiction.born = contradiction.born.max(born);
        }
        self.contradicted != before
    }

    /// A Pod born under these scopes has these sidecars as rendered: what an older Pod contradicted is believed again.
    pub(super) fn agree(&mut self, vector: &VersionVector, sidecars: &BTreeSet<Name>, born: Timestamp) {
        self.contradicted.retain(|scope, contradiction| {
            if vector.contains_key(scope) && contradiction.born < born {
                contradiction.sidecars.retain(|name| !sidecars.contains(name));
            }
            !contradiction.sidecars.is_empty()
        });
    }

    /// A scope is gone: nothing that was seen of it means anything.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.flapped.retain(|(of, _), _| of != scope);
        self.contradicted.remove(scope);
    }

    /// How many pieces of evidence are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.contradicted.len() + self.flapped.len()
    }

    /// Why a rendering of one of these sidecars under these scopes is not to be believed, if so.
    pub(super) fn contradicted<'a>(
        &self,
        vector: &VersionVector,
        mut sidecars: impl Iterator<Item = &'a Name>,
    ) -> Option<&str> {
        let against: Vec<_> = vector
            .iter()
            .filter_map(|(scope, version)| self.contradicted.get(scope).filter(|c| c.version == *version))
            .collect();
        let found = sidecars.find_map(|name| against.iter().find(|c| c.sidecars.contains(name)))?;
        Some(&found.evidence)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::InjectorKind;

    fn mesh() -> Scope {
        Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into())
    }

    fn under(scope: Scope, version: u64) -> VersionVector {
        BTreeMap::from([(Scope::Cluster, 1), (Scope::Namespace("shop".into()), 1), (scope, version)])
    }

    fn names(names: &[&str]) -> BTreeSet<Name> {
        names.iter().map(|name| Name::from(*name)).collect()
    }

    const S: Duration = Duration::from_secs(1);

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    #[test]
    fn a_contradiction_holds_for_its_sidecars_until_the_scope_moves_or_a_pod_agrees() {
        let mut evidence = AdmissionEvidence::default();
        let (vector, proxy) = (under(mesh(), 1), names(&["proxy"]));
        assert!(evidence.contradict(&vector, &proxy, at(10), "Pod shop/a"));
        assert!(!evidence.contradict(&vector, &proxy, at(10), "Pod shop/a"), "it is no news any more");
        assert_eq!(evidence.contradicted(&vector, proxy.iter()), Some("Pod shop/a"));
        assert_eq!(evidence.contradicted(&vector, names(&["agent"]).iter()), None);
        assert_eq!(evidence.contradicted(&under(mesh(), 2), proxy.iter()), None);
        evidence.agree(&vector, &names(&["agent"]), at(11));
        evidence.agree(&vector, &proxy, at(10));
        assert!(evidence.contradicted(&vector, proxy.iter()).is_some());
        evidence.agree(&vector, &proxy, at(11));
        assert_eq!(evidence.contradicted(&vector, proxy.iter()), None);
    }

    #[test]
    fn what_flaps_for_one_workload_is_not_believed_of_another_for_a_while() {
        let mut evidence = AdmissionEvidence::default();
        let vector = under(mesh(), 1);
        let container = Name::from("proxy");
        let unstable = Unstable { container: container.clone(), images: (Some("p:1".into()), Some("p:2".into())) };
        let workload = WorkloadKey {
            kind: crate::core::model::owner::Kind::DEPLOYMENT,
            namespace: "shop".into(),
            name: "a".into(),
        };
        evidence.flapped(&vector, &unstable, &workload, S * 10);
        let difference = |sidecar: &str, pointer: &str| SidecarDifference {
            sidecar: sidecar.into(),
            difference: crate::core::model::words::Difference::Changed,
            fields: vec![compare::FieldChange {
                pointer: pointer.to_owned(),
                plain: None,
                running: None,
                rendered: None,
            }],
        };
        let flapping = |d: SidecarDifference, now| evidence.flapping(&vector, [d].iter(), now);
        assert!(flapping(difference("proxy", "/image"), S * 11).unwrap().contains("p:1, then p:2"));
        assert_eq!(flapping(difference("proxy", "/args/0"), S * 11), None);
        assert_eq!(flapping(difference("agent", "/image"), S * 11), None);
        assert_eq!(flapping(difference("proxy", "/image"), S * 10 + FLAPPING_HOLDS), None);
    }

    #[test]
    fn where_no_injector_is_known_the_namespace_is_blamed() {
        let mut evidence = AdmissionEvidence::default();
        let vector = |ns: &str| VersionVector::from([(Scope::Cluster, 1), (Scope::Namespace(ns.into()), 1)]);
        evidence.contradict(&vector("shop"), &names(&["proxy"]), at(1), "Pod shop/a");
        assert!(evidence.contradicted(&vector("shop"), names(&["proxy"]).iter()).is_some());
        assert!(evidence.contradicted(&vector("bank"), names(&["proxy"]).iter()).is_none());
    }
}
