//! What workloads lack in their renderings (rule R7): who asks for it again, and who was given it meanwhile.
//!
//! An injector that is down and fails open takes away what it gives. So what is lost is believed only when a *witness* was given it
//! right before and right after each of several renderings without it: an outage would have to begin and to end between all of
//! them. Who lacks something waits in the group of those that the same injectors may have left out; one of a group is asked
//! again and again, and the others once it is given again what it lacked.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use jiff::Timestamp;

use super::{admission_evidence::UNCERTAIN_RETRY, waiting::Waiting};
use crate::core::{
    compare::{Given, Loss},
    injection::Scope,
    model::{Name, WorkloadKey},
};

/// A loss is believed after so many renderings in a row without it, each with a witness after it.
const ROUNDS: u8 = 3;
/// A witness of an earlier time than this says nothing.
const STALE: Duration = Duration::from_mins(1);
/// As long as witnesses are found, one is asked for again after this long.
const BREATH: Duration = Duration::from_secs(5);
/// So many sorts of losses are followed; of others none is ever believed.
const MOST: usize = 512;
/// So many witnesses of each are remembered.
const WITNESSES: usize = 8;

/// What one judgement found to be lacking, and did not believe.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Lacking {
    /// What.
    pub losses: BTreeSet<Loss>,
    /// The configurations that may have left it out.
    pub open: BTreeSet<Scope>,
    /// When the first rendering without it was made ...
    pub first: Duration,
    /// ... and the last one.
    pub last: Duration,
    /// A witness would make a difference now.
    pub wants_witness: bool,
    /// The revision that lacks it, where it is not the current one.
    pub revision: Option<Name>,
}

impl Lacking {
    /// Another revision lacks it, too: what an injector gives no more it gives to none, so that each rendering counts. What else
    /// that one lacks is looked for when this is settled.
    pub(super) fn beside(self, other: &Self) -> Self {
        if self.losses != other.losses || self.open != other.open {
            return self;
        }
        let (first, last) = (self.first.max(other.first), self.last.max(other.last));
        Self { first, last, wants_witness: self.wants_witness && other.wants_witness, ..self }
    }
}

/// What is wanted to know more of a loss.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// It is believed from now on.
    Believe,
    /// One more rendering.
    Render,
    /// A witness: one that these configurations may touch, and that has this.
    Witness(Loss),
    /// To look again then.
    Look(Duration),
    /// Its turn comes.
    Wait,
}

/// One workload that lacks something.
#[derive(Debug)]
struct Absence {
    losses: BTreeSet<Loss>,
    open: BTreeSet<Scope>,
    /// When it was first seen to lack it.
    since: Timestamp,
    first: Duration,
    rounds: u8,
    /// The rendering that was counted last.
    counted: Duration,
    /// A witness would make a difference.
    wants_witness: bool,
    /// What it lacks is looked for in others' renderings.
    followed: bool,
}

/// Something that is lost somewhere.
#[derive(Debug, Default)]
struct Followed {
    /// By so many.
    by: usize,
    seen: Vec<Sighting>,
}

/// Somebody was given something.
#[derive(Debug)]
struct Sighting {
    by: WorkloadKey,
    under: BTreeSet<Scope>,
    at: Duration,
}

/// All that is lacking.
#[derive(Debug, Default)]
pub(super) struct Absences {
    of: BTreeMap<WorkloadKey, Absence>,
    /// Those that the same configurations may have left out.
    groups: Waiting<BTreeSet<Scope>>,
    followed: BTreeMap<Loss, Followed>,
    probed: BTreeMap<Loss, Duration>,
    /// Workloads to be rendered again.
    again: BTreeSet<WorkloadKey>,
}

impl Absences {
    /// Whether what this workload lacks in the renderings since `first` was proven to be lost since then, or later.
    pub(super) fn believes(&self, key: &WorkloadKey, losses: &BTreeSet<Loss>, first: Duration) -> bool {
        self.of.get(key).is_some_and(|a| a.rounds >= ROUNDS && a.first >= first && a.losses.is_superset(losses))
    }

    /// Since when a workload lacks what it lacks now.
    pub(super) fn since(&self, key: &WorkloadKey) -> Option<Timestamp> {
        self.of.get(key).map(|absence| absence.since)
    }

    /// A workload lacks something. Returns what would tell more.
    pub(super) fn note(&mut self, key: &WorkloadKey, found: &Lacking, elapsed: Duration, wall: Timestamp) -> Next {
        let Lacking { losses, open, first, last, wants_witness, revision: _ } = found;
        let known = self.of.get(key);
        if known.is_none_or(|known| known.losses != *losses || known.open != *open) {
            let since = known.filter(|known| known.losses == *losses).map_or(wall, |known| known.since);
            self.leave(key);
            let absence = Absence {
                losses: losses.clone(),
                open: open.clone(),
                since,
                first: *first,
                rounds: 0,
                counted: Duration::ZERO,
                wants_witness: false,
                followed: self.follow(losses),
            };
            self.of.insert(key.clone(), absence);
            self.groups.join(open, key, elapsed);
        }
        let seen_within =
            |from: Duration, to: Duration| losses.iter().find(|loss| !self.is_seen(key, loss, open, from, to)).cloned();
        let (witnessed, recent) =
            (seen_within(*last, *last + STALE), seen_within(elapsed.saturating_sub(STALE), elapsed));
        let Some(absence) = self.of.get_mut(key) else { return Next::Wait };
        if absence.first != *first {
            (absence.first, absence.rounds, absence.counted) = (*first, 0, Duration::ZERO);
        }
        if absence.rounds >= ROUNDS {
            return self.believe(key);
        }
        absence.wants_witness = *wants_witness;
        if !wants_witness || !absence.followed {
            return Next::Wait;
        }
        let Some(unseen) = witnessed else {
            if absence.counted < *last {
                absence.rounds += 1;
                absence.counted = *last;
            }
            return if absence.rounds >= ROUNDS { self.believe(key) } else { Next::Render };
        };
        if elapsed > *last + STALE {
            // Nobody can tell any more whether it was down just then.
            absence.rounds = 0;
            if recent.is_none() {
                return Next::Render;
            }
        }
        let under_way = recent.is_none();
        match self.next_probe(&unseen, under_way, elapsed) {
            None => Next::Witness(unseen),
            Some(at) if under_way => Next::Look(at),
            Some(_) => Next::Wait,
        }
    }

