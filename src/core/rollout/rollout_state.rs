//! One rollout under way: where it stands.
//!
//! `Confirming` (one more rendering, and the workload read again) → `Confirmed` (the state ConfigMap and the guard have
//! their say) → `Patching` → `Rolling` until the platform is done and the new Pods are as rendered. Where nobody replaces
//! Pods we evict them.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use super::report::RolloutReport;
use crate::core::{
    config::Policy,
    injection::VersionVector,
    model::{
        Name, Stamp, Uid, WorkloadKey,
        time::Now,
        words::{Gate, Outcome},
    },
};

/// After a rollout that ended, its workload is left alone for this long; after one that was given up before anything was
/// written, too, and twice as long after each further one.
pub(super) const QUIET: Duration = Duration::from_secs(30);
/// The longest such rest.
pub(super) const LONGEST_QUIET: Duration = Duration::from_mins(15);
/// What a rendering confirmed is believed for this long; then whatever the patch still waits for took too long.
pub(super) const FRESH: Duration = Duration::from_secs(10);

/// One rollout under way.
#[derive(Clone, Debug)]
#[expect(clippy::struct_excessive_bools, reason = "independent facts about one rollout")]
pub(super) struct Rollout {
    pub(super) phase: Phase,
    /// The workload's uid: another one of the same name is none of ours.
    pub(super) uid: Name,
    /// What it is for, in short.
    pub(super) change: String,
    /// When it was started: the patch, or before it the plan.
    pub(super) started: Now,
    /// When it moved on last: the time that it may take counts from there.
    pub(super) stepped: Duration,
    /// How far the platform got; `None`: it has not seen the change.
    pub(super) reached: Option<Reached>,
    /// The template without our stamp, as it was when we patched.
    pub(super) template: Name,
    /// What we sent, the last one last: of an attempt whose answer was lost it is not known whether it was written.
    pub(super) stamps: Vec<Stamp>,
    /// An answer was lost, and what became of the patch is not known yet.
    pub(super) unsure: bool,
    /// `metadata.generation` after the patch.
    pub(super) generation: i64,
    /// What the rendering that confirmed it depended on.
    pub(super) versions: VersionVector,
    /// When that came back.
    pub(super) confirmed: Duration,
    /// The sidecars that the new Pods are to have; none if an earlier process knew.
    pub(super) sidecars: Vec<Name>,
    /// The Pods that are to be replaced, by uid.
    pub(super) before: BTreeSet<Uid>,
    pub(super) attempts: u32,
    /// It has not moved on for as long as a rollout may take; until it does again.
    pub(super) late: bool,
    /// It was late once, and that was told: it leaves one entry in the breaker's list, however it ends.
    pub(super) timed_out: bool,
    /// It stalled at what others may meet, too: for the breaker it timed out.
    pub(super) blocked: bool,
    /// Somebody else began it, by hand or not, and counts it.
    pub(super) foreign: bool,
    /// `None`: no new Pod crashes, or none does any more.
    pub(super) crashes: Option<Crashes>,
    /// When the platform said that it is finished: from then on it disrupts nothing, and holds no slot.
    pub(super) done: Option<Duration>,
    /// The new Pods that were there when it said so first, and since when each has been well; `None`: it is not ready.
    pub(super) well: BTreeMap<Uid, Option<Well>>,
    /// An earlier process began it: what its rendering depended on is not known.
    pub(super) adopted: bool,
    /// Its history has not been read: whether it is ours at all is not known.
    pub(super) unread: bool,
    /// Where we evict: how far the next eviction is.
    pub(super) eviction: Eviction,
    /// The name and the uid of the Pod that was evicted last.
    pub(super) leaving: Option<(Name, Name)>,
    /// What holds the next eviction.
    pub(super) held: Option<Gate>,
    /// None is made before.
    pub(super) rest_until: Duration,
    /// Why not.
    pub(super) trouble: String,
    /// When to look at it again though nothing happens.
    pub(super) wake: Option<Duration>,
    pub(super) message: String,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// Waits for one more rendering.
    Confirming,
    /// Confirmed; the state ConfigMap is being written first.
    Confirmed,
    /// Waits for the answer to the patch.
    Patching,
    /// Waits for the platform to finish.
    Rolling,
}

impl Rollout {
    pub(super) fn new(uid: Name, change: String, now: Now) -> Self {
        Self {
            phase: Phase::Confirming,
            uid,
            change,
            started: now,
            stepped: now.elapsed,
            reached: None,
            template: Name::from(""),
            stamps: Vec::new(),
            unsure: false,
            generation: 0,
            versions: VersionVector::new(),
            confirmed: Duration::ZERO,
            sidecars: Vec::new(),
            before: BTreeSet::new(),
            attempts: 0,
            late: false,
            timed_out: false,
            blocked: false,
            foreign: false,
            crashes: None,
            done: None,
            well: BTreeMap::new(),
            adopted: false,
            unread: false,
            eviction: Eviction::Looking,
            leaving: None,
            held: None,
            rest_until: Duration::ZERO,
            trouble: String::new(),
            wake: None,
            message: "confirming that it still differs".to_owned(),
        }
    }

    /// Waits for one more rendering.
    pub(super) fn confirming(&self) -> bool {
        match self.phase {
            Phase::Confirming => true,
            Phase::Rolling => self.eviction == Eviction::Confirming,
            Phase::Confirmed | Phase::Patching => false,
        }
    }

    /// It takes one of the places that are limited: Pods of it are missing, or may be.
    pub(super) fn holds_slot(&self) -> bool {
        self.phase != Phase::Rolling || self.done.is_none()
    }

