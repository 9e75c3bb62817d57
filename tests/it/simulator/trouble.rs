//! What each fault does, and how it ends.

use std::{collections::BTreeMap, time::Duration};

use anyhow::Result;
use jiff::SignedDuration;
use sidecar_drift::core::{
    io::{Input, Retry, StateRecord, Stop, WatchEvent, WatchKind, WatchSource},
    model::{
        ConfigKind, ConfigSnapshot, Counts, EndpointsSnapshot, InjectorEntry, InjectorKind, InjectorSnapshot, Name,
        NamespaceSnapshot, NodeSnapshot, Object, Selector, ServiceSnapshot, Strategy, WorkloadKey, owner::Kind,
    },
};

use super::{
    cluster::{Fate, Template},
    fault::{Fault, Notice, namespace},
    injection::{Content, Down, SIDECAR, Sidecar},
    scenario::NAMESPACES,
    world::{Call, Event, World, true_wall},
};
use crate::objects::key;

/// The injector's own workload.
pub(super) fn backend() -> WorkloadKey {
    WorkloadKey { namespace: "mesh".into(), kind: Kind::DEPLOYMENT, name: "injector".into() }
}

impl World {
    /// What is there before all else.
    pub(super) fn found(&mut self) {
        for name in NAMESPACES.iter().chain(&["mesh"]) {
            self.put_namespace(name, 0, BTreeMap::new());
        }
        for name in ["n1", "n2", "n3", "n4", "n5", "n6"] {
            self.put_node(name, true);
        }
        self.configure(1, false);
        self.config_map(1);
        self.cluster.objects.put(Object::Service(ServiceSnapshot {
            key: key("mesh", "injector"),
            selector: BTreeMap::from([("app".into(), "injector".into())]),
        }));
        // The injector's own Pods get no sidecar.
        self.injector.off.insert("mesh".into());
        let rolling = Strategy::RollingUpdate { max_unavailable: 0, max_surge: 1, partition: 0 };
        self.cluster.create(&backend(), 1, rolling, None);
        self.appoint(&backend());
        self.cluster.objects.put(Object::Endpoints(EndpointsSnapshot {
            key: key("mesh", "injector-1"),
            service: "injector".into(),
            ready: Vec::new(),
            others: 1,
        }));
    }

    fn put_namespace(&mut self, name: &str, labels: u32, says: BTreeMap<Name, Name>) {
        self.cluster.objects.put(Object::Namespace(NamespaceSnapshot {
            name: name.into(),
            labels: BTreeMap::from([("labels".into(), labels.to_string().into())]),
            says,
            hash: labels.to_string().into(),
            terminating: false,
            changed_by: None,
        }));
    }

    pub(super) fn edit_namespace(&mut self, name: &str, change: impl FnOnce(&mut NamespaceSnapshot)) {
        let Some(Object::Namespace(found)) = self.cluster.objects.get(WatchKind::Namespaces, &key("", name)) else {
            return;
        };
        let mut namespace = found.clone();
        change(&mut namespace);
        self.cluster.objects.put(Object::Namespace(namespace));
    }

    pub(super) fn put_node(&mut self, name: &str, ready: bool) {
        self.cluster.objects.put(Object::Node(NodeSnapshot { name: name.into(), ready, kubelet: Some((1, 36)) }));
    }

    pub(super) fn configure(&mut self, hash: u32, refuses_dry_run: bool) {
        self.cluster.objects.put(Object::Injector(InjectorSnapshot {
            kind: InjectorKind::MutatingWebhookConfiguration,
            name: "mesh".into(),
            hash: format!("{hash} {refuses_dry_run}").into(),
            policy: "".into(),
            entries: vec![InjectorEntry {
                namespaces: Selector::default(),
                objects: self.selects_objects(),
                service: Some(key("mesh", "injector")),
                ignores_failure: true,
                timeout_seconds: 10,
                refuses_dry_run,
            }],
            params: None,
            changed_by: None,
        }));
    }

    fn config_map(&mut self, hash: u32) {
        let (kind, key) = (ConfigKind::ConfigMap, key("mesh", "config"));
        let hash = hash.to_string().into();
        self.cluster.objects.put(Object::Config(ConfigSnapshot { kind, key, hash, changed_by: None }));
    }

