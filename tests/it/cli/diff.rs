//! `diff`

use insta::assert_snapshot;
use sidecar_drift::{cli::Exit, core::model::owner::Kind};

use super::{Fake, reports};

#[test]
fn values_are_masked() {
    let ran = Fake::new(reports::fleet()).command("diff", Some(80));
    assert!(!ran.out.contains("hunter2"));
    assert_snapshot!(ran.golden());
}

#[test]
fn values_are_shown_to_a_person_who_asks() {
    let mut report = reports::fleet();
    report.workloads.retain(|w| &*w.name == "cart");
    assert_snapshot!(Fake::new(report).command("diff deploy/cart -n shop --show-values", Some(100)).golden());
}

#[test]
fn values_are_never_shown_to_a_file() {
    let ran = Fake::new(reports::fleet()).command("diff --show-values", None);
    assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0));
    assert_snapshot!(ran.golden());
}

#[test]
fn equal_values_look_equal() {
    let ran = Fake::new(reports::fleet()).command("diff", None);
    let mut seen: Vec<_> = ran.out.match_indices("+ <masked ").map(|(at, _)| &ran.out[at..at + 19]).collect();
    seen.sort_unstable();
    seen.dedup();
    assert_eq!(seen.len(), 3, "one argument, one token and one build number in three workloads: {seen:?}");
}

#[test]
fn one_workload_is_described_even_if_it_does_not_differ() {
    let mut report = reports::fleet();
    report.workloads.retain(|w| &*w.name == "basket");
    let ran = Fake::new(report).command("diff deployment/basket", Some(80));
    assert_eq!(ran.config().policy.only, Some((Kind::DEPLOYMENT, "basket".into())));
    assert_snapshot!(ran.golden());
}

#[test]
fn a_workload_that_does_not_exist_is_an_error() {
    assert_snapshot!(Fake::new(reports::empty()).command("diff sts/nowhere", None).golden());
}
