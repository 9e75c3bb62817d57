//! What lasts: it comes with a history, or some time after it began, and nothing heals it.

use std::time::Duration;

use anyhow::Result;
use jiff::SignedDuration;
use sidecar_drift::core::{
    config::Mode,
    io::{Input, WatchEvent, WatchKind, WatchSource},
    model::{
        ConfigKind, ConfigSnapshot, Glob, InjectorEntry, InjectorKind, InjectorSnapshot, NodeSnapshot, Object,
        ObjectKey, Operator, PodWait, Requirement, Selector, Strategy, WorkloadKey, owner::Kind,
    },
};

use super::{
    cluster::{Fate, Template},
    evictions::Budget,
    fault::namespace,
    injection::Agent,
    random::Random,
    scenario::{NAMESPACES, Scenario},
    world::{Event, World},
};
use crate::objects::key;

/// A workload is said to rest once it was left alone for so long.
const AT_REST: Duration = Duration::from_mins(6);

/// One thing that never ends. Numbers of seconds say how often it comes, or when it begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Weather {
    /// The replicas of a workload change all day.
    Autoscaler(usize),
    /// A ConfigMap beside the injector's is written again and again.
    NoisyConfigMap(u64),
    /// So is a label of a Namespace that chooses nothing.
    NoisyNamespace(usize, u64),
    /// Nodes come and go, with what runs there.
    SpotNodes,
    /// A Node dies, and with it a Pod of each DaemonSet, which is never seen to end.
    DeadNode(u64),
    /// The clock of the first process is wrong by so much.
    SkewedClock(i64),
    /// The configuration is read again, with something in it that decides nothing.
    Reloads,
    /// A namespace leaves the filter, and comes back.
    FilterChanges(usize),
    /// The API server asks for patience, now and then for a day.
    Throttling,
    /// Nobody may list these.
    Blind(WatchKind),
    /// A second mutator adds to the sidecar.
    SecondInjector,
    /// And is down from then on; it fails open.
    SecondInjectorDown(u64),
    /// One budget for all Pods of a namespace.
    SharedBudget(usize),
    /// Two budgets for the Pods of one workload.
    SecondBudget(usize),
    /// New Pods of a workload wait for something that does not come.
    NewPodsWait(usize, PodWait),
    /// The Pods of a workload are ready, and are not, in turn.
    Flickering(usize),
    /// The injector selects by a label that only the Pods of Deployments are given, by their controller.
    ControllerLabel,
    /// It copies the ordinal of a StatefulSet's Pod into its sidecar.
    Ordinals,
    /// A Deployment that is half rolled, and paused.
    HalfRolled(usize),
    /// Somebody patches running Pods by hand.
    HandPatches,
    /// Many workloads.
    Crowd(usize),
}

/// Every name that [`Weather::name`] may give.
pub(super) const NAMES: &[&str] = &[
    "Autoscaler",
    "NoisyConfigMap",
    "NoisyNamespace",
    "SpotNodes",
    "DeadNode",
    "SkewedClock",
    "Reloads",
    "FilterChanges",
    "Throttling",
    "Blind",
    "SecondInjector",
    "SecondInjectorDown",
    "SharedBudget",
    "SecondBudget",
    "NewPodsWait",
    "Flickering",
    "ControllerLabel",
    "Ordinals",
    "HalfRolled",
    "HandPatches",
    "Crowd",
];

impl Weather {
    pub(super) fn name(self) -> String {
        format!("{self:?}").chars().take_while(|c| c.is_alphanumeric()).collect()
    }

