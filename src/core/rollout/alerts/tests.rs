//! Which alerts block, what an answer says, and for how long.

use std::{collections::BTreeMap, time::Duration};

use serde_json::{Value, json};

use super::{Alarm, AlertGate, CALM};
use crate::core::{
    config::{AlertMatcher, Mode, Policy},
    io::AlertsAnswer,
    model::test_objects,
};

fn labels(of: &[(&str, &str)]) -> BTreeMap<String, String> {
    of.iter().map(|(label, value)| ((*label).to_owned(), (*value).to_owned())).collect()
}

fn matcher(text: &str) -> AlertMatcher {
    text.parse().unwrap()
}

#[test]
fn all_conditions_of_a_matcher_must_hold() {
    let of_shop = matcher("severity=crit*, team!=dev");
    assert!(of_shop.matches(&labels(&[("severity", "critical"), ("team", "shop")])));
    // A label that is not there is empty.
    assert!(of_shop.matches(&labels(&[("severity", "critical")])));
    assert!(!of_shop.matches(&labels(&[("severity", "critical"), ("team", "dev")])));
    assert!(!of_shop.matches(&labels(&[("severity", "warning"), ("team", "shop")])));
    assert!(!of_shop.matches(&labels(&[("team", "shop")])));
    assert!(matcher("team=").matches(&labels(&[])) && !matcher("team=").matches(&labels(&[("team", "shop")])));
    assert_eq!(of_shop.to_string(), "severity=crit*,team!=dev");
    assert_eq!(matcher(&of_shop.to_string()), of_shop);
}

#[test]
fn our_own_alerts_do_not_block_unless_somebody_names_them() {
    let own = labels(&[("severity", "critical"), ("alertname", "SidecarDriftRejected")]);
    let other = labels(&[("severity", "critical"), ("alertname", "KubeAPIDown")]);
    assert!(!AlertMatcher::critical().matches(&own) && AlertMatcher::critical().matches(&other));
    assert!(matcher("alertname=Sidecar*").matches(&own));
}

#[test]
fn what_is_no_matcher_says_what_one_is() {
    for text in
        ["", "critical", "=x", "a=b,", "a-b=c", "1a=b", "severity=~critical|page", "severity=\"critical\"", "a==b"]
    {
        let error = text.parse::<AlertMatcher>().unwrap_err();
        assert!(error.contains("such as `severity=critical`"), "{text}: {error}");
    }
}

fn read(answer: &Value) -> AlertsAnswer {
    AlertsAnswer::read(answer.to_string().as_bytes(), &[matcher("severity=critical"), matcher("page=yes")])
}

fn firing(names: &[&str]) -> AlertsAnswer {
    AlertsAnswer::Firing(names.iter().map(|name| (*name).into()).collect())
}

#[test]
fn an_answer_names_those_that_fire_and_match() {
    let alert = |name: &str, severity: &str, state: &str| {
        json!({ "labels": { "alertname": name, "severity": severity }, "annotations": {}, "state": state,
                "activeAt": "2026-03-02T10:00:00Z", "value": "1e+00" })
    };
    let answer = |alerts: Value| json!({ "status": "success", "data": { "alerts": alerts } });
    let all = json!([
        alert("A", "critical", "firing"),
        alert("A", "critical", "firing"),
        alert("B", "critical", "pending"),
        alert("C", "warning", "firing"),
        { "labels": { "page": "yes" }, "state": "firing" },
        alert("D", "critical", "a state of another version"),
    ]);
    assert_eq!(read(&answer(all)), firing(&["A", "D", "an alert without a name"]));
    assert_eq!(read(&answer(json!([]))), firing(&[]));
    let many: Vec<_> = (0..50).map(|n| alert(&format!("A{n}"), "critical", "firing")).collect();
    let AlertsAnswer::Firing(names) = read(&answer(many.into())) else { panic!("they fire") };
    assert_eq!(names.len(), 10);
}

#[test]
fn what_is_no_answer_of_prometheus_says_nothing() {
    for wrong in [
        json!({ "status": "error", "error": "x" }),
        json!({ "status": "success" }),
        json!({ "status": "success", "data": { "groups": [] } }),
        json!({ "status": "success", "data": { "alerts": [{ "labels": {} }] } }),
        // Alertmanager's.
        json!([{ "labels": { "severity": "critical" }, "status": { "state": "active" } }]),
        Value::Null,
    ] {
        assert!(matches!(read(&wrong), AlertsAnswer::Unknown { .. }), "{wrong}");
    }
}

