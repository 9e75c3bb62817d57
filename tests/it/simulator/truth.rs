//! What must hold of the cluster itself, whatever our processes believe: every stamp that is written is looked at.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::Duration,
};

use anyhow::{Result, ensure};
use sidecar_drift::core::{
    config::{Mode, Policy},
    io::{Effect, EvictRequest, Notice, PatchRequest, StateRecord},
    model::{
        Name, Strategy, WorkloadKey, WorkloadSnapshot,
        owner::Kind,
        rollout_status::{self, Progress},
        words::Outcome,
    },
};

use super::{
    cluster::{Cluster, Pod},
    fault::{self, WINDOWS},
    forbids::Forbids,
    injection::{Asked, Content, Injector},
    order::Order,
    scenario::Scenario,
    world::true_wall,
};

/// A stamp is cut to whole seconds.
const SECOND: Duration = Duration::from_secs(1);
/// A stamp names the time at which it was sent, and may arrive so much later where the API server is slow.
const ON_ITS_WAY: Duration = Duration::from_secs(2);
/// The hourly limit holds in any 60 minutes.
const HOUR: Duration = Duration::from_hours(1);

/// What a process may not have heard of yet: its watches are out of order, or it was suspended.
#[derive(Clone, Copy, Debug)]
pub(super) struct Behind {
    /// Of workloads.
    pub(super) workloads: bool,
    /// Of Pods, or whose they are.
    pub(super) pods: bool,
    /// Of PodDisruptionBudgets.
    pub(super) budgets: bool,
}

/// A stamp that was written.
#[derive(Clone, Debug)]
pub(super) struct Write {
    pub(super) at: Duration,
    pub(super) place: usize,
    /// The process held the lease at that moment.
    pub(super) by_holder: bool,
    pub(super) request: PatchRequest,
    /// It was taken away before its controller saw it: no Pod was restarted, and no revision remembers it.
    pub(super) unseen: bool,
}

/// A Pod that is on its way out by our eviction.
#[derive(Clone, Debug)]
pub(super) struct Evicted {
    pub(super) at: Duration,
    pub(super) place: usize,
    /// Of the process in that place, if it is still there.
    pub(super) incarnation: Option<u64>,
    pub(super) by_holder: bool,
    pub(super) request: EvictRequest,
}

/// A rollout of ours that the platform has not finished.
#[derive(Clone, Debug)]
pub(super) struct Flight {
    uid: Name,
    template: Name,
    request: PatchRequest,
}

#[derive(Debug)]
pub(super) struct Truth {
    pub(super) policy: Policy,
    jumps: Duration,
    pub(super) writes: Vec<Write>,
    pub(super) flights: BTreeMap<WorkloadKey, Flight>,
    /// Whether a workload differed when a process read it last to confirm its rollout.
    differed: BTreeMap<(usize, WorkloadKey), bool>,
    /// When a person said last that a workload may be tried again.
    pub(super) retries: BTreeMap<WorkloadKey, Duration>,
    /// When alerts held all rollouts, or nobody knew: from when to when.
    alarms: Vec<(Duration, Option<Duration>)>,
    /// Workloads whose Pods crashed at some time.
    crashed: BTreeSet<WorkloadKey>,
    /// The last eviction of each workload.
    evicted: BTreeMap<WorkloadKey, Evicted>,
    /// What weather and people do that forbids a rollout.
    pub(super) forbids: Forbids,
    /// What changed, and what proved itself since.
    pub(super) order: Order,
    /// Workloads of which a rollout did not end well.
    ended_badly: BTreeSet<WorkloadKey>,
    /// Workloads of which the last rollout stalled.
    pub(super) stalled: BTreeSet<WorkloadKey>,
}

/// News is heard of no later, if all is well.
const UNHEARD: Duration = Duration::from_secs(1);

impl Truth {
    pub(super) fn new(scenario: &Scenario) -> Self {
        Self {
            policy: scenario.policy.clone(),
            jumps: scenario.jumps(),
            writes: Vec::new(),
            flights: BTreeMap::new(),
            differed: BTreeMap::new(),
            retries: BTreeMap::new(),
            alarms: Vec::new(),
            crashed: BTreeSet::new(),
            evicted: BTreeMap::new(),
            forbids: Forbids::new(scenario),
            order: Order::default(),
            ended_badly: BTreeSet::new(),
            stalled: BTreeSet::new(),
        }
    }