    /// One of all, and what it takes to matter.
    fn any(random: &mut Random, scenario: &mut Scenario) -> Self {
        let at = usize::try_from(random.below(scenario.fleet.len() as u64)).unwrap_or(0);
        let ns = usize::try_from(random.below(2)).unwrap_or(0);
        match random.below(NAMES.len() as u64) {
            0 => Self::Autoscaler(scenario.one_of_kind(&[Kind::DEPLOYMENT, Kind::STATEFUL_SET], at)),
            1 => Self::NoisyConfigMap(random.one_of(&[10, 15, 60])),
            2 => Self::NoisyNamespace(ns, random.one_of(&[10, 30, 90])),
            3 => Self::SpotNodes,
            4 => {
                scenario.one_of_kind(&[Kind::DAEMON_SET], at);
                Self::DeadNode(20 + random.below(200))
            }
            5 => Self::SkewedClock(random.one_of(&[-90, -10, -2, 10, 90])),
            6 => Self::Reloads,
            7 => Self::FilterChanges(ns),
            8 => Self::Throttling,
            9 => Self::Blind(random.one_of(&[
                WatchKind::DisruptionBudgets,
                WatchKind::Nodes,
                WatchKind::Injectors(InjectorKind::MutatingAdmissionPolicy),
                WatchKind::Configs(ConfigKind::LimitRange),
            ])),
            10 => Self::SecondInjector,
            11 => Self::SecondInjectorDown(20 + random.below(400)),
            12 => Self::SharedBudget(ns),
            13 => {
                let at = scenario.one_of_kind(&[Kind::STATEFUL_SET, Kind::DAEMON_SET], at);
                scenario.fleet[at].2 = Strategy::OnDelete;
                scenario.policy.evict_on_delete = true;
                scenario.drifted_before = true;
                Self::SecondBudget(at)
            }
            14 => {
                scenario.drifted_before = true;
                scenario.policy.mode = Mode::Enforce;
                Self::NewPodsWait(at, random.one_of(&[PodWait::SchedulingGate, PodWait::Node, PodWait::Image]))
            }
            15 => Self::Flickering(at),
            16 => Self::ControllerLabel,
            17 => {
                scenario.one_of_kind(&[Kind::STATEFUL_SET], at);
                Self::Ordinals
            }
            18 => Self::HalfRolled(scenario.one_of_kind(&[Kind::DEPLOYMENT], at)),
            19 => Self::HandPatches,
            _ => Self::Crowd(scenario.grow(random)),
        }
    }
}

impl Scenario {
    /// Half of all histories have weather.
    pub(super) fn set_weather(&mut self) {
        let mut random = Random::new(self.seed, 3);
        if random.percent(50) {
            for _ in 0..=random.below(3) {
                let weather = Weather::any(&mut random, self);
                self.weather.push(weather);
            }
        }
    }

    /// A workload of one of these kinds: this one, another one, or one more.
    fn one_of_kind(&mut self, kinds: &[Kind], at: usize) -> usize {
        let is = |(key, ..): &(WorkloadKey, u32, Strategy)| kinds.contains(&key.kind);
        if let Some(found) = (at..self.fleet.len()).chain(0..at).find(|at| is(&self.fleet[*at])) {
            return found;
        }
        let key = WorkloadKey {
            namespace: NAMESPACES[0].into(),
            kind: kinds[0],
            name: format!("more{}", self.fleet.len()).into(),
        };
        let surge = u32::from(kinds[0] == Kind::DEPLOYMENT);
        let strategy = Strategy::RollingUpdate { max_unavailable: 1 - surge, max_surge: surge, partition: 0 };
        self.fleet.push((key, 3, strategy));
        self.fleet.len() - 1
    }

    /// Up to sixty workloads; and rollouts at once so that they have an end.
    fn grow(&mut self, random: &mut Random) -> usize {
        let all = 20 + usize::try_from(random.below(41)).unwrap_or(0);
        for number in self.fleet.len()..all {
            let namespace = NAMESPACES[number % 2].into();
            let kind = random.one_of(&[Kind::DEPLOYMENT, Kind::DEPLOYMENT, Kind::DEPLOYMENT, Kind::STATEFUL_SET]);
            let surge = u32::from(kind == Kind::DEPLOYMENT);
            let strategy = Strategy::RollingUpdate { max_unavailable: 1 - surge, max_surge: surge, partition: 0 };
            self.fleet.push((WorkloadKey { namespace, kind, name: format!("w{number}").into() }, 1, strategy));
        }
        (self.policy.parallel_rollouts, self.policy.parallel_per_namespace) = (10, 6);
        self.policy.renders_per_second = 10.0;
        all
    }

    /// How wrong a process's clock is from the beginning.
    pub(super) fn skew(&self, place: usize) -> SignedDuration {
        let skews = self.weather.iter().filter_map(|weather| match weather {
            Weather::SkewedClock(seconds) if place == 0 => Some(*seconds),
            _ => None,
        });
        SignedDuration::from_secs(skews.sum())
    }

    /// The most that clocks may be apart in this history.
    pub(super) fn jumps(&self) -> Duration {
        let jumps = super::fault::jumps(self.faults.iter().map(|(.., fault)| fault));
        jumps + self.skew(0).unsigned_abs()
    }

    pub(super) fn is_blind(&self, kind: WatchKind) -> bool {
        self.weather.contains(&Weather::Blind(kind))
    }
}

impl World {
    /// What is there from the beginning.
    pub(super) fn weather_is_set(&mut self) {
        for weather in self.scenario.weather.clone() {
            self.reached.word("weather", weather.name());
            match weather {
                Weather::SecondInjector | Weather::SecondInjectorDown(_) => self.injector.agent = Some(Agent::Up),
                Weather::ControllerLabel => self.injector.deployments_only = true,
                Weather::Ordinals => self.injector.copies_ordinals = true,
                _ => {}
            }
        }
    }

