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
    model::{Name, ObjectKey, Uid, WorkloadKey},
};

/// After a rendering that leaves things open, ask again after this long: soon enough to notice that an injector is
/// back, seldom enough not to hammer one that is not.
pub const UNCERTAIN_RETRY: Duration = Duration::from_mins(5);

/// Evidence about injectors, gathered over all workloads. Whoever writes Pods in one namespace can have its injector look as they
/// like, so what one namespace shows counts there, and elsewhere only once a second one shows the same.
#[derive(Debug, Default)]
pub(super) struct AdmissionEvidence {
    /// Scopes whose renderings were contradicted by real Pods.
    contradicted: BTreeMap<Scope, Contradicted>,
    /// Sidecars that some workload was given with one image and then with another, under one version of the scope, by namespace.
    flapped: BTreeMap<(Scope, Name), BTreeMap<Name, Flapping>>,
}

/// Who found that an injector flaps believes that it is over once it was given the same so many times, minutes apart.
const SETTLED: u32 = 5;

/// So many namespaces have to say the same before it counts in others.
const NAMESPACES: usize = 2;

/// Of each namespace so many Pods are kept, the youngest.
const PODS: usize = 16;

/// The one that looks whether an injector still flaps gets its answer within this time.
const ANSWERED_WITHIN: Duration = Duration::from_mins(2);

/// Two renderings of one workload had different images. An injector that cannot make up its mind gives the same answer twice in
/// a row often enough: what one workload finds out holds for all, until it has looked again and found it no more. The longer it
/// lasts the more seldom it looks. In each namespace one looks.
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
    /// Who looks was given another answer once more: no single change between two renderings does that.
    again: bool,
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
    /// More than once: it is no single change that came between two renderings.
    pub again: bool,
}

/// Real Pods that are not as rendered, though nothing moved.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Contradicted {
    /// Holds for this version of the scope only.
    version: u64,
    /// What each says, for as long as it is there.
    pods: Vec<ContradictingPod>,
    /// The namespaces and sidecars of which a Pod was born as rendered: the youngest. What is older elsewhere is not believed there.
    agreed: BTreeMap<(Name, Name), Timestamp>,
}

/// A real Pod that is not as rendered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContradictingPod {
    /// Which.
    pub pod: ObjectKey,
    /// Another one of the same name says nothing.
    pub uid: Uid,
    /// When it was born.
    pub born: Timestamp,
    /// Which sidecars are not as rendered.
    pub sidecars: BTreeSet<Name>,
    /// For people: which Pod.
    pub evidence: String,
}

/// For whom a piece of evidence is news.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum News {
    /// For nobody.
    None,
    /// For its namespace.
    Here,
    /// For all that depend on the same.
    Everywhere,
}

impl AdmissionEvidence {
    /// Two renderings of this workload differ in an image, and so many have agreed since. Returns whether that is news for others.
    pub(super) fn flapped(
        &mut self,
        vector: &VersionVector,
        (unstable, made): (&Unstable, u32),
        workload: &WorkloadKey,
        resync: Duration,
        now: Duration,
    ) -> bool {
        // It was given the same again: that is no other answer, and prolongs only what is known to come back.
        let agrees = made > 1;
        if agrees && !self.flaps_again(workload) {
            return false;
        }
        let evidence = format!("{workload}: {unstable}");
        let mut news = false;
        for scope in blamed(vector) {
            let version = vector.get(scope).copied().unwrap_or_default();
            let (by, evidence) = (workload.clone(), evidence.clone());
            let fresh = Flapping { version, by, since: now, at: now, evidence, again: false };
            let by = self.flapped.entry((scope.clone(), unstable.container.clone())).or_default();
            by.retain(|_, flapping| now < flapping.at + resync);
            let known = by.entry(workload.namespace.clone()).or_insert_with(|| {
                news = true;
                fresh.clone()
            });
            let again = known.again || (known.at < now && !agrees && known.by == *workload);
            news |= now >= known.at + ANSWERED_WITHIN / 2;
            if now >= known.holds(version, workload, resync) && now > known.at {
                // Whoever looked before has found nothing, or is gone.
                known.by = workload.clone();
            }
            *known = Flapping { by: known.by.clone(), since: known.since, again, ..fresh };
        }
        news
    }