    /// When a stamp was written last.
    pub(super) fn last_write(&self) -> Duration {
        self.writes.last().map_or(Duration::ZERO, |write| write.at)
    }

    /// A person says that it may be tried again.
    pub(super) fn retried(&mut self, key: &WorkloadKey, at: Duration) {
        self.retries.insert(key.clone(), at);
    }

    /// Its stamp is taken away.
    pub(super) fn stripped(&mut self, w: &WorkloadSnapshot) {
        let last = self.writes.iter_mut().rev().find(|write| write.request.workload.key == w.key);
        if let Some(last) = last.filter(|_| w.observed_generation < w.generation) {
            last.unseen = true;
        }
    }

    /// Nobody has said since then that it may be tried again. Clocks differ by their jumps.
    fn counts(&self, write: &Write) -> bool {
        let of = &write.request.workload.key;
        !write.unseen && self.retries.get(of).is_none_or(|at| *at + self.jumps + SECOND < write.at)
    }

    /// Alerts hold all rollouts from now on, or do not.
    pub(super) fn alarm(&mut self, on: bool, at: Duration) {
        match self.alarms.last_mut() {
            Some((_, end @ None)) if !on => *end = Some(at),
            Some((_, None)) => {}
            _ if on => self.alarms.push((at, None)),
            _ => {}
        }
    }

    /// Asked every 15 seconds, believed for 50; and a while must pass in which none fires.
    fn alarms_over(&self, at: Duration) -> Result<()> {
        for (from, to) in &self.alarms {
            let lasted = to.unwrap_or(at).saturating_sub(*from).as_secs();
            match to {
                None => ensure!(lasted < 90, "something is rolled though an alert fires since {lasted}s"),
                Some(to) => {
                    let over = at.saturating_sub(*to).as_secs();
                    ensure!(
                        over >= 100 || lasted < 35,
                        "something is rolled {over}s after an alert fired for {lasted}s"
                    );
                }
            }
        }
        Ok(())
    }

    /// A rollout of it did not end well, or its Pods crashed.
    pub(super) fn failed(&self, key: &WorkloadKey) -> bool {
        self.ended_badly.contains(key) || self.crashed.contains(key)
    }

    /// Whether this workload's rollout is over, or none of ours any more.
    pub(super) fn look(&mut self, cluster: &Cluster, key: &WorkloadKey) {
        if cluster.pods_of(key).iter().any(|pod| cluster.pod(pod).is_some_and(|p| p.state.crashing)) {
            self.crashed.insert(key.clone());
        }
        let Some(flight) = self.flights.get(key) else { return };
        let lasts = cluster.workload(key).is_some_and(|w| {
            w.uid == flight.uid
                && w.template.hash == flight.template
                && w.template.stamp.as_ref() == Some(&flight.request.stamp)
                && matches!(rollout_status::progress(w), Progress::Waiting(_))
        });
        if !lasts {
            self.flights.remove(key);
        }
    }

    /// A workload was read, and a dry run of its Pod was made, for a rollout that is about to start.
    pub(super) fn confirmed(
        &mut self,
        place: usize,
        key: &WorkloadKey,
        (cluster, injector): (&Cluster, &Injector),
        at: Duration,
    ) {
        let differed = differs(cluster, injector, key, at) || is_being_exchanged(cluster, key, at);
        self.differed.insert((place, key.clone()), differed);
    }

