//! What reality says about our renderings: which configurations injected what for us, and which give a real creation
//! something else than they give a dry run (rules R7 and R12).

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use crate::core::{
    compare::{self, SidecarDifference, Unstable},
    injection::scope::{Scope, Vector},
    model::{Name, WorkloadKey},
    verdict::judge::UNCERTAIN_RETRY,
};

/// Evidence about injectors, gathered over all workloads.
#[derive(Debug, Default)]
pub struct Truth {
    /// When a container of that name was last injected into some workload's rendering under that scope.
    sightings: BTreeMap<(Scope, Name), Duration>,
    /// Scopes whose renderings were contradicted by a real Pod.
    contradicted: BTreeMap<Scope, Contradiction>,
    /// Sidecars that some workload was given with one image and then with another, under one version of the scope.
    wavered: BTreeMap<(Scope, Name), Wavering>,
}

/// An injector that cannot make up its mind gives the same answer twice in a row often enough: what one workload finds
/// out holds for all, until no workload has found it again for this long.
const WAVERING_HOLDS: Duration = UNCERTAIN_RETRY;

/// Two renderings of one workload had different images.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Wavering {
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

impl Truth {
    /// A rendering under these scopes had these injected containers.
    pub fn saw(&mut self, vector: &Vector, injected: &BTreeSet<Name>, now: Duration) {
        for scope in injectors(vector) {
            for name in injected {
                self.sightings.insert((scope.clone(), name.clone()), now);
            }
        }
    }

    /// Whether one of these injectors gave some workload a container of that name since then.
    pub fn witnessed(&self, vector: &Vector, name: &Name, since: Duration) -> bool {
        let seen = |scope: &Scope| self.sightings.get(&(scope.clone(), name.clone())).is_some_and(|at| *at >= since);
        injectors(vector).any(seen)
    }

    /// Two renderings of this workload differ in an image.
    pub fn wavered(&mut self, vector: &Vector, unstable: &Unstable, workload: &WorkloadKey, now: Duration) {
        for scope in injectors(vector) {
            let evidence = format!("{workload}: {unstable}");
            self.wavered.insert((scope.clone(), unstable.container.clone()), Wavering { at: now, evidence });
        }
    }

    /// Why a difference in image is not to be believed now, if so: the injector gave another workload two answers.
    pub fn wavering<'a>(
        &self,
        vector: &Vector,
        mut differences: impl Iterator<Item = &'a SidecarDifference>,
        now: Duration,
    ) -> Option<String> {
        let found = differences.find_map(|d| {
            let holds = |scope: &Scope| {
                let wavering = self.wavered.get(&(scope.clone(), d.sidecar.clone()));
                wavering.filter(|w| now < w.at + WAVERING_HOLDS)
            };
            injectors(vector).find_map(holds).filter(|_| d.fields.iter().any(|f| f.pointer == compare::IMAGE))
        })?;
        Some(format!("its injector gives different answers: {}", found.evidence))
    }

    /// A real Pod has these sidecars otherwise than rendered. All injectors that may have had a hand in it are blamed, each
    /// only for these sidecars; where none is known, the namespace is.
    /// Returns whether that is news.
    pub fn contradict(&mut self, vector: &Vector, sidecars: &BTreeSet<Name>, born: Timestamp, evidence: &str) -> bool {
        if sidecars.is_empty() {
            return false;
        }
        let before = self.contradicted.clone();
        let mut blamed: Vec<_> = injectors(vector).cloned().collect();
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
    pub fn agree(&mut self, vector: &Vector, sidecars: &BTreeSet<Name>, born: Timestamp) {
        self.contradicted.retain(|scope, contradiction| {
            if vector.contains_key(scope) && contradiction.born < born {
                contradiction.sidecars.retain(|name| !sidecars.contains(name));
            }
            !contradiction.sidecars.is_empty()
        });
    }

    /// Why a rendering of one of these sidecars under these scopes is not to be believed, if so.
    pub fn contradicted<'a>(&self, vector: &Vector, mut sidecars: impl Iterator<Item = &'a Name>) -> Option<&str> {
        let against: Vec<_> = vector
            .iter()
            .filter_map(|(scope, version)| self.contradicted.get(scope).filter(|c| c.version == *version))
            .collect();
        let found = sidecars.find_map(|name| against.iter().find(|c| c.sidecars.contains(name)))?;
        Some(&found.evidence)
    }
}

