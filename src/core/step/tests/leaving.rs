//! A workload that leaves, in every state that it can be in: no part remembers anything of it, and no slot stays taken.

use std::{collections::BTreeMap, sync::Arc};

use serde_json::json;

use super::*;
use crate::core::{
    compare::Rendering,
    io::{
        Confirmation, PatchOutcome, PatchReply, PatchRequest, RenderReply, RenderRequest, StateRecord, WatchEvent,
        WatchKind,
    },
    model::{
        Counts, Object, ObjectKey, Owner, PodSnapshot, PodState, WorkloadSnapshot,
        shape::PodShape,
        words::{Outcome, Verdict},
    },
};

const PODS: WatchKind = WatchKind::Pods;
const SETS: WatchKind = WatchKind::Workloads(Kind::STATEFUL_SET);
const NAMESPACES: WatchKind = WatchKind::Namespaces;

/// What happens to a drifted workload until it is rolled, in order; at each of these moments it may leave.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum State {
    FirstRenderingAsked,
    WaitsForTheSecond,
    SecondRenderingAsked,
    Confirming,
    WaitsForTheGuard,
    Patching,
    Rolling,
    Crashing,
}

const STATES: [State; 8] = [
    State::FirstRenderingAsked,
    State::WaitsForTheSecond,
    State::SecondRenderingAsked,
    State::Confirming,
    State::WaitsForTheGuard,
    State::Patching,
    State::Rolling,
    State::Crashing,
];

/// How it leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Exit {
    Deleted,
    ByItsKind,
    ByItsNamespace,
}

/// A core, and the requests whose answers are outstanding.
struct Stage {
    core: Core,
    second: i64,
    /// Of the workload that comes next: another one of the same name is another one.
    uid: String,
    renders: Vec<RenderRequest>,
    patches: Vec<PatchRequest>,
    writes: Vec<StateRecord>,
    told: Vec<Notice>,
}

fn policy() -> Policy {
    Policy { mode: Mode::Enforce, max_rollouts_per_hour: None, canary: 0, ..Policy::default() }
}

fn shape(proxy: Option<&str>) -> Arc<PodShape> {
    let proxy = proxy.map(|image| json!({ "name": "proxy", "image": image }));
    let containers: Vec<_> = [json!({ "name": "app", "image": "app:1" })].into_iter().chain(proxy).collect();
    Arc::new(PodShape::from_pod(&json!({ "spec": { "containers": containers } })))
}

fn workload(uid: &str) -> WorkloadSnapshot {
    WorkloadSnapshot {
        uid: uid.into(),
        counts: Counts { desired: 2, current: 2, updated: 2, ready: 2, available: 2 },
        current_revision: "db-1".into(),
        update_revision: "db-1".into(),
        ..test_objects::workload(Kind::STATEFUL_SET, "db")
    }
}

fn pod(uid: &str, ordinal: u32, crashing: bool) -> PodSnapshot {
    let owner = Owner { api_version: "apps/v1".into(), kind: "StatefulSet".into(), name: "db".into(), uid: uid.into() };
    PodSnapshot {
        revision: "db-1".into(),
        state: PodState { ready: !crashing, crashing, ..PodState::default() },
        shape: shape(Some("proxy:1")),
        ..test_objects::pod(&format!("db-{ordinal}"), Some(owner))
    }
}

impl Stage {
    fn new() -> Self {
        let sources = [PODS, SETS, NAMESPACES].map(|kind| WatchSource { kind, namespace: None });
        let core = Core::new(policy(), sources, 0, test_objects::at(0));
        let mut stage = Self {
            core,
            second: 0,
            uid: "uid-db".to_owned(),
            renders: Vec::new(),
            patches: Vec::new(),
            writes: Vec::new(),
            told: Vec::new(),
        };
        stage.input(Input::Leadership(true));
        stage.input(Input::Guard(true));
        stage.input(Input::State(Some(StateRecord { resource_version: Some("1".into()), ..StateRecord::default() })));
        stage.list(NAMESPACES, vec![Object::Namespace(test_objects::namespace("shop", "1"))]);
        stage.list(PODS, vec![]);
        stage.list(SETS, vec![]);
        stage
    }

