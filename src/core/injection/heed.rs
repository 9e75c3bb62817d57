//! Which objects' changes change renderings, learned from what was rendered.
//!
//! Many controllers write objects that lie beside an injector's configuration, some every few seconds. The first change of an
//! object is news for everybody who may depend on it. When it turns out that no rendering became another one by it, the next
//! changes of that object move nothing: samples are asked, ever more seldom the more often it is written. As soon as a rendering
//! does become another one, the objects that may have done it are believed again.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::{scope::Scope, scope_changes::Written, unannounced_changes::LAST_FOLLOW_UP};

/// So many objects are remembered; those that were not written for the longest time are forgotten first.
const MOST: usize = 4096;

/// So many new objects of one kind and namespace, none of which changed a rendering, speak for those that are made after them:
/// there are controllers that give each object a new name.
const SPEAK_FOR_ALL: u32 = 3;

/// An object that changed no rendering by its last change is looked at again after this long, and each time after three
/// times as long as before.
const FIRST_REST: Duration = Duration::from_mins(1);

/// What lies beside an injector is tried so often: for some time after one object was tried in vain the next ones are sampled, and
/// tried together at the end.
const TRIED_ONCE_IN: Duration = Duration::from_hours(1);

/// What is written again and again before anything was rendered is not believed for longer than this.
const LONGEST_TRIAL: Duration = Duration::from_mins(1);

/// The longest rest, which is the usual time between two periodic looks.
const LONGEST_REST: Duration = Duration::from_hours(6);

/// What a change of an object is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Heed {
    /// It moves its scopes.
    Move,
    /// Samples are asked now and in the next minutes.
    Samples,
    /// As above; and all that depend on it are asked then, because it was never tried whether it changes a rendering.
    SamplesAndAll(Duration),
    /// One sample is asked then.
    Look(Duration),
    /// It is looked at with what is to be looked at already.
    Nothing,
}

/// The objects that were written.
#[derive(Debug, Default)]
pub(super) struct Heeds {
    objects: BTreeMap<String, Record>,
    /// Objects of one kind and namespace that were made, and changed nothing by that.
    groups: BTreeMap<String, Record>,
    /// When something that lies beside the injector was tried last, and no rendering changed since.
    tried: BTreeMap<Scope, Duration>,
}

/// What is known of one object, or of all objects of one kind and namespace.
#[derive(Debug, Default)]
struct Record {
    /// What it may move.
    scopes: Vec<Scope>,
    /// Why it would, in words.
    cause: String,
    /// How often it was written.
    writes: u64,
    /// When it was written last.
    written: Duration,
    /// How often it was heeded in vain since a rendering changed by it.
    heeded: u32,
    /// Since when it moves scopes, and nothing that was rendered since tells whether in vain.
    trying: Option<Duration>,
    /// When it was heeded last; in the future: when its look is due.
    at: Duration,
    /// How often it may be heeded in vain before it moves nothing any more.
    trials: u32,
}

/// What only lies beside an injector is not believed a second time ...
const TRIALS: u32 = 1;
/// ... but what is part of one is, a few times.
const TRIALS_OF_ITS_OWN: u32 = 3;

impl Record {
    fn is_believed(&self) -> bool {
        self.heeded < self.trials
    }

    fn in_vain(&mut self) {
        self.heeded = self.heeded.saturating_add(1);
        self.trying = None;
    }

    fn rest(&self) -> Duration {
        FIRST_REST.saturating_mul(3_u32.pow(self.heeded.saturating_sub(1).min(8))).min(LONGEST_REST)
    }

    fn note(&mut self, written: &Written, now: Duration) {
        self.scopes.clone_from(&written.scopes);
        self.cause.clone_from(&written.cause);
        self.trials = if written.is_own { TRIALS_OF_ITS_OWN } else { TRIALS };
        self.writes += 1;
        self.written = now;
    }