/// Whether one injector may touch the Pods of both.
pub(in crate::core) fn share_an_injector(one: &Vector, other: &Vector) -> bool {
    injectors(one).any(|scope| other.contains_key(scope))
}

fn injectors(vector: &Vector) -> impl Iterator<Item = &Scope> {
    vector.keys().filter(|scope| matches!(scope, Scope::Injector(..)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::InjectorKind;

    fn mesh() -> Scope {
        Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into())
    }

    fn under(scope: Scope, version: u64) -> Vector {
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
    fn a_witness_counts_for_its_injector_its_container_and_its_time() {
        let mut truth = Truth::default();
        let vault = Scope::Injector(InjectorKind::MutatingAdmissionPolicy, "vault".into());
        truth.saw(&under(mesh(), 1), &names(&["proxy"]), S * 10);
        assert!(truth.witnessed(&under(mesh(), 2), &"proxy".into(), S * 10));
        assert!(!truth.witnessed(&under(mesh(), 1), &"proxy".into(), S * 11));
        assert!(!truth.witnessed(&under(mesh(), 1), &"agent".into(), S));
        assert!(!truth.witnessed(&under(vault, 1), &"proxy".into(), S));
    }

    #[test]
    fn a_contradiction_holds_for_its_sidecars_until_the_scope_moves_or_a_pod_agrees() {
        let mut truth = Truth::default();
        let (vector, proxy) = (under(mesh(), 1), names(&["proxy"]));
        assert!(truth.contradict(&vector, &proxy, at(10), "Pod shop/a"));
        assert!(!truth.contradict(&vector, &proxy, at(10), "Pod shop/a"), "it is no news any more");
        assert_eq!(truth.contradicted(&vector, proxy.iter()), Some("Pod shop/a"));
        assert_eq!(truth.contradicted(&vector, names(&["agent"]).iter()), None);
        assert_eq!(truth.contradicted(&under(mesh(), 2), proxy.iter()), None);
        truth.agree(&vector, &names(&["agent"]), at(11));
        truth.agree(&vector, &proxy, at(10));
        assert!(truth.contradicted(&vector, proxy.iter()).is_some());
        truth.agree(&vector, &proxy, at(11));
        assert_eq!(truth.contradicted(&vector, proxy.iter()), None);
    }

    #[test]
    fn what_wavers_for_one_workload_is_not_believed_of_another_for_a_while() {
        let mut truth = Truth::default();
        let vector = under(mesh(), 1);
        let container = Name::from("proxy");
        let unstable = Unstable { container: container.clone(), images: (Some("p:1".into()), Some("p:2".into())) };
        let workload = WorkloadKey {
            kind: crate::core::model::owner::Kind::DEPLOYMENT,
            namespace: "shop".into(),
            name: "a".into(),
        };
        truth.wavered(&vector, &unstable, &workload, S * 10);
        let difference = |sidecar: &str, pointer: &str| SidecarDifference {
            sidecar: sidecar.into(),
            difference: crate::core::model::words::Difference::Changed,
            fields: vec![compare::FieldChange { pointer: pointer.to_owned(), running: None, rendered: None }],
        };
        let wavering = |d: SidecarDifference, now| truth.wavering(&vector, [d].iter(), now);
        assert!(wavering(difference("proxy", "/image"), S * 11).unwrap().contains("p:1, then p:2"));
        assert_eq!(wavering(difference("proxy", "/args/0"), S * 11), None);
        assert_eq!(wavering(difference("agent", "/image"), S * 11), None);
        assert_eq!(wavering(difference("proxy", "/image"), S * 10 + WAVERING_HOLDS), None);
    }

    #[test]
    fn where_no_injector_is_known_the_namespace_is_blamed() {
        let mut truth = Truth::default();
        let vector = |ns: &str| Vector::from([(Scope::Cluster, 1), (Scope::Namespace(ns.into()), 1)]);
        truth.contradict(&vector("shop"), &names(&["proxy"]), at(1), "Pod shop/a");
        assert!(truth.contradicted(&vector("shop"), names(&["proxy"]).iter()).is_some());
        assert!(truth.contradicted(&vector("bank"), names(&["proxy"]).iter()).is_none());
    }
}