    /// Whether this workload looks whether an injector that came back to another answer still does.
    fn flaps_again(&self, workload: &WorkloadKey) -> bool {
        self.flapped.values().flat_map(BTreeMap::values).any(|flapping| flapping.by == *workload && flapping.again)
    }

    /// Why a difference in image is not to be believed now in this namespace, if so: the injector gave another workload two answers.
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

    /// Whether the image of this container changes from one rendering to the next: as its namespace found, or several others did.
    pub(super) fn wavers(
        &self,
        key: &WorkloadKey,
        vector: &VersionVector,
        container: &Name,
        (resync, now): (Duration, Duration),
    ) -> Option<Wavering> {
        blamed(vector).find_map(|scope| {
            let version = vector.get(scope).copied().unwrap_or_default();
            let by = self.flapped.get(&(scope.clone(), container.clone()))?;
            let holds = |flapping: &&Flapping| now < flapping.holds(version, key, resync);
            let own = by.get(&key.namespace).filter(holds);
            let mut others = by.values().filter(holds);
            let several = others.clone().count() >= NAMESPACES;
            let found = own.or_else(|| others.next().filter(|_| several))?;
            let why = format!("its injector gives different answers: {}", found.evidence);
            Some(Wavering {
                why,
                until: found.holds(version, key, resync),
                looks: found.by == *key,
                again: found.again,
            })
        })
    }

    /// Whether an injector of these gives different answers these days.
    pub(super) fn is_flapping(&self, key: &WorkloadKey, vector: &VersionVector, times: (Duration, Duration)) -> bool {
        self.flapped.keys().any(|(scope, container)| {
            vector.contains_key(scope) && self.wavers(key, vector, container, times).is_some()
        })
    }

    /// This workload was given the same so many times in a row. Returns whether what it found before is over.
    pub(super) fn agreed(&mut self, key: &WorkloadKey, times: u32) -> bool {
        let before = self.flaps();
        if times >= SETTLED {
            self.flapped.retain(|_, by| {
                by.retain(|_, flapping| flapping.by != *key);
                !by.is_empty()
            });
        }
        self.flaps() < before
    }

    fn flaps(&self) -> usize {
        self.flapped.values().map(BTreeMap::len).sum()
    }

    /// A real Pod has these sidecars otherwise than rendered. All injectors that may have had a hand in it are blamed, each
    /// only for these sidecars; where none is known, the namespace is.
    pub(super) fn contradict(&mut self, vector: &VersionVector, found: &ContradictingPod) -> News {
        let mut news = News::None;
        for scope in blamed(vector).filter(|_| !found.sidecars.is_empty()) {
            let version = vector.get(scope).copied().unwrap_or_default();
            let known = self.contradicted.entry(scope.clone()).or_default();
            if known.version != version {
                *known = Contradicted { version, ..Contradicted::default() };
            }
            if known.add(found) {
                let several = found.sidecars.iter().any(|sidecar| known.is_said_in(sidecar).len() >= NAMESPACES);
                news = news.max(if several { News::Everywhere } else { News::Here });
            }
        }
        news
    }

    /// A Pod born under these scopes has these sidecars as rendered: what an older Pod of its namespace contradicted is believed
    /// again, and what older Pods elsewhere did is not heard there.
    pub(super) fn agree(
        &mut self,
        vector: &VersionVector,
        namespace: &Name,
        sidecars: &BTreeSet<Name>,
        born: Timestamp,
    ) {
        self.contradicted.retain(|scope, known| {
            if vector.contains_key(scope) {
                known.agree(namespace, sidecars, born);
            }
            !known.pods.is_empty()
        });
    }

    /// Pods that are gone say nothing any more. Returns the scopes that are seen in another light now.
    pub(super) fn forget_pods(&mut self, there: impl Fn(&ObjectKey, &Uid) -> bool) -> BTreeSet<Scope> {
        let mut touched = BTreeSet::new();
        self.contradicted.retain(|scope, known| {
            let before = known.pods.len();
            known.pods.retain(|found| there(&found.pod, &found.uid));
            if known.pods.len() < before {
                touched.insert(scope.clone());
            }
            !known.pods.is_empty()
        });
        touched
    }

