//! What is remembered of one workload between inputs.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use jiff::Timestamp;

use super::PodGroup;
use crate::core::{
    compare::{IgnoreUse, Mask, Rendering, SidecarDifference, Unstable},
    injection::scope::{Scope, Vector},
    io::Lock,
    model::{
        Attempt, Name, Stamp,
        time::Now,
        words::{Difference, Gate, UndeterminedReason, Verdict},
    },
};

/// One workload's working state.
#[derive(Debug, Default)]
pub struct Work {
    /// The renderings that hold for what they were asked with.
    pub set: Option<RenderSet>,
    /// The next rendering is one more of the set; else it confirms the set, or begins a new one.
    pub adding: bool,
    /// The last answer that was no rendering. Boxed, as all is that few have.
    pub failure: Option<Box<Failure>>,
    /// Failures in a row: the exponent of the back-off.
    pub failures: u32,
    /// The request under way.
    pub request: Option<Box<Requested>>,
    /// What is known now.
    pub judged: Judged,
    /// The last verdict that was more than "not asked yet" or "settling", and the change that a rollout would have made:
    /// what people are told changes of.
    pub told: Option<(Verdict, String)>,
    /// Rollouts up to this one were in vain: they came too soon after a move to change anything.
    pub in_vain: Option<Timestamp>,
    /// Stamps found in its history when a rollout was confirmed.
    pub history: Vec<Attempt>,
    /// The templates of its retained revisions, as found then: see `Confirmation::templates`.
    pub templates: BTreeMap<Name, Name>,
    /// Renderings made.
    pub renders: u64,
    /// When the present difference was seen first.
    pub first_seen: Option<Timestamp>,
    /// What moved last before the present verdict.
    pub cause: Option<String>,
    /// Every scope that moved since it was last as it should be: one of them made it differ. Empty: nobody knows.
    pub causes: BTreeSet<Scope>,
    /// What holds it, and since when.
    pub gate: Option<(Gate, Timestamp)>,
    /// What would hold it in enforce mode.
    pub gate_in_enforce: Option<Gate>,
    /// It still differed after our rollout, and the state ConfigMap says so.
    pub lock: Option<Box<Lock>>,
    /// The bad annotation that people were told of last.
    pub bad_annotation: Option<String>,
    /// When it was last seen exchanging its Pods.
    pub rolling: Option<Duration>,
    /// When it is to be looked at again, if it is.
    pub look: Option<Duration>,
    /// Rollouts in a row that were given up before anything was written.
    pub setbacks: u32,
    /// A rollout of it ended in this process.
    pub ended: bool,
    /// The stamp of the last one that was followed to its end, or seen to be finished.
    pub ended_stamp: Option<Box<Stamp>>,
    /// Not to be asked again before: a lost race, a failed patch.
    pub quiet_until: Duration,
}

impl Work {
    /// What its renderings depend on moved.
    pub(in crate::core) fn moved(&mut self, old: &Vector, new: &Vector) {
        let moved: Vec<_> = new.iter().filter(|(scope, version)| old.get(*scope) != Some(*version)).collect();
        if moved.is_empty() {
            return;
        }
        let fine = matches!(self.told, Some((Verdict::InSync | Verdict::NotInjected, _)));
        if !fine && self.causes.is_empty() {
            // It may have differed before, and then nobody knows why.
            self.causes.extend(new.keys().filter(|scope| matches!(scope, Scope::Injector(..))).cloned());
        }
        self.causes.extend(moved.into_iter().map(|(scope, _)| scope.clone()));
    }

    /// A stamp was found, or written.
    pub(in crate::core) fn remember(&mut self, attempt: Attempt) {
        if !self.history.contains(&attempt) {
            self.history.push(attempt);
        }
    }
}

/// Renderings of one revision under one vector.
#[derive(Clone, Debug)]
pub struct RenderSet {
    /// The object that holds the template.
    pub revision: Name,
    /// What they depend on.
    pub vector: Arc<Vector>,
    /// One; two where the first differs from what runs.
    pub renderings: Vec<Rendering>,
    /// Fields that differ between them.
    pub mask: Mask,
    /// They differ in an image: which, in one sentence.
    pub unstable: Option<Box<Unstable>>,
    /// When the first was made.
    pub first: Now,
    /// When the last was made.
    pub confirmed: Now,
}