    /// After what was found.
    pub(super) fn weather_is_found(&mut self) {
        for weather in self.scenario.weather.clone() {
            match weather {
                Weather::SecondInjector | Weather::SecondInjectorDown(_) => self.put_second_injector(),
                Weather::SharedBudget(at) => {
                    let may_miss = self.random.one_of(&[1, 1, 2]);
                    self.add_budget(Budget { key: key(namespace(at), "all"), whom: None, may_miss });
                }
                Weather::SecondBudget(at) => {
                    self.put_budget(at, 1);
                    let whom = self.whose(at);
                    let key = key(&whom.namespace, &format!("{}-second", whom.name));
                    self.add_budget(Budget { key, whom: Some(whom), may_miss: 1 });
                }
                _ => {}
            }
        }
    }

    fn put_second_injector(&mut self) {
        self.cluster.objects.put(Object::Injector(InjectorSnapshot {
            kind: InjectorKind::MutatingWebhookConfiguration,
            name: "agent".into(),
            hash: "agent".into(),
            policy: "".into(),
            entries: vec![InjectorEntry {
                namespaces: Selector::default(),
                objects: Selector::default(),
                service: None,
                ignores_failure: true,
                timeout_seconds: 10,
                refuses_dry_run: false,
            }],
            params: None,
            changed_by: None,
        }));
    }

    /// What the injector's configuration selects Pods by.
    pub(super) fn selects_objects(&self) -> Selector {
        let by_label = Requirement { key: "pod-template-hash".into(), operator: Operator::Exists, values: Vec::new() };
        Selector { requirements: self.injector.deployments_only.then_some(by_label).into_iter().collect() }
    }

    /// A watch is opened: it lists, or may not.
    pub(super) fn open_watch(&mut self, place: usize, source: WatchSource) -> Result<()> {
        if !self.scenario.is_blind(source.kind) {
            self.relist(place, &source);
            return Ok(());
        }
        self.process(place).and_then(|p| p.feeds.get_mut(&source)).into_iter().for_each(|feed| feed.forbidden = true);
        let event = WatchEvent::Unavailable { forbidden: true, message: "no right to".to_owned() };
        self.hear(place, Input::Watch { source, event })
    }

    /// It comes, and comes again.
    pub(super) fn weather(&mut self, index: usize) -> Result<()> {
        let weather = self.scenario.weather[index];
        self.write_down(|| format!("* {weather:?}"));
        let again = match weather {
            Weather::Autoscaler(at) => {
                let (whom, replicas) = (self.whose(at), 1 + u32::try_from(self.random.below(4)).unwrap_or(0));
                self.cluster.edit_spec(&whom, |w| w.counts.desired = replicas);
                self.disturb(&whom);
                Some(self.random.seconds(40, 150))
            }
            Weather::NoisyConfigMap(every) => {
                let (kind, key) = (ConfigKind::ConfigMap, key("mesh", "leader"));
                let hash = self.cluster.next_version().to_string().into();
                self.cluster.objects.put(Object::Config(ConfigSnapshot { kind, key, hash, changed_by: None }));
                Some(Duration::from_secs(every))
            }
            Weather::NoisyNamespace(at, every) => {
                let version = self.cluster.next_version();
                self.edit_namespace(namespace(at), |ns| {
                    let before = ns.hash.split(" noise").next().unwrap_or_default().to_owned();
                    ns.hash = format!("{before} noise {version}").into();
                });
                Some(Duration::from_secs(every))
            }
            Weather::SpotNodes => {
                self.spot_node_goes();
                Some(self.random.seconds(60, 240))
            }
            Weather::Reloads => {
                let usual = self.policy.resync == self.scenario.policy.resync;
                self.policy.resync = self.scenario.policy.resync + Duration::from_mins(u64::from(usual));
                self.reload()?;
                Some(self.random.seconds(60, 300))
            }
            Weather::FilterChanges(at) => {
                self.filter_changes(at)?;
                Some(self.random.seconds(150, 500))
            }
            Weather::Flickering(at) => {
                let whom = self.whose(at);
                self.set_fate(at, Fate::Flickers);
                self.restless.insert(whom, None);
                Some(self.random.seconds(4, 15))
            }
            Weather::HandPatches => {
                let at = usize::try_from(self.random.below(self.scenario.fleet.len() as u64)).unwrap_or(0);
                self.patch_pod_by_hand(at);
                Some(self.random.seconds(150, 900))
            }
            lasting => {
                self.begin_for_good(lasting, index);
                None
            }
        };
        if let Some(again) = again {
            self.schedule(self.at + again, Event::Weather(index));
        }
        Ok(())
    }

