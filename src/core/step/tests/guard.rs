//! Whether the API server holds us to dry runs, and what is not begun without that.

use std::{collections::BTreeMap, sync::Arc, time::Duration};

use jiff::Timestamp;
use serde_json::json;

use crate::core::{
    compare::Rendering,
    config::{Mode, Policy},
    io::{
        Confirmation, Effect, Input, PatchRequest, RenderOutcome, RenderReply, RenderRequest, StateRecord, WatchEvent,
        WatchKind, WatchSource,
    },
    model::{
        Counts, Object, ObjectKey, Owner, PodSnapshot, PodState, WorkloadSnapshot, owner::Kind, shape::PodShape,
        test_objects, time::Now, words::Gate,
    },
    step::Core,
};

fn at(second: u64) -> Now {
    let second = i64::try_from(second).unwrap();
    Now {
        elapsed: std::time::Duration::from_secs(second.unsigned_abs()),
        wall: Timestamp::from_second(second).unwrap(),
    }
}

fn policy() -> Policy {
    Policy { mode: Mode::Enforce, max_rollouts_per_hour: None, canary: 0, ..Policy::default() }
}

/// A core that leads and watches nothing.
fn leading(policy: Policy) -> (Core, Vec<Effect>) {
    let mut core = Core::new(policy, [], 0, at(0));
    let effects = core.step(Input::Leadership(true), at(0));
    (core, effects)
}

fn probes(effects: &[Effect]) -> usize {
    effects.iter().filter(|effect| **effect == Effect::ProbeGuard).count()
}

#[test]
fn in_report_mode_the_guard_is_asked_for_and_nothing_waits_for_it() {
    let (mut core, effects) = leading(Policy { mode: Mode::Report, ..policy() });
    assert_eq!(probes(&effects), 1);
    assert_eq!(core.report(at(1)).guard, None, "nobody answered yet, so nothing is told");
    _ = core.step(Input::Guard(false), at(1));
    assert_eq!(core.report(at(1)).guard, Some(false));
    assert_eq!(probes(&core.step(Input::Timer, at(59))), 0, "nothing is in a hurry");
    assert_eq!(probes(&core.step(Input::Timer, at(60))), 1);
    _ = core.step(Input::Guard(true), at(60));
    assert_eq!(core.report(at(60)).guard, Some(true));
    for policy in [Policy { without_guard: true, ..policy() }, Policy { one_shot: true, ..policy() }] {
        let (core, effects) = leading(Policy { mode: Mode::Report, ..policy });
        assert_eq!((probes(&effects), core.report(at(0)).guard), (0, None));
    }
}

#[test]
fn the_daemon_probes_at_the_start_every_minute_and_soon_after_a_failure() {
    let (mut core, effects) = leading(policy());
    assert_eq!(probes(&effects), 1);
    assert_eq!(probes(&core.step(Input::Timer, at(30))), 0, "the answer is outstanding");
    let effects = core.step(Input::Guard(true), at(31));
    assert_eq!((probes(&effects), core.report(at(31)).guard), (0, Some(true)));
    assert!(effects.contains(&Effect::WakeAt(at(60).elapsed)));
    assert_eq!(probes(&core.step(Input::Timer, at(59))), 0);
    assert_eq!(probes(&core.step(Input::Timer, at(60))), 1);
    assert_eq!(probes(&core.step(Input::Guard(false), at(60))), 0);
    assert_eq!(core.report(at(60)).guard, Some(false));
    assert_eq!(probes(&core.step(Input::Timer, at(69))), 0);
    assert_eq!(probes(&core.step(Input::Timer, at(70))), 1);
}

#[test]
fn a_refusal_is_believed_for_65_seconds_from_its_question() {
    let (mut core, _) = leading(policy());
    _ = core.step(Input::Guard(true), at(20));
    assert_eq!(core.report(at(64)).guard, Some(true));
    assert_eq!(core.report(at(65)).guard, Some(false));
}

#[test]
fn nobody_probes_who_needs_no_guard_or_does_not_lead() {
    let cases = [Policy { one_shot: true, ..policy() }, Policy { without_guard: true, ..policy() }];
    for policy in cases {
        let (mut core, effects) = leading(policy);
        assert_eq!(probes(&effects) + probes(&core.step(Input::Timer, at(100))), 0);
        assert_eq!(core.report(at(100)).guard, None);
    }
    let mut core = Core::new(policy(), [], 0, at(0));
    assert_eq!(probes(&core.step(Input::Timer, at(1))), 0);
    assert_eq!(probes(&core.step(Input::Leadership(true), at(2))), 1);
    assert_eq!(probes(&core.step(Input::Guard(true), at(2))), 0);
    _ = core.step(Input::Shutdown, at(3));
    assert_eq!(probes(&core.step(Input::Timer, at(100))), 0);
}

// A rollout ----------------------------------------------------------------------------------------------------------

fn shape(proxy: &str) -> Arc<PodShape> {
    let app = json!({ "name": "app", "image": "app:1" });
    let mut containers = vec![app];
    if !proxy.is_empty() {
        containers.push(json!({ "name": "proxy", "image": proxy }));
    }
    Arc::new(PodShape::from_pod(&json!({ "spec": { "containers": containers } })))
}