    /// It has not moved on for as long as a rollout may take.
    pub(super) fn is_late(&self, policy: &Policy, now: Now) -> bool {
        now.elapsed >= self.stepped.saturating_add(policy.timeout)
    }

    /// When it was planned; of use until it is patched.
    pub(super) fn planned(&self) -> Duration {
        self.started.elapsed
    }

    /// When it is finished, and nothing more is waited for.
    fn gives_up(&self, policy: &Policy) -> Option<Duration> {
        self.done.map(|done| done.max(self.stepped).saturating_add(policy.timeout))
    }

    /// It is finished, and nothing more is waited for.
    pub(super) fn has_given_up(&self, policy: &Policy, now: Now) -> bool {
        self.gives_up(policy).is_some_and(|at| now.elapsed >= at)
    }

    /// When something is to be done about it though nothing happens.
    pub(super) fn deadline(&self, policy: &Policy) -> Option<Duration> {
        match self.phase {
            Phase::Confirmed => Some(self.confirmed + FRESH),
            Phase::Rolling if !self.late => {
                let late = self.stepped.saturating_add(policy.timeout);
                // While none crashes the next one is an event.
                let crashes = self.crashes.and_then(Crashes::fails_at);
                self.wake.into_iter().chain(crashes).chain([late]).min()
            }
            // Until it is done for good, an event is waited for.
            Phase::Rolling => {
                let crashes = self.crashes.and_then(Crashes::fails_at);
                self.wake.into_iter().chain(crashes).chain(self.gives_up(policy)).min()
            }
            Phase::Confirming | Phase::Patching => None,
        }
    }

    /// As readers see it.
    pub(super) fn report(&self, key: &WorkloadKey, outcome: Option<Outcome>, now: Now) -> RolloutReport {
        RolloutReport {
            kind: key.kind.as_str().into(),
            namespace: key.namespace.clone(),
            name: key.name.clone(),
            change: self.change.clone(),
            started: self.stamps.last().map_or(self.started.wall, |s| s.timestamp),
            outcome,
            watched: outcome.is_none() && !self.holds_slot(),
            message: self.message.clone(),
            seconds: now.elapsed.saturating_sub(self.started.elapsed).as_secs(),
        }
    }
}

/// Since when a new Pod has been ready, and how often its containers had been started again by then.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Well {
    pub(super) since: Duration,
    pub(super) restarts: u8,
}

/// A rollout that converged, for as long as others soak.
#[derive(Clone, Debug)]
pub(super) struct Soaking {
    pub(super) rollout: Rollout,
    pub(super) until: Duration,
}

impl Soaking {
    /// When something is to be done about it though nothing happens.
    pub(super) fn deadline(&self) -> Duration {
        self.rollout.crashes.and_then(Crashes::fails_at).unwrap_or(self.until)
    }
}

/// How far the platform got with a rollout.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Reached {
    /// Pods of the new revision, as the status has it.
    pub(super) updated: u32,
    /// New Pods that are ready.
    pub(super) ready: usize,
    /// Pods of older revisions that are left.
    pub(super) old: u32,
}

impl Reached {
    /// The best of both.
    pub(super) fn furthest(self, other: Self) -> Self {
        Self {
            updated: self.updated.max(other.updated),
            ready: self.ready.max(other.ready),
            old: self.old.min(other.old),
        }
    }
}

/// How far the next eviction is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Eviction {
    /// None is under way.
    #[default]
    Looking,
    /// One more rendering is asked for.
    Confirming,
    /// It came back, and everything is as it should be.
    Confirmed,
    /// Its answer is outstanding.
    Asked,
    /// Evicted: the Pod is waited for to go.
    Leaving,
    /// The answer was lost: it may go.
    Unsure,
}

/// New Pods that crash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Crashes {
    /// Since when.
    pub(super) since: Duration,
    /// One of them waits for its next start.
    pub(super) now: bool,
    /// All of them are ready: how often they were started again until then, and when they have been ready for long enough to
    /// say that they crash no more.
    pub(super) calm: Option<(u32, Duration)>,
}

impl Crashes {
    /// When those that crash now have for too long.
    pub(super) fn fails_at(self) -> Option<Duration> {
        self.now.then(|| self.since.saturating_add(CRASHING))
    }
}

/// New Pods that crash after this long will not come up by themselves. A container is started again after 10, 20 and 40
/// seconds, so one that only waits for another has had its chances.
pub(super) const CRASHING: Duration = Duration::from_mins(1);

/// The longest wait that the API server is granted before we write again: a rollout holds its slot meanwhile.
pub(super) const LONGEST_RETRY_AFTER: Duration = Duration::from_mins(1);

/// After a failed eviction, or a confirmation that came to nothing, the next try waits this long.
pub(super) const EVICT_AGAIN: Duration = Duration::from_secs(5);

/// Why a request failed, and how much of the wait that the API server asks for it gets.
pub(super) fn with_wait(message: &str, told: Option<String>) -> String {
    told.map_or_else(|| message.to_owned(), |told| format!("{message}; the API server {told}"))
}

impl Rollout {
    /// What holds its next step.
    pub(super) fn held(&self) -> Option<Gate> {
        self.held
    }

    /// Nothing is evicted for a while.
    pub(super) fn step_aside(&mut self, why: &str, rest: Duration, now: Now) {
        self.eviction = Eviction::Looking;
        self.rest_until = now.elapsed + rest;
        why.clone_into(&mut self.trouble);
    }
}
