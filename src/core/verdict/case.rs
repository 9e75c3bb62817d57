//! What is remembered of one workload, so that it can be judged.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::{judged::Judged, mask_healing::Healing};
use crate::core::{
    compare::{Mask, Rendering, Unstable},
    injection::{Scope, VersionVector},
    inventory::Revision,
    model::{
        Name, WorkloadSnapshot, rollout_status,
        time::Now,
        words::{UndeterminedReason, Verdict},
    },
};

/// One workload's case: its renderings, and what came of comparing with them.
#[derive(Debug, Default)]
pub struct Case {
    /// What was answered for each revision that Pods are of, that of the current one first.
    pub(super) revisions: Vec<RevisionCase>,
    /// What is known now.
    pub(super) judged: Judged,
    /// The last verdict that was more than "not asked yet" or "settling", and the change that a rollout would have made:
    /// what people are told changes of.
    pub(super) last_notified: Option<(Verdict, String)>,
    /// The templates of its retained revisions, as found when a rollout was confirmed: see `Confirmation::templates`.
    pub(super) templates: BTreeMap<Name, Name>,
    /// Renderings made.
    pub(super) renders: u64,
    /// When the present difference was seen first.
    pub(super) first_seen: Option<Timestamp>,
    /// What moved last before the present verdict.
    pub(super) cause: Option<String>,
    /// Its rendering became another one, and nothing that moved tells why, yet.
    pub(super) unexplained: bool,
    /// Every scope that moved since it was last as it should be: one of them made it differ. Empty: nobody knows.
    pub(super) causes: BTreeSet<Scope>,
    /// When its rollout was last seen to be in progress.
    pub(super) rolling: Option<Duration>,
    /// Since when a rollout of its own is in progress, as far as we saw.
    pub(super) rolling_since: Option<Duration>,
    /// Since when it has no Pods, though it wants some, as far as we saw.
    pub(super) without_pods_since: Option<Duration>,
    /// When it is to be judged again, if it is.
    pub(super) recheck: Option<Duration>,
}

impl Case {
    /// What is known now.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    /// The renderings of its current revision; of another one, where that has none yet.
    pub fn set(&self) -> Option<&RenderSet> {
        self.revisions.iter().find_map(|revision| revision.set.as_ref())
    }

    /// The renderings of this revision.
    pub fn set_of(&self, revision: &Name) -> Option<&RenderSet> {
        self.revisions.iter().find(|known| known.name == *revision)?.set.as_ref()
    }

    /// Of which revision those are.
    pub fn rendered_revision(&self) -> Option<&Name> {
        self.revisions.iter().find(|revision| revision.set.is_some()).map(|revision| &revision.name)
    }

    /// Its renderings, of each revision.
    pub fn sets(&self) -> impl Iterator<Item = &RenderSet> {
        self.revisions.iter().filter_map(|revision| revision.set.as_ref())
    }

    /// What its renderings depend on.
    pub fn rendered_under(&self) -> Option<&VersionVector> {
        self.set().map(|set| &*set.versions)
    }

    /// The newest answer for its current revision was a rendering, or none has come yet.
    pub fn has_not_failed(&self) -> bool {
        self.revisions.first().is_none_or(|revision| revision.failure.is_none())
    }

    /// What was answered for this revision.
    pub(super) fn of(&self, revision: &Name) -> Option<&RevisionCase> {
        self.revisions.iter().find(|known| known.name == *revision)
    }

    /// The same, to be changed.
    pub(super) fn of_mut(&mut self, revision: &Name) -> &mut RevisionCase {
        let at = self.revisions.iter().position(|known| known.name == *revision).unwrap_or_else(|| {
            self.revisions.push(RevisionCase::new(revision.clone()));
            self.revisions.len() - 1
        });
        &mut self.revisions[at]
    }

    /// Some renderings are to be completed before anything is said.
    pub(super) fn is_adding(&self) -> bool {
        self.revisions.iter().any(|revision| revision.adding)
    }

    /// The next rendering of this revision is one more of its set, or not. Returns the set.
    pub(super) fn ask(&mut self, revision: Option<&Name>, adding: bool) -> Option<&RenderSet> {
        for known in &mut self.revisions {
            known.adding = adding && Some(&known.name) == revision;
        }
        self.revisions.iter().find(|known| Some(&known.name) == revision).and_then(|known| known.set.as_ref())
    }

