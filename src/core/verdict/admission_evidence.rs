//! What reality says about our renderings: which configurations give a real creation something else than they give a dry run
//! (rule R12), and which waver.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::waiting::ever_more_seldom;
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

/// Who found that an injector flaps believes that it is over once it was given the same so many times, minutes apart.
const SETTLED: u32 = 5;

/// The one that looks whether an injector still flaps gets its answer within this time.
const ANSWERED_WITHIN: Duration = Duration::from_mins(2);

/// Two renderings of one workload had different images. An injector that cannot make up its mind gives the same answer twice in
/// a row often enough: what one workload finds out holds for all, until it has looked again and found it no more. The longer it
/// lasts the more seldom it looks.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Flapping {
    /// Under which version of the scope.
    version: u64,
    /// Who found it first, and looks again.
    by: WorkloadKey,
    /// When it was seen first ...
    since: Duration,
    /// ... and last.
    at: Duration,
    /// For people: where, and which.
    evidence: String,
}

impl Flapping {
    fn wait(&self, resync: Duration) -> Duration {
        ever_more_seldom(self.at.saturating_sub(self.since), UNCERTAIN_RETRY, resync)
    }

    /// Until when it holds for this workload: for others than the one that looks until that has its answer.
    fn holds(&self, version: u64, key: &WorkloadKey, resync: Duration) -> Duration {
        let next = self.at + if self.version == version { self.wait(resync) } else { UNCERTAIN_RETRY };
        if self.by == *key { next } else { next + ANSWERED_WITHIN }
    }
}

