//! What was tried before, and what a person's `retry` makes of it.

use crate::core::rollout::gate::tests::*;

#[test]
fn a_stamp_that_is_gone_from_an_unchanged_template_holds_until_a_person_says_retry() {
    let days = 24 * 3600;
    let reverted = |change: &dyn Fn(&mut Case)| {
        with(|case| {
            case.tried(3 * days, "v1:other");
            case.history[0].template = case.workload.template.hash.clone();
            change(case);
        })
        .gate()
    };
    assert_eq!(reverted(&|_| {}), Some(Gate::Reverted));
    let live = |case: &mut Case| case.workload.template.stamp = Some(case.history[0].stamp.clone());
    assert_eq!(reverted(&live), None);
    assert_eq!(reverted(&|case| case.workload.template.hash = "of its owner".into()), None);
    assert_eq!(reverted(&|case| case.history[0].stamp.fingerprint = None), None, "the predecessor's");
    assert_eq!(reverted(&|case| case.retried = Some(test_objects::at(-days).wall)), None);
    assert_eq!(reverted(&|case| case.retried = Some(test_objects::at(-4 * days).wall)), Some(Gate::Reverted));
}

#[test]
fn a_person_may_lift_the_cool_down_but_not_the_daily_cap() {
    let mut case = with(|case| {
        case.tried(3600, "v1:target");
        case.retried = Some(test_objects::at(-60).wall);
    });
    assert_eq!(case.gate(), None);
    case.tried(7200, "v1:target");
    assert_eq!(case.gate(), Some(Gate::DailyCap));
}

#[test]
fn what_was_tried_last_is_not_tried_again_but_what_was_tried_before_it_may_be() {
    let days = 24 * 3600;
    let again = with(|case| {
        case.tried(5 * days, "v1:target");
        case.tried(3 * days, "v1:other");
    });
    assert_eq!(again.gate(), None);
    let last = with(|case| {
        case.tried(5 * days, "v1:other");
        case.tried(3 * days, "v1:target");
    });
    assert_eq!(last.gate(), Some(Gate::AlreadyTried));
    assert_eq!(with(|case| case.verdict = Verdict::NonConvergent).gate(), Some(Gate::AlreadyTried));
}