/// An answer that was no rendering.
#[derive(Clone, Debug)]
pub struct Failure {
    /// The object that held the template.
    pub revision: Name,
    /// What it depended on.
    pub vector: Vector,
    /// `None`: the Pod would be refused.
    pub reason: Option<UndeterminedReason>,
    /// One sentence.
    pub message: String,
    /// When to ask again.
    pub retry: Duration,
}

/// A request under way.
#[derive(Clone, Debug)]
pub struct Requested {
    /// Names the reply.
    pub ticket: u64,
    /// What was asked for.
    pub revision: Name,
    /// Under what.
    pub vector: Vector,
    /// For a rollout that is about to start.
    pub confirm: bool,
}

/// What is known of a workload.
#[derive(Clone, Debug, PartialEq)]
pub struct Judged {
    /// The verdict.
    pub verdict: Verdict,
    /// Why, if undetermined.
    pub reason: Option<UndeterminedReason>,
    /// One sentence more.
    pub message: Option<String>,
    /// The Pods that differ, grouped by how.
    pub groups: Vec<PodGroup>,
    /// Every kind of difference among them.
    pub differences: BTreeSet<Difference>,
    /// An app container would change with a restart.
    pub collateral: bool,
    /// No Pod more fits into its namespace's quota, so that what was rendered before cannot be confirmed.
    pub quota_full: bool,
    /// What a rollout would change, in short.
    pub change: String,
    /// The fingerprint of what a rollout would bring.
    pub target: String,
    /// What rules of the site left out.
    pub ignored: BTreeSet<IgnoreUse>,
    /// What was compared is as rendered, but others of its Pods keep another revision, and were not.
    pub partial: bool,
    /// Names of its sidecars.
    pub sidecars: Vec<Name>,
    /// Pods compared.
    pub pods: usize,
    /// Pods of it, of any revision, with a container that crashes or cannot start.
    pub crashing: Vec<Name>,
}

impl Default for Judged {
    fn default() -> Self {
        Self::undetermined(UndeterminedReason::Pending, None)
    }
}

impl Judged {
    /// A verdict with nothing to compare.
    pub fn plain(verdict: Verdict) -> Self {
        Self {
            verdict,
            reason: None,
            message: None,
            groups: Vec::new(),
            differences: BTreeSet::new(),
            collateral: false,
            quota_full: false,
            change: String::new(),
            target: String::new(),
            ignored: BTreeSet::new(),
            partial: false,
            sidecars: Vec::new(),
            pods: 0,
            crashing: Vec::new(),
        }
    }

    /// No verdict, and why.
    pub fn undetermined(reason: UndeterminedReason, message: Option<String>) -> Self {
        Self { reason: Some(reason), message, ..Self::plain(Verdict::Undetermined) }
    }

    /// A rollout, or a person, should do something about it.
    pub fn differs(&self) -> bool {
        matches!(
            self.verdict,
            Verdict::Rejected | Verdict::NonConvergent | Verdict::Removed | Verdict::Missing | Verdict::Drifted
        )
    }

    /// It has sidecars, and every one of them is as it would be injected today.
    pub fn is_cured(&self) -> bool {
        self.verdict == Verdict::InSync && !self.sidecars.is_empty()
    }

    /// Only a moment in between: an answer is on its way.
    pub fn passing(&self) -> bool {
        matches!(self.reason, Some(UndeterminedReason::Pending | UndeterminedReason::Settling))
    }

    /// The differing fields of Pods, as `container/pointer`; those patched by hand left out.
    pub fn fields(&self) -> BTreeSet<String> {
        fields(self.groups.iter().flat_map(|g| &g.differences))
    }
}

/// The fields of these differences, as `container/pointer`; those patched by hand left out.
pub(in crate::core) fn fields<'a>(differences: impl Iterator<Item = &'a SidecarDifference>) -> BTreeSet<String> {
    differences
        .filter(|d| d.difference != Difference::MutatedLive)
        .flat_map(|d| {
            let whole = d.fields.is_empty().then(|| format!("{}/{}", d.sidecar, d.difference));
            d.fields.iter().map(|f| format!("{}{}", d.sidecar, f.pointer)).chain(whole)
        })
        .collect()
}