/// An image that is not to be believed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wavering {
    /// Why, in one sentence.
    pub why: String,
    /// Until when that holds, if nothing new is told: then it is asked once more.
    pub until: Duration,
    /// This workload is the one that looks.
    pub looks: bool,
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
    /// Two renderings of this workload differ in an image. Returns whether that is news for others.
    pub(super) fn flapped(
        &mut self,
        vector: &VersionVector,
        unstable: &Unstable,
        workload: &WorkloadKey,
        resync: Duration,
        now: Duration,
    ) -> bool {
        let evidence = format!("{workload}: {unstable}");
        let mut news = false;
        for scope in blamed(vector) {
            let version = vector.get(&scope).copied().unwrap_or_default();
            let fresh = || Flapping { version, by: workload.clone(), since: now, at: now, evidence: evidence.clone() };
            let known = self.flapped.entry((scope, unstable.container.clone())).or_insert_with(|| {
                news = true;
                fresh()
            });
            news |= now >= known.at + ANSWERED_WITHIN / 2;
            if now >= known.holds(version, workload, resync) && now > known.at {
                // Whoever looked before has found nothing, or is gone.
                known.by = workload.clone();
            }
            let since = if now >= known.at + resync { now } else { known.since };
            *known = Flapping { version, by: known.by.clone(), since, ..fresh() };
        }
        news
    }

    /// Why a difference in image is not to be believed now, if so: the injector gave another workload two answers.
    pub(super) fn flapping<'a>(
        &self,
        key: &WorkloadKey,
        vector: &VersionVector,
        mut differences: impl Iterator<Item = &'a SidecarDifference>,
        (resync, now): (Duration, Duration),
    ) -> Option<Wavering> {
        let image = |d: &&SidecarDifference| d.fields.iter().any(|f| f.pointer == compare::IMAGE);
        differences.by_ref().filter(image).find_map(|d| self.wavers(key, vector, &d.sidecar, (resync, now)))
    }

    /// Whether the image of this container changes from one rendering to the next.
    pub(super) fn wavers(
        &self,
        key: &WorkloadKey,
        vector: &VersionVector,
        container: &Name,
        (resync, now): (Duration, Duration),
    ) -> Option<Wavering> {
        blamed(vector).into_iter().find_map(|scope| {
            let version = vector.get(&scope).copied().unwrap_or_default();
            let found = self.flapped.get(&(scope, container.clone()))?;
            let until = found.holds(version, key, resync);
            let why = format!("its injector gives different answers: {}", found.evidence);
            (now < until).then_some(Wavering { why, until, looks: found.by == *key })
        })
    }

    /// Whether an injector of these gives different answers these days.
    pub(super) fn is_flapping(
        &self,
        key: &WorkloadKey,
        vector: &VersionVector,
        (resync, now): (Duration, Duration),
    ) -> bool {
        let of = |scope: &Scope| vector.get(scope).copied();
        self.flapped
            .iter()
            .any(|((scope, _), flapping)| of(scope).is_some_and(|version| now < flapping.holds(version, key, resync)))
    }

    /// This workload was given the same so many times in a row. Returns whether what it found before is over.
    pub(super) fn agreed(&mut self, key: &WorkloadKey, times: u32) -> bool {
        let before = self.flapped.len();
        if times >= SETTLED {
            self.flapped.retain(|_, flapping| flapping.by != *key);
        }
        self.flapped.len() < before
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
        for scope in blamed(vector) {
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

/// All injectors that may have had a hand in something; where none is known, the namespace.
fn blamed(vector: &VersionVector) -> Vec<Scope> {
    let injectors: Vec<_> = injector_scopes(vector).cloned().collect();
    if !injectors.is_empty() {
        return injectors;
    }
    vector.keys().filter(|s| matches!(s, Scope::Namespace(_))).cloned().collect()
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
        let key = |name: &str| WorkloadKey {
            kind: crate::core::model::owner::Kind::DEPLOYMENT,
            namespace: "shop".into(),
            name: name.into(),
        };
        let workload = key("a");
        let resync = Duration::from_hours(6);
        assert!(evidence.flapped(&vector, &unstable, &workload, resync, S * 10));
        assert!(!evidence.flapped(&vector, &unstable, &key("b"), resync, S * 10), "the others know already");
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
        let flapping = |evidence: &AdmissionEvidence, who: &str, d: SidecarDifference, now| {
            evidence.flapping(&key(who), &vector, [d].iter(), (resync, now))
        };
        let image = || difference("proxy", "/image");
        let found = flapping(&evidence, "c", image(), S * 11).unwrap();
        assert!(found.why.contains("p:1, then p:2"));
        let until = S * 10 + UNCERTAIN_RETRY;
        assert_eq!((found.looks, found.until), (false, until + ANSWERED_WITHIN), "one looks, the others wait for it");
        let looks = flapping(&evidence, "a", image(), S * 11).unwrap();
        assert_eq!((looks.looks, looks.until), (true, until));
        assert_eq!(flapping(&evidence, "c", difference("proxy", "/args/0"), S * 11), None);
        assert_eq!(flapping(&evidence, "c", difference("agent", "/image"), S * 11), None);
        assert_eq!(flapping(&evidence, "c", image(), S * 10 + UNCERTAIN_RETRY + ANSWERED_WITHIN), None);
        // What goes on for hours is looked at ever more seldom, and a move of the injector is looked at soon.
        let (mut looks, mut now) = (0, S * 10);
        while now < Duration::from_hours(24) {
            now = flapping(&evidence, "a", image(), now).unwrap().until;
            evidence.flapped(&vector, &unstable, &workload, resync, now);
            looks += 1;
        }
        assert!((30..60).contains(&looks), "{looks}");
        let moved = evidence.flapping(&key("a"), &under(mesh(), 2), [image()].iter(), (resync, now)).unwrap();
        assert_eq!(moved.until, now + UNCERTAIN_RETRY);
        assert!(!evidence.agreed(&key("b"), SETTLED) && !evidence.agreed(&key("a"), SETTLED - 1));
        assert!(evidence.agreed(&key("a"), SETTLED), "it has made up its mind");
        assert_eq!(flapping(&evidence, "c", image(), now), None);
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
