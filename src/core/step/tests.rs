//! When the core asks to be woken, and what it forgets.

mod guard;

use super::*;
use crate::core::{
    config::Policy,
    model::{owner::Kind, test_objects},
};

/// What is asked for at this second by one that has work left over, and had asked to be woken at that second.
fn asked(second: i64, set: Option<u64>) -> Vec<Effect> {
    let mut core = Core::new(Policy::default(), [], 0, test_objects::at(0));
    core.lifecycle.started = true;
    core.verdicts.mark([test_objects::key(Kind::DEPLOYMENT, "shop", "web")]);
    core.wake = set.map(|second| test_objects::at(0).elapsed + Duration::from_secs(second));
    core.set_alarm(test_objects::at(second));
    core.take_effects()
}

#[test]
fn an_alarm_that_has_gone_off_is_set_again_for_the_same_moment() {
    let now = test_objects::at(60).elapsed;
    assert_eq!(asked(60, None), [Effect::WakeAt(now)]);
    assert_eq!(asked(60, Some(60)), [Effect::WakeAt(now)]);
    assert_eq!(asked(60, Some(50)), [Effect::WakeAt(now)]);
}

#[test]
fn an_alarm_that_is_still_to_go_off_is_not_set_twice() {
    let policy = Policy { mode: Mode::Enforce, ..Policy::default() };
    let mut core = Core::new(policy, [], 0, test_objects::at(0));
    _ = core.step(Input::Leadership(true), test_objects::at(0));
    let alarms = |effects: Vec<Effect>| effects.into_iter().filter(|e| matches!(e, Effect::WakeAt(_))).count();
    assert_eq!(alarms(core.step(Input::Guard(true), test_objects::at(0))), 1);
    assert_eq!(alarms(core.step(Input::Timer, test_objects::at(1))), 0);
}