    /// The injector gives another version from now on, and something says so, or nothing does.
    pub(super) fn move_injector(&mut self, notice: Notice) {
        let next = self.injector.version + 1;
        match notice {
            Notice::ConfigMap => {
                self.config_map(next);
                let at = self.at + self.random.seconds(0, 70);
                self.schedule(at, Event::TakesEffect(next));
            }
            Notice::Configuration => {
                self.configure(next, false);
                self.injector.version = next;
                self.truth.moved(None, self.at);
            }
            Notice::Labels => {
                let shop = namespace(0);
                let revision = self.injector.revisions.entry(shop.into()).or_default();
                *revision += 1;
                let labels = *revision;
                self.edit_namespace(shop, |ns| ns.hash = labels.to_string().into());
                self.truth.moved(Some(shop), self.at);
            }
            Notice::None => {
                self.injector.version = next;
                self.truth.moved(None, self.at);
                self.moved_silently();
            }
        }
    }

    pub(super) fn whose(&self, at: usize) -> WorkloadKey {
        self.scenario.fleet[at].0.clone()
    }

    #[expect(clippy::too_many_lines, reason = "one line or two for each fault")]
    pub(super) fn fault_begins(&mut self, index: usize) -> Result<()> {
        let (_, lasts, fault) = self.scenario.faults[index].clone();
        self.reached.word("fault", fault.name());
        self.write_down(|| format!("* {fault:?} for {}s", lasts.as_secs_f64()));
        let mut ends = true;
        match fault {
            Fault::InjectorMoves(notice) => self.move_injector(notice),
            Fault::InjectorGoesBack => {
                self.injector.version = self.injector.version.saturating_sub(1).max(1);
                self.configure(10_000 + self.injector.version, false);
                self.truth.moved(None, self.at);
            }
            Fault::InjectorIgnoresFailures => self.injector.down = Down::Ignored,
            Fault::InjectorFails => self.injector.down = Down::Fails,
            Fault::InjectorIsExchanged => self.cluster.edit(&backend(), |w| w.counts.updated = 0),
            Fault::PlacementMoves => {
                self.injector.native = !self.injector.native;
                self.move_injector(Notice::Configuration);
            }
            Fault::DigestMoves => {
                self.injector.digest += 1;
                self.move_injector(Notice::Configuration);
            }
            Fault::SwitchedOff(at) => {
                self.injector.off.insert(namespace(at).into());
                self.truth.moved(Some(namespace(at)), self.at);
                self.edit_namespace(namespace(at), |ns| ns.hash = format!("{} off", ns.hash).into());
                // It stays off in half of all histories.
                ends = index.is_multiple_of(2);
            }
            Fault::Wavers => self.injector.wavers = true,
            Fault::Nonce => self.injector.nonce = true,
            Fault::Period => self.injector.period = Some(Duration::from_secs(50)),
            Fault::DryRunsDiffer => self.injector.dry_runs_differ = true,
            Fault::DryRunsUnsupported => self.configure(0, true),
            Fault::PodsRefused(at) => drop(self.injector.refuses.insert(namespace(at).into())),
            Fault::RenderTrouble(at, reason) => drop(self.injector.troubles.insert(namespace(at).into(), reason)),
            Fault::OwnerUpdates(at) => {
                let key = self.whose(at);
                self.cluster.edit_template(&key, Template::Update);
                self.appoint(&key);
            }
            Fault::OwnerScales(at, replicas) => {
                let key = self.whose(at);
                self.cluster.edit_spec(&key, |w| w.counts.desired = replicas);
                self.appoint(&key);
            }
            Fault::OwnerPauses(at) => {
                let key = self.whose(at);
                self.cluster.edit_spec(&key, |w| w.paused = w.key.kind == Kind::DEPLOYMENT);
                self.appoint(&key);
            }
            Fault::OwnerDeletes(at) => self.cluster.delete_workload(&self.whose(at)),
            Fault::OwnerChangesStrategy(at, strategy) => {
                let key = self.whose(at);
                self.cluster.edit_spec(&key, |w| w.strategy = strategy);
                self.appoint(&key);
            }
            Fault::OwnerSays(at, key, value) => {
                self.cluster.edit(&self.whose(at), |w| drop(w.says.insert(key.into(), value.into())));
                ends = index.is_multiple_of(2);
            }
            Fault::NamespaceSays(at, key, value) => {
                self.edit_namespace(namespace(at), |ns| drop(ns.says.insert(key.into(), value.into())));
            }
            Fault::StampStripped(at) => self.strip(&self.whose(at)),
            Fault::StampFought(at) => {
                let (key, until) = (self.whose(at), self.at + lasts);
                self.fought.insert(key.clone(), until);
                self.fight(&key, until);
            }
            Fault::PodPatchedByHand(at) => self.patch_pod_by_hand(at),
            Fault::StrayPod => self.put_stray(),
            Fault::PodsCrash(at) => self.set_fate(at, Fate::Crash),
            Fault::PodsStuck(at) => self.set_fate(at, Fate::Stuck),
            Fault::PodsWithheld(at) => {
                self.set_fate(at, Fate::Withheld);
                let pods = self.cluster.pods_of(&self.whose(at));
                for pod in pods {
                    self.cluster.delete_pod(&pod);
                }
            }
            Fault::PodEvicted(at) => {
                let key = self.whose(at);
                let pods = self.cluster.pods_of(&key);
                if let Some(pod) = pods.into_iter().find(|pod| !self.cluster.is_lost(pod)) {
                    self.cluster.delete_pod(&pod);
                }
                self.appoint(&key);
            }
            Fault::NodesDown => ["n1", "n2"].into_iter().for_each(|name| self.put_node(name, false)),
            Fault::BudgetShort(at) => self.put_budget(at, 0),
            Fault::ApiSlow => self.troubles.slow = true,
            Fault::ApiDown => {
                self.troubles.down = true;
                for place in 0..self.processes.len() {
                    self.break_watches(place, None);
                }
            }
            Fault::PatchesFail => self.troubles.patches_fail = true,
            Fault::PatchesDenied => self.troubles.patches_denied = true,
            Fault::PatchesConflict => self.troubles.patches_conflict = true,
            Fault::RepliesLost => self.troubles.replies_lost = true,
            Fault::GuardGone => self.troubles.no_guard = true,
            Fault::AlertFires => self.troubles.alert_fires = true,
            Fault::PrometheusDown => self.troubles.prometheus_down = true,
            Fault::StateMissing => self.store(None),
            Fault::StateUnwritable => self.troubles.state_unwritable = true,
            Fault::PersonPauses => {
                let at = true_wall(self.at);
                self.edit_state(|state| state.paused = Some(Stop { reason: "a person".to_owned(), at }));
            }
            Fault::PersonResumes => self.resume_all(),
            Fault::PersonRetries(at) => self.retry(at),
            Fault::Crash(_)
            | Fault::Terminated(_)
            | Fault::Suspended(_)
            | Fault::Partitioned(_)
            | Fault::ClockJumps(..)
            | Fault::WatchLost(..)
            | Fault::WatchLags(..)
            | Fault::WatchDown(..)
            | Fault::WatchForbidden(..) => self.trouble_process(&fault, lasts)?,
        }
        if !self.injector.is_plain() || self.injector.down != Down::No {
            self.moved_silently();
        }
        self.truth.alarm(self.troubles.alert_fires || self.troubles.prometheus_down, self.at);
        if ends {
            self.schedule(self.at + lasts, Event::Ends(index));
        }
        Ok(())
    }