    fn input(&mut self, input: Input) {
        for effect in self.core.step(input, test_objects::at(self.second)) {
            match effect {
                Effect::Render(request) => self.renders.push(request),
                Effect::Patch(request) => self.patches.push(request),
                Effect::WriteState(record) => self.writes.push(*record),
                Effect::Notify(notice) => self.told.push(notice),
                _ => {}
            }
        }
    }

    fn watch(&mut self, kind: WatchKind, event: WatchEvent) {
        self.input(Input::Watch { source: WatchSource { kind, namespace: None }, event });
    }

    fn list(&mut self, kind: WatchKind, objects: Vec<Object>) {
        self.watch(kind, WatchEvent::ResetStarted);
        for object in objects {
            self.watch(kind, WatchEvent::Apply(object));
        }
        self.watch(kind, WatchEvent::ResetDone);
    }

    fn pass(&mut self, seconds: i64) {
        self.second += seconds;
        self.input(Input::Timer);
    }

    /// Answers every rendering that is asked for now.
    fn render(&mut self) {
        for request in std::mem::take(&mut self.renders) {
            let rendering =
                Rendering { template: shape(None), rendered: shape(Some("proxy:2")), ..Rendering::default() };
            let confirmation =
                Confirmation { workload: workload(&self.uid), history: vec![], templates: BTreeMap::new() };
            self.input(Input::Rendered(Box::new(RenderReply {
                took: Duration::ZERO,
                ticket: request.ticket,
                outcome: RenderOutcome::Rendered(rendering),
                confirmation: request.confirm.then(|| Box::new(confirmation)),
            })));
        }
    }

    fn patch(&mut self) {
        for request in std::mem::take(&mut self.patches) {
            let outcome = PatchOutcome::Patched { generation: 3 };
            self.input(Input::Patched(PatchReply { ticket: request.ticket, outcome }));
        }
    }

    /// What is written is read again.
    fn write(&mut self) {
        for record in std::mem::take(&mut self.writes) {
            let resource_version = Some(self.second.to_string().into());
            self.input(Input::State(Some(StateRecord { resource_version, ..record })));
        }
    }

    /// A drifted workload comes, and gets as far as this.
    fn reach(&mut self, state: State) {
        for ordinal in 0..2 {
            self.watch(PODS, WatchEvent::Apply(Object::Pod(pod(&self.uid, ordinal, false))));
        }
        self.watch(SETS, WatchEvent::Apply(Object::Workload(Box::new(workload(&self.uid)))));
        for step in STATES.into_iter().filter(|step| *step <= state) {
            match step {
                State::FirstRenderingAsked => assert_eq!(self.renders.len(), 1),
                State::WaitsForTheSecond | State::Confirming | State::WaitsForTheGuard => self.render(),
                State::SecondRenderingAsked => self.pass(40),
                State::Patching => {
                    self.input(Input::Guard(true));
                    assert_eq!(self.patches.len(), 1, "{:?}", self.told);
                }
                State::Rolling => self.patch(),
                State::Crashing => self.watch(PODS, WatchEvent::Apply(Object::Pod(pod(&self.uid, 0, true)))),
            }
        }
        let judged = self.core.verdicts.cases().count();
        assert_eq!(judged, 1, "{state:?}");
        assert_eq!(self.core.rolling(), state >= State::Confirming, "{state:?}: {:?}", self.told);
    }