    /// Looks for these in the renderings of others from now on, unless too many are looked for already.
    fn follow(&mut self, losses: &BTreeSet<Loss>) -> bool {
        let new = losses.iter().filter(|loss| !self.followed.contains_key(*loss)).count();
        let follows = self.followed.len() + new <= MOST;
        for loss in losses.iter().filter(|_| follows) {
            self.followed.entry(loss.clone()).or_default().by += 1;
        }
        follows
    }

    /// It is asked no more.
    fn believe(&mut self, key: &WorkloadKey) -> Next {
        self.leave_group(key);
        Next::Believe
    }

    /// Whether somebody else, whom all of these configurations may touch, was given it in that time.
    fn is_seen(&self, key: &WorkloadKey, loss: &Loss, open: &BTreeSet<Scope>, from: Duration, to: Duration) -> bool {
        let tells = |s: &Sighting| s.by != *key && s.at >= from && s.at <= to && open.is_subset(&s.under);
        self.followed.get(loss).is_some_and(|followed| followed.seen.iter().any(tells))
    }

    /// One witness is enough for all that lack it. `None`: it is to be asked now; else when it may be.
    fn next_probe(&mut self, loss: &Loss, under_way: bool, now: Duration) -> Option<Duration> {
        self.probed.retain(|_, at| now < *at + UNCERTAIN_RETRY);
        let wait = if under_way { BREATH } else { UNCERTAIN_RETRY };
        let next = self.probed.get(loss).map(|at| *at + wait).filter(|at| now < *at);
        if next.is_none() {
            self.probed.insert(loss.clone(), now);
        }
        next
    }

    /// Whether anything is lacking at all.
    pub(super) fn is_empty(&self) -> bool {
        self.of.is_empty()
    }

    /// Whether this workload lacks that.
    pub(super) fn lacks(&self, key: &WorkloadKey, loss: &Loss) -> bool {
        self.of.get(key).is_some_and(|absence| absence.losses.contains(loss))
    }

    /// A rendering of this workload, which these configurations may touch, was given that. Returns whether it was given again
    /// what it had lacked, and whose judgement may be another because of it.
    pub(super) fn saw(
        &mut self,
        key: &WorkloadKey,
        under: &BTreeSet<Scope>,
        given: &Given,
        now: Duration,
    ) -> (bool, Vec<WorkloadKey>) {
        let recovered = self.of.get(key).is_some_and(|absence| absence.losses.iter().all(|loss| given.holds(loss)));
        if recovered {
            self.wake_group(key, now);
            self.leave(key);
        }
        let mut found: BTreeSet<&Loss> = BTreeSet::new();
        for (loss, Followed { seen, .. }) in self.followed.iter_mut().filter(|(loss, _)| given.holds(loss)) {
            found.insert(loss);
            seen.retain(|s| s.under != *under);
            if seen.len() >= WITNESSES {
                seen.remove(0);
            }
            seen.push(Sighting { by: key.clone(), under: under.clone(), at: now });
        }
        if found.is_empty() {
            return (recovered, Vec::new());
        }
        let concerned = |a: &Absence| a.wants_witness && a.losses.iter().any(|loss| found.contains(loss));
        let waiting = self.of.iter().filter(|(other, absence)| *other != key && concerned(absence));
        (recovered, waiting.map(|(other, _)| other.clone()).collect())
    }

    /// What left one of a group out answers again: the others are asked.
    fn wake_group(&mut self, key: &WorkloadKey, now: Duration) {
        let Some(absence) = self.of.get(key) else { return };
        self.again.extend(self.groups.wake(&absence.open, key, now));
    }

    /// It lacks nothing, or nothing is known of it any more.
    pub(super) fn leave(&mut self, key: &WorkloadKey) {
        self.leave_group(key);
        let Some(absence) = self.of.remove(key) else { return };
        self.again.remove(key);
        for loss in absence.losses.iter().filter(|_| absence.followed) {
            if let Some(followed) = self.followed.get_mut(loss) {
                followed.by = followed.by.saturating_sub(1);
                if followed.by == 0 {
                    self.followed.remove(loss);
                    self.probed.remove(loss);
                }
            }
        }
    }

    /// It is not asked in turn any more.
    pub(super) fn leave_group(&mut self, key: &WorkloadKey) {
        if let Some(absence) = self.of.get(key) {
            self.groups.leave(&absence.open, key);
        }
    }

    /// When one of a group is asked again.
    pub(super) fn next(&self) -> Option<Duration> {
        self.groups.next()
    }

    /// The workloads to be rendered now: one of each group whose time has come, and those that were left out by what answers
    /// again.
    pub(super) fn take_due(&mut self, resync: Duration, now: Duration) -> BTreeSet<WorkloadKey> {
        let mut due = std::mem::take(&mut self.again);
        due.extend(self.groups.take_due(resync, now).into_iter().map(|(_, key)| key));
        due
    }

    /// Entries of every map: what must not grow with what is gone.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.of.len() + self.groups.len() + self.followed.len() + self.probed.len() + self.again.len()
    }
}