    /// A stamp is about to be written.
    pub(super) fn written(&mut self, write: Write, cluster: &Cluster, behind: Behind, plain: bool) -> Result<()> {
        let key = write.request.workload.key.clone();
        for other in self.flights.keys().cloned().collect::<Vec<_>>() {
            self.look(cluster, &other);
        }
        ensure!(write.by_holder, "{key} is rolled by a process that does not hold the lease");
        ensure!(!self.flights.contains_key(&key), "{key} is rolled twice at the same time");
        // A leader that cannot see workloads does not see what another one began there a moment ago.
        if !behind.workloads {
            self.within_caps(&key)?;
        }
        self.within_budgets(&write)?;
        self.is_not_forbidden(&key, cluster, behind, write.at)?;
        if !self.policy.blocking_alerts.is_empty() {
            self.alarms_over(write.at)?;
        }
        self.is_another_target(&write)?;
        self.is_its_turn(&write, cluster, plain)?;
        self.stalled.remove(&key);
        let w = cluster.workload(&key).filter(|w| w.uid == write.request.workload.uid);
        if let Some(w) = w {
            self.may_be_rolled(w)?;
            self.within_windows(w, write.at)?;
            let (uid, template) = (w.uid.clone(), w.template.hash.clone());
            self.flights.insert(key.clone(), Flight { uid, template, request: write.request.clone() });
        }
        let differed = self.differed.get(&(write.place, key.clone())).copied();
        ensure!(differed.is_some(), "{key} is rolled and was not read before");
        // Nor that their Pods have been exchanged meanwhile: a rendering is compared with those that it knows.
        ensure!(behind.pods || differed == Some(true), "{key} is rolled and did not differ");
        self.writes.push(write);
        Ok(())
    }

    /// An eviction is about to be carried out.
    pub(super) fn evicted(&mut self, eviction: Evicted, cluster: &Cluster, behind: Behind) -> Result<()> {
        let (key, pod) = (eviction.request.workload.key.clone(), eviction.request.pod.clone());
        ensure!(eviction.by_holder, "{pod} of {key} is evicted by a process that does not hold the lease");
        let may = self.policy.mode == Mode::Enforce && self.policy.evict_on_delete;
        ensure!(may, "{pod} of {key} is evicted without leave");
        self.is_included(&key)?;
        self.is_not_forbidden(&key, cluster, behind, eviction.at)?;
        if !self.policy.blocking_alerts.is_empty() {
            self.alarms_over(eviction.at)?;
        }
        let differed = self.differed.get(&(eviction.place, key.clone())).copied();
        ensure!(differed.is_some(), "{pod} of {key} is evicted and was not read before");
        ensure!(behind.pods || differed == Some(true), "{pod} of {key} is evicted, and the workload did not differ");
        // Who has begun one knows it; another process may not have heard of it yet.
        let own = self.evicted.get(&key).filter(|last| last.incarnation == eviction.incarnation);
        if let Some(last) = own.filter(|last| last.request.uid != eviction.request.uid) {
            let mut there = cluster.pods_of(&key).into_iter().filter_map(|pod| cluster.pod(&pod));
            let leaves = there.any(|pod| pod.uid == last.request.uid);
            ensure!(!leaves, "{pod} of {key} is evicted while {} is still on its way out", last.request.pod);
        }
        self.evicted.insert(key, eviction);
        Ok(())
    }

    fn within_caps(&self, key: &WorkloadKey) -> Result<()> {
        let all = self.flights.len();
        ensure!(all < self.policy.parallel_rollouts, "{key} is rolled beside {:?}", self.flights.keys());
        let here = self.flights.keys().filter(|other| other.namespace == key.namespace).count();
        ensure!(here < self.policy.parallel_per_namespace, "{key} is rolled beside {here} of its namespace");
        Ok(())
    }

    fn within_budgets(&self, write: &Write) -> Result<()> {
        let key = &write.request.workload.key;
        let of_it = |w: &&Write| w.request.workload == write.request.workload && !w.unseen;
        let before: Vec<_> = self.writes.iter().filter(of_it).collect();
        // All of a history lies within one day.
        ensure!(before.len() < self.policy.daily_cap as usize, "{key} is rolled {} times in a day", before.len() + 1);
        if let Some(last) = before.last().filter(|last| self.counts(last)) {
            let since = write.at.saturating_sub(last.at);
            let rested = since + self.jumps + SECOND + ON_ITS_WAY >= self.policy.cooldown;
            ensure!(rested, "{key} is rolled again after {}s", since.as_secs());
        }
        let Some(hourly) = self.policy.max_rollouts_per_hour else { return Ok(()) };
        let within = |w: &&Write| write.at.saturating_sub(w.at) + self.jumps + SECOND + ON_ITS_WAY < HOUR;
        let n = self.writes.iter().filter(|w| !w.unseen).filter(within).count() + 1;
        ensure!(n <= hourly as usize, "{n} rollouts within an hour");
        Ok(())
    }

