//! One process of ours: the core, and what the daemon around it knows.

use std::{
    collections::{BTreeMap, BTreeSet, VecDeque},
    time::Duration,
};

use anyhow::Result;
use jiff::SignedDuration;
use sidecar_drift::{
    config::Recording,
    core::{
        config::Policy,
        io::{Input, WatchSource},
        model::Name,
        step::Core,
    },
    daemon::recording::Recorder,
};

use super::{rules::Rules, tamper::Tamper};
use crate::objects;

/// The lease: another may take it after this long without a renewal.
pub(super) const LEASE: Duration = Duration::from_secs(15);
/// Who holds it stops earlier.
const TERM: Duration = Duration::from_secs(10);

/// What one watch has said to one process.
#[derive(Clone, Debug, Default)]
pub(super) struct Feed {
    /// When what was sent last arrives; nothing overtakes.
    pub(super) last: Duration,
    /// The connection is gone; nobody has noticed yet.
    pub(super) broken: bool,
    /// What arrives is this late.
    pub(super) lag: Duration,
    /// RBAC does not allow it.
    pub(super) forbidden: bool,
}

#[derive(Debug)]
pub(super) struct Process {
    pub(super) core: Core,
    /// Hears the same, and must do the same.
    pub(super) twin: Option<Core>,
    /// Writes down what it hears.
    pub(super) recorder: Option<Recorder>,
    /// Which one in this place: replies for an earlier one are lost.
    pub(super) incarnation: u64,
    /// Its machine's clocks, against the API server's.
    pub(super) boot: Duration,
    pub(super) wall: SignedDuration,
    pub(super) wake: Option<Duration>,
    pub(super) feeds: BTreeMap<WatchSource, Feed>,
    pub(super) backends: BTreeSet<Name>,
    /// Suspended until then; what comes in waits.
    pub(super) suspended: Option<Duration>,
    pub(super) waiting: VecDeque<Input>,
    /// No request arrives until then.
    pub(super) partitioned: Option<Duration>,
    /// When the lease was renewed last, by the time at which the renewal was sent.
    pub(super) renewed: Option<Duration>,
    pub(super) leads: bool,
    /// The version of the state ConfigMap that the core heard of last.
    pub(super) told_state: u64,
    pub(super) writing_state: bool,
    /// Asked to stop.
    pub(super) stopping: bool,
    pub(super) rules: Rules,
}

impl Process {
    pub(super) fn new(policy: &Policy, tamper: Tamper, place: Place, recording: Option<&Recording>) -> Result<Self> {
        let Place { incarnation, at, boot, wall, seed, .. } = place;
        let now = super::world::now(at, boot, wall);
        let allowed = policy;
        let policy = tamper.policy(allowed.clone(), place.restarted);
        let sources = objects::sources(&policy);
        let core = || Core::new(policy.clone(), sources.clone(), seed, now);
        let begin = |wanted: &Recording| Recorder::begin(wanted, &policy, sources.clone(), seed, now);
        let recorder = recording.map(begin).transpose()?;
        Ok(Self {
            core: core(),
            recorder,
            twin: seed.is_multiple_of(8).then(core),
            incarnation,
            boot,
            wall,
            wake: None,
            feeds: sources.into_iter().map(|source| (source, Feed::default())).collect(),
            backends: BTreeSet::new(),
            suspended: None,
            waiting: VecDeque::new(),
            partitioned: None,
            renewed: None,
            leads: false,
            told_state: 0,
            writing_state: false,
            stopping: false,
            rules: Rules::new(allowed),
        })
    }

    /// Whether it may write at this moment, by its own clock.
    pub(super) fn may_write(&self, at: Duration) -> bool {
        self.leads && self.renewed.is_some_and(|renewed| at < renewed + TERM)
    }

    pub(super) fn is_partitioned(&self, at: Duration) -> bool {
        self.partitioned.is_some_and(|until| at < until)
    }
}

/// Where and when a process begins.
#[derive(Clone, Copy, Debug)]
pub(super) struct Place {
    pub(super) incarnation: u64,
    pub(super) at: Duration,
    pub(super) boot: Duration,
    pub(super) wall: SignedDuration,
    pub(super) seed: u64,
    /// Another one was there before.
    pub(super) restarted: bool,
}

/// What is watched in the namespaces that back injectors.
pub(super) fn backing(namespaces: &BTreeSet<Name>) -> Vec<WatchSource> {
    namespaces.iter().flat_map(objects::backing).collect()
}