    /// A scope is gone: nothing that was seen of it means anything.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.flapped.retain(|(of, _), _| of != scope);
        self.contradicted.remove(scope);
    }

    /// No Pod contradicts its rendering.
    pub(super) fn is_uncontradicted(&self) -> bool {
        self.contradicted.is_empty()
    }

    /// How many pieces of evidence are kept.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.contradicted.len() + self.flaps()
    }

    /// Why a rendering of one of these sidecars in this namespace and under these scopes is not to be believed, if so.
    pub(super) fn contradicted<'a>(
        &self,
        vector: &VersionVector,
        namespace: &Name,
        mut sidecars: impl Iterator<Item = &'a Name>,
    ) -> Option<&str> {
        let against =
            |(scope, version): (&Scope, &u64)| self.contradicted.get(scope).filter(|known| known.version == *version);
        let against: Vec<_> = vector.iter().filter_map(against).collect();
        sidecars.find_map(|sidecar| against.iter().find_map(|known| known.counts_in(namespace, sidecar)))
    }
}

impl Contradicted {
    /// Returns whether that is news.
    fn add(&mut self, found: &ContradictingPod) -> bool {
        match self.pods.iter_mut().find(|known| known.uid == found.uid) {
            Some(known) if found.sidecars.is_subset(&known.sidecars) => return false,
            Some(known) => known.sidecars.extend(found.sidecars.iter().cloned()),
            None => self.pods.push(found.clone()),
        }
        let here = |known: &&ContradictingPod| known.pod.namespace == found.pod.namespace;
        if self.pods.iter().filter(here).count() > PODS
            && let Some(oldest) = self.pods.iter().filter(here).min_by_key(|known| known.born).map(|p| p.uid.clone())
        {
            self.pods.retain(|known| known.uid != oldest);
        }
        true
    }

    fn agree(&mut self, namespace: &Name, sidecars: &BTreeSet<Name>, born: Timestamp) {
        for sidecar in sidecars {
            let youngest = self.agreed.entry((namespace.clone(), sidecar.clone())).or_insert(born);
            *youngest = (*youngest).max(born);
        }
        for known in self.pods.iter_mut().filter(|known| known.pod.namespace == *namespace && known.born < born) {
            known.sidecars.retain(|sidecar| !sidecars.contains(sidecar));
        }
        self.pods.retain(|known| !known.sidecars.is_empty());
    }

    /// The namespaces in which Pods have this sidecar otherwise.
    fn is_said_in(&self, sidecar: &Name) -> BTreeSet<&Name> {
        let of = self.pods.iter().filter(|known| known.sidecars.contains(sidecar));
        of.map(|known| &known.pod.namespace).collect()
    }

    /// Why this sidecar is not believed in this namespace: a Pod of its own says so, or Pods of several others that are younger than
    /// any of its own that was as rendered.
    fn counts_in(&self, namespace: &Name, sidecar: &Name) -> Option<&str> {
        let says = self.pods.iter().filter(|known| known.sidecars.contains(sidecar));
        if let Some(own) = says.clone().find(|known| known.pod.namespace == *namespace) {
            return Some(&own.evidence);
        }
        let agreed = self.agreed.get(&(namespace.clone(), sidecar.clone()));
        let others: Vec<_> = says.filter(|known| agreed.is_none_or(|at| *at <= known.born)).collect();
        let namespaces: BTreeSet<_> = others.iter().map(|known| &known.pod.namespace).collect();
        others.first().filter(|_| namespaces.len() >= NAMESPACES).map(|known| &*known.evidence)
    }
}

/// The scopes that may have had a hand in a Pod.
fn blamed(vector: &VersionVector) -> impl Iterator<Item = &Scope> {
    let none = injector_scopes(vector).next().is_none();
    vector.keys().filter(move |scope| match scope {
        Scope::Injector(..) => true,
        Scope::Namespace(_) => none,
        _ => false,
    })
}

#[cfg(test)]
mod tests;
