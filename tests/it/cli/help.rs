//! The help.

use insta::assert_snapshot;

use super::{Fake, reports};

#[test]
fn of_the_program() {
    assert_snapshot!(Fake::new(reports::fleet()).command("--help", None).golden());
}

#[test]
fn of_run() {
    assert_snapshot!(Fake::new(reports::fleet()).command("run --help", None).golden());
}

#[test]
fn of_scan() {
    assert_snapshot!(Fake::new(reports::fleet()).command("scan -h", None).golden());
}

#[test]
fn of_rollout() {
    assert_snapshot!(Fake::new(reports::fleet()).command("rollout -h", None).golden());
}