const S: Duration = Duration::from_secs(1);

/// What speaks against rollouts at that second, after these answers to questions of these seconds.
fn against(answers: &[(u32, AlertsAnswer)], second: u32) -> Option<String> {
    let mut alerts = AlertGate::default();
    for (asked, answer) in answers {
        alerts.answered(S * *asked, answer.clone());
    }
    alerts.against(S * second)
}

#[test]
fn two_minutes_without_any_let_rollouts_begin_and_less_does_not() {
    let quiet: Vec<_> = (0..=8).map(|n| (100 + n * 15, firing(&[]))).collect();
    assert!(against(&quiet[..8], 218).unwrap().starts_with("none fires any more"));
    assert_eq!(against(&quiet, 220), None);
    assert!(against(&[], 220).unwrap().contains("has not answered yet"));
}

#[test]
fn one_that_fires_an_unknown_answer_and_a_gap_begin_the_two_minutes_anew() {
    let quiet = |from: u32, to: u32| (from / 15..=to / 15).map(|n| (n * 15, firing(&[]))).collect::<Vec<_>>();
    let interrupted = |by: (u32, AlertsAnswer)| [quiet(0, 300), vec![by], quiet(330, 390)].concat();
    assert_eq!(against(&quiet(0, 390), 390), None);
    for by in [firing(&["A"]), AlertsAnswer::Unknown { message: "x".to_owned() }] {
        assert!(against(&interrupted((315, by.clone())), 390).is_some(), "{by:?}");
        assert_eq!(against(&[interrupted((315, by)), quiet(405, 450)].concat(), 450), None);
    }
    assert!(against(&[quiet(0, 300), quiet(360, 390)].concat(), 390).is_some());
}

#[test]
fn what_fires_is_named_and_an_old_answer_counts_for_nothing() {
    assert_eq!(against(&[(1000, firing(&["B", "A"]))], 1001).unwrap(), "A, B are firing");
    assert_eq!(against(&[(1000, firing(&["A"]))], 1001).unwrap(), "A is firing");
    let quiet: Vec<_> = (0..=20).map(|n| (n * 15, firing(&[]))).collect();
    assert_eq!(against(&quiet, 349), None);
    assert_eq!(against(&quiet, 350).unwrap(), "Prometheus has not answered for 50 s");
}

/// Whether alerts hold rollouts at that second, after these answers.
fn alarm(policy: &Policy, answers: &[(u32, AlertsAnswer)], second: i64) -> Alarm {
    let mut alerts = AlertGate::default();
    for (asked, answer) in answers {
        alerts.answered(test_objects::at(0).elapsed + S * *asked, answer.clone());
    }
    alerts.alarm(policy, test_objects::at(second).elapsed)
}

#[test]
fn an_alarm_that_calms_down_ends_by_itself_and_one_that_does_not_lasts() {
    let heeds = Policy { mode: Mode::Enforce, blocking_alerts: vec![matcher("page=yes")], ..Policy::default() };
    let quiet: Vec<_> = (0..=8).map(|n| (n * 15, firing(&[]))).collect();
    let calm = test_objects::at(0).elapsed + CALM;
    assert_eq!(alarm(&heeds, &quiet, 119), Alarm::Until(calm));
    assert_eq!(alarm(&heeds, &quiet, 120), Alarm::None);
    assert_eq!(alarm(&heeds, &[], 120), Alarm::On);
    assert_eq!(alarm(&heeds, &[quiet.as_slice(), &[(121, firing(&["A"]))]].concat(), 122), Alarm::On);
    // Nobody asked for it; nothing would be begun; a person is there.
    for other in [
        Policy { blocking_alerts: Vec::new(), ..heeds.clone() },
        Policy { mode: Mode::Report, ..heeds.clone() },
        Policy { one_shot: true, ..heeds },
    ] {
        assert_eq!(alarm(&other, &[(121, firing(&["A"]))], 122), Alarm::None);
    }
}