    /// As many rollouts as allowed were begun in the last hour, or a moment before it.
    pub(super) fn hour_is_spent(&self, at: Duration) -> bool {
        let slack = self.jumps + Duration::from_mins(1);
        let lately = self.writes.iter().filter(|w| at.saturating_sub(w.at) < HOUR + slack).count();
        self.policy.max_rollouts_per_hour.is_some_and(|most| lately >= most as usize)
    }

    /// What was tried last is not tried again.
    fn is_another_target(&self, write: &Write) -> Result<()> {
        let of = &write.request.workload;
        let last = self.writes.iter().rev().find(|w| w.request.workload == *of);
        let target = |w: &Write| w.request.stamp.fingerprint.clone();
        let last = last.filter(|last| self.counts(last));
        ensure!(last.is_none_or(|last| target(last) != target(write)), "{} is rolled twice for one target", of.key);
        Ok(())
    }

    /// A window may close between the last look at it and the patch, and a process's clock may be wrong.
    /// What its namespace says is not part of what is patched: [`rules`](super::rules) look at that.
    fn within_windows(&self, w: &WorkloadSnapshot, at: Duration) -> Result<()> {
        let configured = self.policy.windows.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ");
        let limits = [Some(configured), w.says.get("window").map(ToString::to_string)];
        for limit in limits.into_iter().flatten() {
            let slack = self.jumps + Duration::from_secs(15);
            ensure!(fault::is_open(&limit, at, slack), "{} is rolled outside its window {limit}", w.key);
        }
        Ok(())
    }

    /// The very version that is patched says nothing against it.
    fn may_be_rolled(&self, w: &WorkloadSnapshot) -> Result<()> {
        let (key, policy) = (&w.key, &self.policy);
        ensure!(policy.mode == Mode::Enforce, "{key} is rolled in report mode");
        ensure!(speaks_for_it(&w.says), "{key} is rolled against its owner's word {:?}", w.says);
        ensure!(!w.paused, "{key} is rolled though its rollouts are paused");
        ensure!(w.owner.is_none() || policy.include_operated, "{key} is rolled, and an operator decides about it");
        self.is_included(key)?;
        ensure!(w.strategy != Strategy::OnDelete || policy.evict_on_delete, "{key} is rolled, which replaces no Pod");
        let alone = w.counts.desired == 1 && key.kind != Kind::DAEMON_SET;
        let down = match w.strategy {
            Strategy::Recreate => true,
            Strategy::OnDelete => alone,
            Strategy::RollingUpdate { max_unavailable, max_surge, .. } => {
                alone && (max_surge == 0 || max_unavailable > 0)
            }
        };
        ensure!(!down || policy.allow_downtime, "{key} is rolled, which takes it down");
        let well = super::trouble::full(w.counts) && !w.deadline_exceeded;
        ensure!(well || policy.include_unhealthy, "{key} is rolled though it is not healthy: {:?}", w.counts);
        Ok(())
    }

    fn is_included(&self, key: &WorkloadKey) -> Result<()> {
        let policy = &self.policy;
        let included = policy.roll_kinds.contains(&key.kind)
            && !policy.filter.exclude_namespaces.iter().any(|ns| ns.to_string() == *key.namespace);
        ensure!(included, "{key} is rolled though it is excluded");
        let system = &*key.namespace == "kube-system" || &*key.namespace == "mesh";
        ensure!(!system || policy.include_system, "{key} is rolled in a system namespace");
        ensure!(policy.own.as_ref() != Some(key) || policy.include_system, "{key} is ourselves");
        Ok(())
    }