    /// An object that moves nothing was written.
    fn rewritten(&mut self, now: Duration) -> Heed {
        if self.at > now {
            return Heed::Nothing;
        }
        let due = self.at + self.rest();
        self.heeded = self.heeded.saturating_add(1);
        self.at = due.max(now);
        if due > now { Heed::Look(due) } else { Heed::Samples }
    }
}

impl Heeds {
    /// Notes that an object was written, and says what is to be done about it.
    pub(super) fn written(&mut self, written: &Written, now: Duration) -> Heed {
        let group = self.groups.entry(group_of(&written.what).to_owned()).or_default();
        let unknown = written.is_new && !self.objects.contains_key(&written.what);
        if unknown {
            group.note(written, now);
            if group.heeded >= SPEAK_FOR_ALL {
                return group.rewritten(now);
            }
        }
        let object = self.objects.entry(written.what.clone()).or_default();
        object.note(written, now);
        if object.trying.is_some_and(|since| now >= since + LONGEST_TRIAL) {
            object.in_vain();
        }
        if !object.is_believed() {
            return object.rewritten(now);
        }
        object.at = now;
        if object.trying.is_some() {
            return Heed::Move;
        }
        if unknown {
            group.heeded = group.heeded.saturating_add(1);
            group.at = now;
        }
        let tried = written.scopes.iter().filter_map(|scope| self.tried.get(scope)).max();
        let again = tried.map(|at| *at + TRIED_ONCE_IN).filter(|again| *again > now && !written.is_own);
        if again.is_some() {
            object.in_vain();
        } else {
            object.trying = Some(now);
            let tried = written.scopes.iter().filter(|_| !written.is_own);
            self.tried.extend(tried.map(|scope| (scope.clone(), now)));
        }
        self.prune();
        again.map_or(Heed::Move, Heed::SamplesAndAll)
    }

    /// A workload was rendered as before, though these scopes moved: what moved them did so in vain.
    pub(super) fn unchanged(&mut self, scopes: &[Scope]) {
        let on_trial =
            |record: &&mut Record| record.trying.is_some() && record.scopes.iter().any(|s| scopes.contains(s));
        self.objects.values_mut().filter(on_trial).for_each(Record::in_vain);
    }

    /// The look at this scope that was due then is being asked for. Returns when which scopes are to be looked at once more, where
    /// what was written last may not be in force yet.
    pub(super) fn looked(&mut self, scope: &Scope, due: Duration, now: Duration) -> Vec<(Scope, Duration)> {
        let mut again = Vec::new();
        for record in self.objects.values_mut().chain(self.groups.values_mut()) {
            let looked = record.at == due && record.written < due && record.scopes.contains(scope);
            if looked && now < record.written + LAST_FOLLOW_UP {
                record.at = now + record.rest();
                record.heeded = record.heeded.saturating_add(1);
                again.extend(record.scopes.iter().map(|scope| (scope.clone(), record.at)));
            }
        }
        again
    }

    /// A rendering became another one since then, and it depends on `scopes`: the objects that may have done it are believed
    /// again. Those that were written in vain least often are the likeliest. Returns what they move, and why.
    pub(super) fn changed(&mut self, scopes: &[Scope], since: Duration) -> Option<(Vec<Scope>, String)> {
        let since = since.saturating_sub(LAST_FOLLOW_UP);
        let may = |record: &Record| {
            let heeded = record.heeded > 0 || record.trying.is_some();
            heeded && record.written >= since && record.scopes.iter().any(|s| scopes.contains(s))
        };
        let groups = self.groups.values().filter(|group| group.heeded >= SPEAK_FOR_ALL);
        let least = self.objects.values().chain(groups).filter(|r| may(r)).map(|record| record.heeded).min()?;
        let (mut moved, mut cause, mut of) = (Vec::new(), None, BTreeSet::new());
        let mut believe = |record: &mut Record| {
            (record.heeded, record.trying) = (0, None);
            moved.extend(record.scopes.iter().filter(|s| scopes.contains(s)).cloned());
            cause = cause.take().max(Some((record.written, record.cause.clone())));
        };
        for (what, record) in self.objects.iter_mut().filter(|(_, r)| may(r) && r.heeded == least) {
            of.insert(group_of(what).to_owned());
            believe(record);
        }
        for (group, record) in &mut self.groups {
            let speaks = record.heeded >= SPEAK_FOR_ALL && may(record) && record.heeded == least;
            if speaks {
                believe(record);
            } else if of.contains(group) {
                record.heeded = 0;
            }
        }
        moved.sort_unstable();
        moved.dedup();
        self.tried.retain(|scope, _| !moved.contains(scope));
        cause.map(|(_, cause)| (moved, cause))
    }

