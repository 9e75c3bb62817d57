//! When the core asks to be woken.

use crate::core::model::{owner::Kind, test_objects};
use crate::core::step::*;

/// What is asked for at this second by one that has work left over, and had asked to be woken at that second.
fn asked(second: i64, set: Option<u64>) -> Vec<Effect> {
    let mut core = Core::new(Policy::default(), [], 0, test_objects::at(0));
    core.started = true;
    core.dirty.insert(test_objects::key(Kind::DEPLOYMENT, "shop", "web"));
    core.wake = set.map(|second| test_objects::at(0).elapsed + Duration::from_secs(second));
    core.set_alarm(test_objects::at(second));
    core.effects
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
    let mut core = Core::new(Policy::default(), [], 0, test_objects::at(0));
    let later = test_objects::at(90).elapsed;
    core.looks.insert((later, test_objects::key(Kind::DEPLOYMENT, "shop", "web")));
    core.set_alarm(test_objects::at(60));
    assert_eq!(std::mem::take(&mut core.effects), [Effect::WakeAt(later)]);
    core.set_alarm(test_objects::at(61));
    assert_eq!(core.effects, []);
}