    /// What a process tells must be so.
    pub(super) fn hear(&mut self, place: usize, effects: &[Effect], cluster: &Cluster, at: Duration) -> Result<()> {
        for effect in effects {
            let Effect::Notify(Notice::RolloutEnded { workload, outcome, message, .. }) = effect else { continue };
            self.look(cluster, workload);
            if *outcome == Outcome::Converged {
                self.ended_badly.remove(workload);
            } else {
                self.ended_badly.insert(workload.clone());
            }
            // It was in vain, so it may be made again, whatever for.
            if *outcome == Outcome::Superseded && message.contains("moved shortly before") {
                self.retries.insert(workload.clone(), at);
            }
            let lasts = self.flights.contains_key(workload);
            match outcome {
                Outcome::TimedOut => continue,
                // It may go on, without us and without a slot.
                Outcome::Stalled => drop(self.stalled.insert(workload.clone())),
                // Nobody goes on with it: the Pods that were not evicted stay.
                _ if *outcome != Outcome::Converged && waits_for_deletions(cluster, workload) => {}
                // Its owner took it out of what is looked at: the platform goes on, and we do not.
                Outcome::Superseded if message.contains("not looked at any more") => {}
                Outcome::Failed => {
                    ensure!(!lasts || self.crashed.contains(workload), "process {place}: {workload} did not fail");
                }
                _ => ensure!(!lasts, "process {place}: {workload} is {outcome} ({message}), and is still being rolled"),
            }
            self.flights.remove(workload);
        }
        Ok(())
    }
}

fn waits_for_deletions(cluster: &Cluster, key: &WorkloadKey) -> bool {
    cluster.workload(key).is_some_and(|w| w.strategy == Strategy::OnDelete)
}

/// Only a person lifts a pause, or closes the breaker.
pub(super) fn state_is_written(record: &StateRecord, stored: Option<&StateRecord>) -> Result<()> {
    let Some(stored) = stored.filter(|stored| record.resource_version == stored.resource_version) else {
        return Ok(());
    };
    ensure!(stored.paused.is_none() || record.paused == stored.paused, "a pause is lifted");
    ensure!(stored.breaker.is_none() || record.breaker == stored.breaker, "the breaker is closed");
    let closed = stored.breakers.iter().find(|(namespace, stop)| record.breakers.get(*namespace) != Some(stop));
    ensure!(closed.is_none(), "the breaker is closed in a namespace");
    Ok(())
}

/// Nothing restricts us.
pub(super) fn speaks_for_it(says: &BTreeMap<Name, Name>) -> bool {
    let open = |window: &str| WINDOWS.iter().any(|(text, _)| *text == window);
    says.iter().all(|(key, value)| match (&**key, &**value) {
        ("mode", "enforce") | ("paused", "false") => true,
        // Whether it is open is asked elsewhere.
        ("window", window) => open(window),
        _ => false,
    })
}

/// Whether some Pod of a workload is not what would be made now, as far as that can be said at all.
pub(super) fn differs(cluster: &Cluster, injector: &Injector, key: &WorkloadKey, at: Duration) -> bool {
    if injector.wavers || injector.dry_runs_differ {
        return true;
    }
    // Once it is the same each time, what was another one each time differs like any other field.
    let as_wanted = |pod: &Pod| {
        let content = if injector.nonce { pod.content.lasting() } else { pod.content };
        wanted(injector, pod, at).is_some_and(|wanted| content.sidecar == wanted.sidecar)
    };
    !cluster.pods_of(key).iter().filter_map(|pod| cluster.pods.get(pod)).all(as_wanted)
}

/// Whether a Pod of it went or came so lately that no watch has told of it yet: whoever reads it then does not know.
fn is_being_exchanged(cluster: &Cluster, key: &WorkloadKey, at: Duration) -> bool {
    let pods = cluster.pods_of(key);
    let wanted = cluster.workload(key).map_or(0, |w| w.counts.desired as usize);
    let mut living = pods.iter().filter_map(|pod| cluster.pod(pod)).filter(|pod| !pod.state.terminating);
    living.clone().count() < wanted || living.any(|pod| pod.created > true_wall(at.saturating_sub(UNHEARD)))
}

/// Whether some Pod differs, in whatever field, from what each Pod is given now.
pub(super) fn differs_for_sure(cluster: &Cluster, injector: &Injector, key: &WorkloadKey, at: Duration) -> bool {
    let other = |pod: &Pod| wanted(injector, pod, at).is_some_and(|wanted| pod.content.sidecar != wanted.sidecar);
    injector.is_plain() && cluster.pods_of(key).iter().filter_map(|pod| cluster.pods.get(pod)).any(other)
}

fn wanted(injector: &Injector, pod: &Pod, at: Duration) -> Option<Content> {
    injector.wanted(Asked { key: &pod.owner, app: 0, ordinal: pod.ordinal, at })
}