    /// Takes in how the workload is now.
    pub(super) fn follow(&mut self, w: &WorkloadSnapshot, revisions: &[Revision<'_>], now: Now) {
        let since = |holds: bool, before: Option<Duration>| holds.then(|| before.unwrap_or(now.elapsed));
        self.rolling_since = since(rollout_status::rollout_in_progress(w), self.rolling_since);
        let has_pods = revisions.iter().any(|revision| !revision.classes.is_empty());
        self.without_pods_since = since(!has_pods && w.counts.desired > 0, self.without_pods_since);
        self.keep(revisions);
    }

    /// These are its revisions now, the current one first: what was answered for others is forgotten, unless nothing else says
    /// yet what its renderings depend on.
    fn keep(&mut self, revisions: &[Revision<'_>]) {
        if revisions.is_empty() {
            return;
        }
        let place = |known: &RevisionCase| revisions.iter().position(|revision| revision.name == known.name);
        self.revisions.sort_by_key(|known| place(known).unwrap_or(usize::MAX));
        let there = self.revisions.iter().filter(|known| place(known).is_some()).count();
        let rendered = self.revisions.iter().position(|known| known.set.is_some()).map_or(0, |at| at + 1);
        self.revisions.truncate(there.max(rendered));
    }

    /// The templates of its retained revisions, by the revision's name, as far as they were read.
    pub fn templates(&self) -> &BTreeMap<Name, Name> {
        &self.templates
    }

    /// Renderings made.
    pub fn renders(&self) -> u64 {
        self.renders
    }

    /// When the present difference was seen first.
    pub fn first_seen(&self) -> Option<Timestamp> {
        self.first_seen
    }

    /// What moved last before the present verdict.
    pub fn cause(&self) -> Option<&str> {
        self.cause.as_deref()
    }

    /// The scopes of which one made it differ; empty: nobody knows.
    pub fn causes(&self) -> &BTreeSet<Scope> {
        &self.causes
    }

    /// What its renderings depend on moved.
    pub(super) fn scopes_moved(&mut self, old: &VersionVector, new: &VersionVector) {
        let moved: Vec<_> = new.iter().filter(|(scope, version)| old.get(*scope) != Some(*version)).collect();
        if moved.is_empty() {
            return;
        }
        let fine = matches!(self.last_notified, Some((Verdict::InSync | Verdict::NotInjected, _)));
        if !fine && self.causes.is_empty() {
            // It may have differed before, and then nobody knows why.
            self.causes.extend(new.keys().filter(|scope| matches!(scope, Scope::Injector(..))).cloned());
        }
        self.causes.extend(moved.into_iter().map(|(scope, _)| scope.clone()));
    }
}

/// What was answered for one revision of a workload.
#[derive(Clone, Debug)]
pub(super) struct RevisionCase {
    /// The object that holds the template.
    pub name: Name,
    /// The renderings that hold for what they were asked with.
    pub set: Option<RenderSet>,
    /// The next rendering is one more of the set; else it confirms the set, or begins a new one.
    pub adding: bool,
    /// The last answer that was no rendering. Boxed, as all is that few have.
    pub failure: Option<Box<Failure>>,
    /// Failures in a row: the exponent of the back-off.
    pub failures: u32,
}

impl RevisionCase {
    /// Nothing was answered yet.
    pub(super) fn new(name: Name) -> Self {
        Self { name, set: None, adding: false, failure: None, failures: 0 }
    }

    /// The renderings that hold under these versions.
    pub(super) fn set_under(&self, versions: &VersionVector) -> Option<&RenderSet> {
        self.set.as_ref().filter(|set| *set.versions == *versions)
    }

    /// The failure that holds under these versions.
    pub(super) fn failure_under(&self, versions: &VersionVector) -> Option<&Failure> {
        self.failure.as_deref().filter(|failure| failure.versions == *versions)
    }
}

/// Renderings of one revision under one vector.
#[derive(Clone, Debug)]
pub struct RenderSet {
    /// What they depend on.
    pub versions: Arc<VersionVector>,
    /// One; two where the first differs from what runs.
    pub renderings: Vec<Rendering>,
    /// The one that was made last, where it was not kept: it has nothing new but in what is masked.
    pub newest: Option<Rendering>,
    /// Fields that differ between them.
    pub mask: Mask,
    /// How the masked fields do in later renderings.
    pub healing: Option<Box<Healing>>,
    /// How many renderings in a row agreed, those that were not kept included.
    pub made: u32,
    /// How often in a row it was begun anew because a container came or went.
    pub interrupted: u8,
    /// They differ in an image: which, in one sentence.
    pub unstable: Option<Box<Unstable>>,
    /// When the first was made since something moved: Pods that were born before prove nothing, nor does an absence.
    pub first: Now,
    /// When the last was made.
    pub confirmed: Now,
}

impl RenderSet {
    /// The rendering that was made last, also if it told nothing new.
    pub fn newest(&self) -> Option<&Rendering> {
        self.newest.as_ref().or(self.renderings.last())
    }
}

/// An answer that was no rendering.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// What it depended on.
    pub versions: VersionVector,
    /// `None`: the Pod would be refused.
    pub reason: Option<UndeterminedReason>,
    /// One sentence.
    pub message: String,
    /// When to ask again.
    pub retry: Duration,
}
