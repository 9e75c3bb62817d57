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
    model::{
        Name,
        time::Now,
        words::{UndeterminedReason, Verdict},
    },
};

/// One workload's case: its renderings, and what came of comparing with them.
#[derive(Debug, Default)]
pub struct Case {
    /// The renderings that hold for what they were asked with.
    pub(super) set: Option<RenderSet>,
    /// The next rendering is one more of the set; else it confirms the set, or begins a new one.
    pub(super) adding: bool,
    /// The last answer that was no rendering. Boxed, as all is that few have.
    pub(super) failure: Option<Box<Failure>>,
    /// Failures in a row: the exponent of the back-off.
    pub(super) failures: u32,
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
    /// Every scope that moved since it was last as it should be: one of them made it differ. Empty: nobody knows.
    pub(super) causes: BTreeSet<Scope>,
    /// When its rollout was last seen to be in progress.
    pub(super) rolling: Option<Duration>,
    /// When it is to be judged again, if it is.
    pub(super) recheck: Option<Duration>,
}

impl Case {
    /// What is known now.
    pub fn judged(&self) -> &Judged {
        &self.judged
    }

    /// Its renderings, if it has any.
    pub fn set(&self) -> Option<&RenderSet> {
        self.set.as_ref()
    }

    /// What its renderings depend on.
    pub fn rendered_under(&self) -> Option<&VersionVector> {
        self.set.as_ref().map(|set| &*set.versions)
    }

    /// The newest answer was a rendering, or none has come yet.
    pub fn has_not_failed(&self) -> bool {
        self.failure.is_none()
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

/// Renderings of one revision under one vector.
#[derive(Clone, Debug)]
pub struct RenderSet {
    /// The object that holds the template.
    pub revision: Name,
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
    /// When the first was made.
    pub first: Now,
    /// When the last was made.
    pub confirmed: Now,
}

impl RenderSet {
    /// The rendering that was made last.
    pub fn newest(&self) -> Option<&Rendering> {
        self.newest.as_ref().or(self.renderings.last())
    }
}

/// An answer that was no rendering.
#[derive(Clone, Debug)]
pub(super) struct Failure {
    /// The object that held the template.
    pub revision: Name,
    /// What it depended on.
    pub versions: VersionVector,
    /// `None`: the Pod would be refused.
    pub reason: Option<UndeterminedReason>,
    /// One sentence.
    pub message: String,
    /// When to ask again.
    pub retry: Duration,
}