    /// What is to be known of an object that moves nothing any more: how often it was written, and by when it is looked at again
    /// if it is written once more.
    pub(super) fn unheeded(&self, what: &str) -> Option<(u64, Duration)> {
        let record = self.objects.get(what).filter(|record| record.heeded > record.trials)?;
        Some((record.writes, if record.at > record.written { record.at } else { record.at + record.rest() }))
    }

    /// A scope is gone.
    pub(super) fn forget(&mut self, scope: &Scope) {
        self.tried.remove(scope);
        for records in [&mut self.objects, &mut self.groups] {
            records.retain(|_, record| {
                record.scopes.retain(|s| s != scope);
                !record.scopes.is_empty()
            });
        }
    }

    fn prune(&mut self) {
        for records in [&mut self.objects, &mut self.groups] {
            if records.len() > MOST {
                let mut times: Vec<_> = records.values().map(|record| record.written).collect();
                let (_, middle, _) = times.select_nth_unstable(MOST / 2);
                let middle = *middle;
                records.retain(|_, record| record.written > middle);
            }
        }
    }
}

/// `ConfigMap mesh` of `ConfigMap mesh/config`, `Namespace` of `Namespace shop`.
fn group_of(what: &str) -> &str {
    what.rsplit_once('/').or_else(|| what.split_once(' ')).map_or(what, |(group, _)| group)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::InjectorKind;

    const S: Duration = Duration::from_secs(1);

    fn mesh() -> Scope {
        Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into())
    }

    fn config(name: &str) -> Written {
        let what = format!("ConfigMap mesh/{name}");
        Written { cause: what.clone(), what, scopes: vec![mesh()], is_own: false, is_new: false }
    }

    fn heed(heeds: &mut Heeds, name: &str, second: u32) -> Heed {
        heeds.written(&config(name), S * second)
    }

    #[test]
    fn an_object_moves_once_in_vain_and_is_looked_at_ever_more_seldom() {
        let mut heeds = Heeds::default();
        let mut looks = Vec::new();
        for second in (0..7200).step_by(10) {
            for (scope, at) in heeds.looked(&mesh(), S * second, S * second) {
                assert_eq!(scope, mesh());
                looks.push(at.as_secs());
            }
            match heed(&mut heeds, "noise", second) {
                Heed::Move => {
                    assert_eq!(second, 0);
                    heeds.unchanged(&[mesh()]);
                }
                Heed::Look(at) => looks.push(at.as_secs()),
                Heed::Samples | Heed::SamplesAndAll(_) => panic!("it is written all the time"),
                Heed::Nothing => {}
            }
        }
        assert_eq!(looks, [60, 240, 780, 2400, 7260]);
        assert_eq!(heeds.unheeded("ConfigMap mesh/noise"), Some((720, S * 7260)));
    }

    #[test]
    fn what_is_written_seldom_is_sampled_at_once() {
        let mut heeds = Heeds::default();
        assert_eq!(heed(&mut heeds, "config", 0), Heed::Move);
        // Nobody was asked since, so it is still the first change.
        assert_eq!(heed(&mut heeds, "config", 30), Heed::Move);
        heeds.unchanged(&[Scope::Cluster]);
        assert_eq!(heed(&mut heeds, "config", 35), Heed::Move);
        heeds.unchanged(&[mesh()]);
        assert_eq!(heed(&mut heeds, "config", 100), Heed::Samples);
        assert_eq!(heed(&mut heeds, "config", 10_000), Heed::Samples);
    }

    #[test]
    fn the_likeliest_object_is_believed_again_when_a_rendering_changed() {
        let mut heeds = Heeds::default();
        for second in [0, 10, 70] {
            heed(&mut heeds, "noise", second);
            heeds.unchanged(&[mesh()]);
        }
        assert_eq!(heed(&mut heeds, "config", 75), Heed::SamplesAndAll(S * 3600));
        let changed = heeds.changed(&[mesh()], S * 60);
        assert_eq!(changed, Some((vec![mesh()], "ConfigMap mesh/config".to_owned())));
        assert_eq!(heed(&mut heeds, "noise", 80), Heed::Nothing);
        assert_eq!(heed(&mut heeds, "config", 80), Heed::Move);
        heeds.unchanged(&[mesh()]);
        // Nothing else was written for a while: it was the one that is written all the time.
        heed(&mut heeds, "noise", 500);
        assert_eq!(heeds.changed(&[mesh()], S * 450).map(|(_, cause)| cause), Some("ConfigMap mesh/noise".to_owned()));
        assert_eq!(heed(&mut heeds, "noise", 510), Heed::Move);
        assert_eq!(heeds.changed(&[Scope::Cluster], S), None);
    }

    #[test]
    fn names_that_are_always_new_move_a_few_times_only() {
        let mut heeds = Heeds::default();
        let make = |heeds: &mut Heeds, n: u32| {
            heeds.written(&Written { is_new: true, ..config(&format!("job-{n}")) }, S * n * 10)
        };
        let told: Vec<_> = (0..5).map(|n| make(&mut heeds, n)).collect();
        let later = Heed::SamplesAndAll(S * 3600);
        assert_eq!(told, [Heed::Move, later, later, Heed::Look(S * 20 + FIRST_REST * 9), Heed::Nothing]);
        // What was there before, and is written for the first time, may be the configuration itself.
        assert_eq!(heed(&mut heeds, "config", 45), later);
        assert!(heeds.changed(&[mesh()], S * 60).is_some());
        assert_eq!(make(&mut heeds, 9), Heed::Move);
    }

    #[test]
    fn what_is_written_without_end_is_not_believed_for_ever_even_if_nobody_is_asked() {
        let mut heeds = Heeds::default();
        let moved = (0..200).filter(|second| heed(&mut heeds, "noise", *second) == Heed::Move).count();
        assert_eq!(moved, 60);
    }

    #[test]
    fn what_is_part_of_an_injector_is_believed_three_times() {
        let mut heeds = Heeds::default();
        let own = Written { is_own: true, ..config("x") };
        let write = |n| {
            let told = heeds.written(&own, S * n);
            heeds.unchanged(&[mesh()]);
            told
        };
        let told: Vec<_> = (0..4).map(write).collect();
        assert_eq!(told, [Heed::Move, Heed::Move, Heed::Move, Heed::Look(S * 2 + FIRST_REST * 9)]);
    }

    #[test]
    fn not_more_is_kept_than_there_is_room_for_and_nothing_of_a_scope_that_is_gone() {
        let mut heeds = Heeds::default();
        for n in 0..u32::try_from(2 * MOST).unwrap() {
            let what = format!("ServiceAccount ns-{n}/default");
            heeds.written(&Written { what, ..config("") }, S * n);
        }
        assert!(heeds.objects.len() <= MOST && heeds.groups.len() <= MOST && heeds.tried.len() <= 1);
        heeds.forget(&mesh());
        assert!(heeds.objects.is_empty() && heeds.groups.is_empty());
    }
}
