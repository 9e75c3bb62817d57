use crate::core::model::rollout_status::*;
use crate::core::model::{object::Counts, test_objects};

fn waiting(w: &WorkloadSnapshot) -> String {
    match progress(w) {
        Progress::Waiting(text) => text,
        Progress::Done => "done".to_owned(),
        Progress::Failed(why) => format!("failed: {why}"),
    }
}

fn counts(kind: Kind, [desired, current, updated, ready, available]: [u32; 5]) -> WorkloadSnapshot {
    WorkloadSnapshot {
        counts: Counts { desired, current, updated, ready, available },
        ..test_objects::workload(kind, "web")
    }
}

#[test]
fn a_deployment_is_done_when_all_are_new_the_old_are_gone_and_all_are_available() {
    for (numbers, says, exchanges) in [
        ([3, 3, 0, 3, 3], "0 of 3 updated", true),
        ([3, 4, 2, 3, 3], "2 of 3 updated", true),
        ([3, 4, 3, 4, 4], "1 old replicas are being removed", true),
        ([3, 3, 3, 2, 2], "2 of 3 updated Pods available", false),
        ([3, 3, 3, 3, 3], "done", false),
        ([0, 0, 0, 0, 0], "done", false),
    ] {
        let w = counts(Kind::DEPLOYMENT, numbers);
        assert_eq!((waiting(&w).as_str(), rollout_in_progress(&w)), (says, exchanges), "{numbers:?}");
    }
}

#[test]
fn a_daemon_set_is_done_when_all_are_new_and_available() {
    for (numbers, says, exchanges) in [
        ([3, 3, 1, 3, 3], "1 of 3 updated", true),
        ([3, 3, 3, 2, 2], "2 of 3 updated Pods available", false),
        // Short of Pods, none of them old: nothing is being exchanged.
        ([3, 2, 2, 2, 2], "2 of 3 updated", false),
    ] {
        let w = counts(Kind::DAEMON_SET, numbers);
        assert_eq!((waiting(&w).as_str(), rollout_in_progress(&w)), (says, exchanges), "{numbers:?}");
    }
}

#[test]
fn a_stateful_set_is_done_when_all_are_ready_and_of_one_revision() {
    let revised = |numbers, partition| WorkloadSnapshot {
        update_revision: "r2".into(),
        strategy: Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition },
        ..counts(Kind::STATEFUL_SET, numbers)
    };
    for (w, says, exchanges) in [
        (counts(Kind::STATEFUL_SET, [3, 3, 3, 3, 3]), "done", false),
        (counts(Kind::STATEFUL_SET, [3, 3, 3, 2, 2]), "2 of 3 Pods ready", false),
        (revised([3, 3, 1, 2, 2], 0), "2 of 3 Pods ready", true),
        (revised([3, 3, 1, 3, 3], 0), "1 of 3 updated", true),
        (revised([3, 3, 1, 3, 3], 1), "1 of 2 updated (partition 1)", true),
        (revised([3, 3, 2, 3, 3], 1), "done", false),
        (revised([3, 3, 0, 3, 3], 9), "done", false),
    ] {
        assert_eq!(
            (waiting(&w).as_str(), rollout_in_progress(&w)),
            (says, exchanges),
            "{:?} {:?}",
            w.counts,
            w.strategy
        );
    }
}

#[test]
fn what_the_controller_has_not_seen_is_neither_done_nor_failed() {
    for kind in Kind::all() {
        let w =
            WorkloadSnapshot { observed_generation: 1, deadline_exceeded: true, ..test_objects::workload(kind, "web") };
        assert_eq!(waiting(&w), "waiting for the controller to observe the change");
        assert!(rollout_in_progress(&w));
    }
}

#[test]
fn a_rollout_that_was_given_up_or_paused_is_no_exchange() {
    let half = counts(Kind::DEPLOYMENT, [3, 4, 1, 3, 3]);
    assert!(rollout_in_progress(&half));
    let given_up = WorkloadSnapshot { deadline_exceeded: true, ..half.clone() };
    assert_eq!((rollout_in_progress(&given_up), healthy(&given_up)), (false, false));
    assert_eq!(waiting(&given_up), "failed: it exceeded its progress deadline");
    assert!(!rollout_in_progress(&WorkloadSnapshot { paused: true, ..half.clone() }));
    assert!(!rollout_in_progress(&WorkloadSnapshot { strategy: Strategy::OnDelete, ..half }));
}

#[test]
fn healthy_is_every_wanted_pod_ready_and_available() {
    assert!(healthy(&test_objects::workload(Kind::DEPLOYMENT, "web")));
    for numbers in [[3, 3, 3, 2, 3], [3, 3, 3, 3, 2]] {
        assert!(!healthy(&counts(Kind::DEPLOYMENT, numbers)));
    }
}