    /// What befalls one of ours.
    fn trouble_process(&mut self, fault: &Fault, lasts: Duration) -> Result<()> {
        let until = self.at + lasts;
        match *fault {
            Fault::Crash(place) if self.process(place).is_some() => {
                self.stop(place);
                self.schedule(self.at + lasts / 8, Event::Starts(place));
            }
            Fault::Terminated(place) => {
                if let Some(process) = self.process(place).filter(|p| !p.stopping) {
                    process.stopping = true;
                    self.hear(place, Input::Shutdown)?;
                }
            }
            Fault::Suspended(place) => {
                let Some(process) = self.process(place).filter(|p| p.suspended.is_none()) else { return Ok(()) };
                process.suspended = Some(until);
                self.later_at(place, until, Call::Resumes);
            }
            Fault::Partitioned(place) => {
                if let Some(process) = self.process(place) {
                    process.partitioned = Some(until);
                }
                // Its connections are found out to be dead after that.
                let sources: Vec<_> =
                    self.process(place).map(|p| p.feeds.keys().cloned().collect()).unwrap_or_default();
                for source in sources {
                    let at = until + self.random.seconds(0, 10);
                    self.later_at(place, at, Call::Relists(source));
                }
            }
            Fault::ClockJumps(place, seconds) => {
                let Some(clock) = self.clocks.get_mut(place) else { return Ok(()) };
                *clock += SignedDuration::from_secs(seconds);
                let wall = *clock;
                if let Some(process) = self.process(place) {
                    process.wall = wall;
                }
            }
            Fault::WatchLost(place, kind) => self.break_watches(place, Some(kind)),
            Fault::WatchLags(place, kind) => self.lag(place, kind, lasts.min(Duration::from_mins(1))),
            Fault::WatchDown(place, kind) => self.cut_watch(place, kind, until),
            Fault::WatchForbidden(place, kind) => {
                let source = WatchSource { kind, namespace: None };
                if let Some(feed) = self.process(place).and_then(|p| p.feeds.get_mut(&source)) {
                    feed.forbidden = true;
                    let event = WatchEvent::Unavailable { forbidden: true, message: "no right to".to_owned() };
                    self.hear(place, Input::Watch { source, event })?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    /// A watch has no connection until then. After a minute that is said.
    fn cut_watch(&mut self, place: usize, kind: WatchKind, until: Duration) {
        let source = WatchSource { kind, namespace: None };
        let Some(feed) = self.process(place).and_then(|p| p.feeds.get_mut(&source)) else { return };
        feed.broken = true;
        let said = self.at + Duration::from_mins(1);
        if said < until {
            let event = |event| Call::Watch(source.clone(), vec![event]);
            self.later_at(place, said, event(WatchEvent::Interrupted));
            self.later_at(place, until, event(WatchEvent::Resumed));
        }
        self.later_at(place, until, Call::Relists(source));
    }

    pub(super) fn lag(&mut self, place: usize, kind: WatchKind, lag: Duration) {
        let source = WatchSource { kind, namespace: None };
        if let Some(feed) = self.process(place).and_then(|p| p.feeds.get_mut(&source)) {
            feed.lag = lag;
        }
    }

    /// What these watches would say is lost, until they list anew.
    fn break_watches(&mut self, place: usize, kind: Option<WatchKind>) {
        let Some(process) = self.process(place) else { return };
        let mut broken = Vec::new();
        for (source, feed) in &mut process.feeds {
            if kind.is_none_or(|kind| kind == source.kind) {
                feed.broken = true;
                broken.push(source.clone());
            }
        }
        for source in broken {
            self.later(place, (2000, 30_000), Call::Relists(source));
        }
    }

    // Single things --------------------------------------------------------------------------------------------------

    /// A tool puts the template back to what it says.
    fn strip(&mut self, key: &WorkloadKey) {
        if let Some(w) = self.cluster.workload(key).filter(|w| w.template.stamp.is_some()) {
            self.truth.stripped(w);
            self.write_down(|| format!("{key}: the stamp is removed"));
            self.cluster.edit_template(key, Template::Strip);
            self.truth.look(&self.cluster, key);
            self.appoint(key);
        }
    }

    pub(super) fn fight(&mut self, key: &WorkloadKey, until: Duration) {
        if !self.fought.contains_key(key) {
            return;
        }
        self.strip(key);
        let again = self.at + self.random.seconds(3, 30);
        if again < until {
            self.schedule(again, Event::Fights(key.clone(), until));
        }
    }

    pub(super) fn set_fate(&mut self, at: usize, fate: Fate) {
        let key = self.whose(at);
        if let Some(workload) = self.cluster.workloads.get_mut(&key) {
            workload.fate = fate;
            self.appoint(&key);
        }
    }

    fn put_stray(&mut self) {
        let sidecar = Sidecar { version: 1, ..Sidecar::default() };
        let content = Content { sidecar: Some(sidecar), ..Content::plain(1) };
        let born = true_wall(self.at);
        self.cluster.put_stray(namespace(0), &format!("stray-{SIDECAR}"), content, born);
    }

    fn edit_state(&mut self, edit: impl FnOnce(&mut StateRecord)) {
        let mut state = self.stored.record.clone().unwrap_or_default();
        edit(&mut state);
        self.store(Some(state));
    }

    /// As `sidecar-drift retry` does.
    fn retry(&mut self, at: usize) {
        let (workload, wall) = (self.whose(at), true_wall(self.at));
        let Some(uid) = self.cluster.workload(&workload).map(|w| w.uid.clone()) else { return };
        self.truth.retried(&workload, self.at);
        self.edit_state(|state| drop(state.retries.insert(uid, Retry { workload, at: wall })));
    }

    /// As `sidecar-drift resume` does.
    pub(super) fn resume_all(&mut self) {
        let wall = true_wall(self.at);
        self.edit_state(|state| state.resume(wall));
    }
}

/// All Pods are there and ready.
pub(super) fn full(counts: Counts) -> bool {
    counts.available >= counts.desired
}