    /// What begins once, at its time.
    fn begin_for_good(&mut self, weather: Weather, index: usize) {
        let begun = self.weather_began.insert(index);
        match weather {
            Weather::DeadNode(after) | Weather::SecondInjectorDown(after) if begun => {
                self.schedule(self.at + Duration::from_secs(after), Event::Weather(index));
            }
            Weather::DeadNode(_) => self.node_dies(),
            Weather::SecondInjectorDown(_) => {
                self.injector.agent = Some(Agent::Down);
                self.truth.moved(None, self.at);
                self.moved_silently();
            }
            Weather::Throttling => self.troubles.throttles = true,
            Weather::NewPodsWait(at, wait) => {
                let whom = self.whose(at);
                self.set_fate(at, Fate::Waits(wait));
                self.restless.insert(whom, None);
            }
            Weather::HalfRolled(at) if begun => {
                let whom = self.whose(at);
                self.cluster.edit_template(&whom, Template::Update);
                self.appoint(&whom);
                self.restless.insert(whom, None);
                self.schedule(self.at + Duration::from_secs(4), Event::Weather(index));
            }
            Weather::HalfRolled(at) => {
                let whom = self.whose(at);
                self.cluster.edit_spec(&whom, |w| w.paused = true);
                self.appoint(&whom);
            }
            _ => {}
        }
    }

    fn disturb(&mut self, whom: &WorkloadKey) {
        self.befalls(whom);
        self.appoint(whom);
    }

    /// What never rests goes on so.
    fn befalls(&mut self, whom: &WorkloadKey) {
        self.restless.entry(whom.clone()).and_modify(|since| *since = since.map(|_| self.at)).or_insert(Some(self.at));
    }

    /// Nothing may be said of how it ends: something befell it a moment ago, or never stops to.
    pub(super) fn is_restless(&self, whom: &WorkloadKey) -> bool {
        self.restless.get(whom).is_some_and(|last| last.is_none_or(|at| self.at < at + AT_REST))
    }

    fn spot_node_goes(&mut self) {
        let node = key("", "spot");
        if self.cluster.objects.delete(WatchKind::Nodes, &node).is_none() {
            self.cluster.objects.put(Object::Node(NodeSnapshot {
                name: node.name,
                ready: true,
                kubelet: Some((1, 36)),
            }));
        }
        let at = usize::try_from(self.random.below(self.scenario.fleet.len() as u64)).unwrap_or(0);
        let whom = self.whose(at);
        let gone: Option<ObjectKey> = self.cluster.pods_of(&whom).into_iter().find(|pod| !self.cluster.is_lost(pod));
        if let Some(pod) = gone {
            self.cluster.delete_pod(&pod);
        }
        self.disturb(&whom);
    }

    fn node_dies(&mut self) {
        self.put_node("n6", false);
        self.cluster.dead_nodes.insert(1);
        for (whom, ..) in self.scenario.fleet.clone() {
            if whom.kind == Kind::DAEMON_SET {
                self.restless.insert(whom.clone(), None);
                self.appoint(&whom);
            }
        }
    }

    /// Every process reads the configuration again.
    fn reload(&mut self) -> Result<()> {
        for place in 0..self.processes.len() {
            let policy = self.tamper.policy(self.policy.clone(), false);
            self.hear(place, Input::Policy(Box::new(policy)))?;
        }
        Ok(())
    }

    fn filter_changes(&mut self, at: usize) -> Result<()> {
        let name = namespace(at);
        if !self.policy.filter.exclude_namespaces.remove(&Glob::new(name)) {
            self.policy.filter.exclude_namespaces.insert(Glob::new(name));
        }
        let excluded = self.policy.filter.exclude_namespaces.contains(&Glob::new(name));
        self.truth.excluded(name, excluded.then_some(self.at));
        let of_it = self.scenario.fleet.iter().map(|(key, ..)| key.clone()).filter(|key| &*key.namespace == name);
        for whom in of_it.collect::<Vec<_>>() {
            self.befalls(&whom);
        }
        self.reload()
    }

    /// Somebody changes the image of a running sidecar.
    pub(super) fn patch_pod_by_hand(&mut self, at: usize) {
        let pods = self.cluster.pods_of(&self.whose(at));
        let Some(pod) = pods.into_iter().next() else { return };
        self.cluster.patch_by_hand(&pod);
        if let Some(found) = self.cluster.pod(&pod).filter(|found| !found.patched_images.is_empty()) {
            self.truth.patched_by_hand(found.uid.clone(), self.at);
        }
    }
}