    fn leave(&mut self, exit: Exit) {
        let key = |name: &str| ObjectKey { namespace: "shop".into(), name: name.into() };
        match exit {
            Exit::Deleted => {
                self.watch(SETS, WatchEvent::Delete(key("db")));
                for ordinal in 0..2 {
                    self.watch(PODS, WatchEvent::Delete(key(&format!("db-{ordinal}"))));
                }
            }
            Exit::ByItsKind => {
                self.input(Input::Policy(Box::new(Policy { kinds: [Kind::DEPLOYMENT].into(), ..policy() })));
            }
            Exit::ByItsNamespace => {
                let mut other = policy();
                other.filter.exclude_namespaces = [crate::core::model::Glob::new("sh*")].into();
                self.input(Input::Policy(Box::new(other)));
            }
        }
    }
}

#[test]
fn nothing_is_remembered_of_a_workload_that_leaves_in_any_state() {
    for state in STATES {
        for exit in [Exit::Deleted, Exit::ByItsKind, Exit::ByItsNamespace] {
            let mut stage = Stage::new();
            stage.reach(state);
            let at = format!("{exit:?} while {state:?}");
            stage.leave(exit);
            // What is outstanding is answered all the same.
            stage.render();
            stage.patch();
            stage.pass(1);
            let Core { verdicts, renders, rollouts, reports, .. } = &stage.core;
            assert_eq!(
                verdicts.sizes(),
                [0; 7],
                "{at}: cases, affected, rechecks, candidates, evidence, absences, failing"
            );
            assert_eq!(renders.sizes(), [0; 5], "{at}: queue, older, read ahead, in flight, pending");
            assert_eq!(rollouts.sizes(), [0; 5], "{at}: soaking, running, ledger, pending writes, concerned");
            assert_eq!(reports.sizes()[0], 0, "{at}: reports");
            assert!(!stage.core.rolling(), "{at}");
            let ended = stage
                .told
                .iter()
                .any(|notice| matches!(notice, Notice::RolloutEnded { outcome: Outcome::Superseded, .. }));
            assert_eq!(ended, state >= State::Patching, "{at}: a rollout that was begun is told to have ended");
        }
    }
}

/// The twin: one that stays is still known, and its rollout goes on.
#[test]
fn what_stays_is_remembered_while_another_one_leaves() {
    for state in STATES {
        let mut stage = Stage::new();
        stage.reach(state);
        let rolling = stage.core.rolling();
        let other = WorkloadSnapshot { uid: "uid-other".into(), ..test_objects::workload(Kind::STATEFUL_SET, "other") };
        stage.watch(SETS, WatchEvent::Apply(Object::Workload(Box::new(other))));
        stage.watch(SETS, WatchEvent::Delete(ObjectKey { namespace: "shop".into(), name: "other".into() }));
        assert_eq!(stage.core.verdicts.cases().count(), 1, "{state:?}");
        assert_eq!(stage.core.rolling(), rolling, "{state:?}");
        let report = stage.core.report(test_objects::at(stage.second));
        assert_eq!(report.workloads.len(), 1, "{state:?}");
        if state >= State::Confirming {
            assert_eq!(report.workloads[0].verdict, Verdict::Drifted, "{state:?}");
        }
    }
}

/// Workloads come and go, in every state: nothing grows.
#[test]
fn a_day_of_coming_and_going_leaves_nothing() {
    let mut stage = Stage::new();
    for round in 0..200_usize {
        stage.uid = format!("uid-db-{round}");
        stage.reach(STATES[round % STATES.len()]);
        stage.leave(Exit::Deleted);
        stage.render();
        stage.patch();
        stage.pass(400);
        // The probe of before, and the one that is sent now.
        stage.input(Input::Guard(true));
        stage.input(Input::Guard(true));
        stage.write();
        stage.told.clear();
    }
    let Core { verdicts, renders, rollouts, reports, .. } = &stage.core;
    assert_eq!((verdicts.sizes(), renders.sizes(), rollouts.sizes()), ([0; 7], [0; 5], [0; 5]));
    assert_eq!(reports.sizes()[0], 0);
}