#[test]
fn an_argo_rollout_is_restarted_when_its_controller_says_so_and_all_are_available() {
    let stamp = |second| crate::core::model::Stamp {
        timestamp: test_objects::at(second).wall,
        reason: String::new(),
        fingerprint: None,
    };
    let w = WorkloadSnapshot { restarted: Some(test_objects::at(1).wall), ..counts(Kind::ROLLOUT, [3; 5]) };
    let asked = |second| {
        let template = crate::core::model::TemplateSnapshot { stamp: Some(stamp(second)), ..w.template.clone() };
        WorkloadSnapshot { template, ..w.clone() }
    };
    assert_eq!((progress(&asked(1)), rollout_in_progress(&asked(1))), (Progress::Done, false));
    assert!(matches!(progress(&asked(2)), Progress::Waiting(_)) && rollout_in_progress(&asked(2)));
    let never = WorkloadSnapshot { restarted: None, ..asked(1) };
    assert!(matches!(progress(&never), Progress::Waiting(_)));
    let short = WorkloadSnapshot { counts: Counts { available: 2, ..w.counts }, ..asked(1) };
    assert!(
        matches!(progress(&short), Progress::Waiting(_)) && !rollout_in_progress(&short),
        "short of Pods is no rollout in progress"
    );
}

#[test]
fn the_steps_of_an_argo_rollout_are_its_own_and_an_aborted_one_runs_its_stable_revision() {
    let canary = WorkloadSnapshot { update_revision: "r2".into(), ..counts(Kind::ROLLOUT, [3, 3, 1, 3, 3]) };
    assert!(rollout_in_progress(&canary));
    assert!(!rollout_in_progress(&WorkloadSnapshot { paused: true, ..canary.clone() }));
    let aborted = WorkloadSnapshot { deadline_exceeded: true, ..canary };
    assert!(!rollout_in_progress(&aborted) && !healthy(&aborted));
    assert!(matches!(progress(&aborted), Progress::Failed(why) if why.contains("aborted")));
}

#[test]
fn a_described_kind_is_rolling_until_its_status_says_that_all_are_updated() {
    let kind = test_objects::described(|_| {});
    assert_eq!((progress(&counts(kind, [3; 5])), rollout_in_progress(&counts(kind, [3; 5]))), (Progress::Done, false));
    for (numbers, says) in [
        ([3, 3, 2, 3, 3], "2 of 3 updated"),
        ([3, 3, 0, 3, 3], "0 of 3 updated"),
        ([3, 4, 3, 3, 3], "1 old replicas are being removed"),
    ] {
        let w = counts(kind, numbers);
        assert_eq!((waiting(&w).as_str(), rollout_in_progress(&w)), (says, true));
        // Which Pods are of the present template is not known, whoever stopped it.
        assert!(rollout_in_progress(&WorkloadSnapshot { paused: true, ..w }));
    }
    let short = counts(kind, [3, 3, 3, 2, 2]);
    assert_eq!((waiting(&short).as_str(), rollout_in_progress(&short)), ("2 of 3 updated Pods available", false));
}

#[test]
fn a_described_kind_that_is_restarted_by_a_field_is_done_when_its_status_says_so() {
    let by_field = |described: &mut crate::core::model::owner::Described| {
        described.restart = Some("spec.restartAt".to_owned());
        described.status.restarted = Some("status.restarted".to_owned());
    };
    let stamp = test_objects::stamp(test_objects::at(2).wall, "");
    let w = counts(test_objects::described(by_field), [3; 5]);
    let template = crate::core::model::TemplateSnapshot { stamp: Some(stamp), ..w.template.clone() };
    let asked = WorkloadSnapshot { template, restarted: Some(test_objects::at(1).wall), ..w };
    assert!(matches!(progress(&asked), Progress::Waiting(_)) && rollout_in_progress(&asked));
    let done = WorkloadSnapshot { restarted: Some(test_objects::at(2).wall), ..asked };
    assert_eq!((progress(&done), rollout_in_progress(&done)), (Progress::Done, false));
}

#[test]
fn a_clone_set_is_done_when_all_but_what_its_partition_keeps_are_updated_and_ready() {
    let clone_set = |numbers, partition| WorkloadSnapshot {
        update_revision: "r2".into(),
        strategy: Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition },
        ..counts(Kind::CLONE_SET, numbers)
    };
    assert!(matches!(progress(&clone_set([5, 5, 2, 5, 5], 2)), Progress::Waiting(_)));
    assert_eq!(progress(&clone_set([5, 5, 3, 5, 5], 2)), Progress::Done);
    assert!(matches!(progress(&clone_set([5, 5, 3, 4, 4], 2)), Progress::Waiting(_)));
}