fn workload() -> WorkloadSnapshot {
    WorkloadSnapshot {
        resource_version: "41".into(),
        counts: Counts { desired: 2, current: 2, updated: 2, ready: 2, available: 2 },
        current_revision: "db-1".into(),
        update_revision: "db-1".into(),
        ..test_objects::workload(Kind::STATEFUL_SET, "db")
    }
}

fn pod(ordinal: u32) -> PodSnapshot {
    PodSnapshot {
        key: ObjectKey { namespace: "shop".into(), name: format!("db-{ordinal}").into() },
        uid: format!("pod-{ordinal}").into(),
        owner: Some(Arc::new(Owner {
            api_version: "apps/v1".into(),
            kind: "StatefulSet".into(),
            name: "db".into(),
            uid: "uid-db".into(),
        })),
        revision: "db-1".into(),
        stamped: None,
        template_generation: 0,
        service_account: "default".into(),
        created: Timestamp::from_second(-100).unwrap(),
        node: None,
        state: PodState { ready: true, ..PodState::default() },
        shape: shape("proxy:1"),
        patched_images: vec![],
    }
}

/// A first list; what the core wants after it.
fn list(core: &mut Core, kind: WatchKind, objects: Vec<Object>) -> Vec<Effect> {
    let applied = objects.into_iter().map(WatchEvent::Apply);
    let events = std::iter::once(WatchEvent::ResetStarted).chain(applied).chain([WatchEvent::ResetDone]);
    let source = WatchSource { kind, namespace: None };
    events.flat_map(|event| core.step(Input::Watch { source: source.clone(), event }, at(0))).collect()
}

fn renders(effects: &[Effect]) -> Option<RenderRequest> {
    effects.iter().find_map(|effect| if let Effect::Render(request) = effect { Some(request.clone()) } else { None })
}

fn patches(effects: &[Effect]) -> Option<&PatchRequest> {
    effects.iter().find_map(|effect| if let Effect::Patch(request) = effect { Some(request) } else { None })
}

fn answer(request: &RenderRequest) -> Input {
    let rendering = Rendering { template: shape(""), rendered: shape("proxy:2"), ..Rendering::default() };
    let confirmation = Confirmation { workload: workload(), history: vec![], templates: BTreeMap::new() };
    Input::Rendered(Box::new(RenderReply {
        took: Duration::ZERO,
        ticket: request.ticket,
        outcome: RenderOutcome::Rendered(rendering),
        confirmation: request.confirm.then(|| Box::new(confirmation)),
    }))
}

/// A core in which a drifted StatefulSet is about to be confirmed, and what it asked for in that step, at 40 s. The
/// probe of the start was refused as it should be.
fn confirming() -> (Core, Vec<Effect>) {
    let kinds = [WatchKind::Pods, WatchKind::Workloads(Kind::STATEFUL_SET), WatchKind::Namespaces];
    let mut core = Core::new(policy(), kinds.map(|kind| WatchSource { kind, namespace: None }), 0, at(0));
    _ = core.step(Input::Leadership(true), at(0));
    _ = core.step(Input::Guard(true), at(0));
    let record = StateRecord { resource_version: Some("1".into()), ..StateRecord::default() };
    _ = core.step(Input::State(Some(record)), at(0));
    _ = list(&mut core, kinds[2], vec![Object::Namespace(crate::core::model::test_objects::namespace("shop", "1"))]);
    _ = list(&mut core, kinds[0], (0..2).map(|ordinal| Object::Pod(pod(ordinal))).collect());
    let effects = list(&mut core, kinds[1], vec![Object::Workload(Box::new(workload()))]);
    let request = renders(&effects).expect("a first rendering");
    _ = core.step(answer(&request), at(0));
    let request = renders(&core.step(Input::Timer, at(40))).expect("a second rendering");
    let effects = core.step(answer(&request), at(40));
    assert!(renders(&effects).is_some_and(|request| request.confirm), "{effects:?}");
    (core, effects)
}

#[test]
fn a_batch_is_patched_after_a_probe_of_its_own() {
    let (mut core, effects) = confirming();
    assert_eq!(probes(&effects), 1, "the probe of the start is fresh, and still older than the batch");
    let effects = core.step(answer(&renders(&effects).unwrap()), at(41));
    assert!(patches(&effects).is_none());
    let effects = core.step(Input::Guard(true), at(42));
    assert!(patches(&effects).is_some());
}

#[test]
fn what_waits_for_its_probe_is_held_when_the_guard_is_gone() {
    let (mut core, effects) = confirming();
    _ = core.step(answer(&renders(&effects).unwrap()), at(41));
    let effects = core.step(Input::Guard(false), at(42));
    assert!(patches(&effects).is_none());
    assert!(!core.rolling());
    let report = core.report(at(42));
    assert_eq!((report.guard, report.workloads[0].gate), (Some(false), Some(Gate::GuardMissing)));
    // It stays held, whatever else happens.
    for second in 43..50 {
        assert!(patches(&core.step(Input::Timer, at(second))).is_none());
        assert!(!core.rolling());
    }
}

#[test]
fn a_probe_that_is_not_answered_in_time_stops_the_patch() {
    let (mut core, effects) = confirming();
    _ = core.step(Input::Guard(true), at(40));
    // The confirmation takes so long that the next probe is out, too.
    let confirmation = answer(&renders(&effects).unwrap());
    assert_eq!(probes(&core.step(Input::Timer, at(100))), 1);
    let effects = core.step(confirmation, at(105));
    assert!(patches(&effects).is_none() && !core.rolling(), "{effects:?}");
}
