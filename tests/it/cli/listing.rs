//! Results in kubectl's forms.

use std::fmt::Write;

use insta::assert_snapshot;
use sidecar_drift::cli::Exit;

use super::{Fake, reports};

/// Command lines, separated by `·`, and what is written.
fn golden(lines: &[&str]) -> String {
    let fake = Fake::new(reports::fleet());
    let mut golden = String::new();
    for line in lines {
        let words: Vec<_> = std::iter::once("sidecar-drift").chain(line.split('·')).map(str::to_owned).collect();
        let ran = fake.words(&words, Some(100));
        let text = if ran.out.is_empty() { ran.err } else { ran.out };
        _ = writeln!(golden, "$ {} (exit code {})\n{text}", line.replace('·', " "), ran.exit as u8);
    }
    golden
}

#[test]
fn names_and_columns_are_those_of_what_the_table_lists() {
    assert_snapshot!(golden(&[
        "scan·-o·name",
        "scan·-o·name·--all",
        "scan·-o·custom-columns=NAMESPACE:.namespace,NAME:.name,VERDICT:.verdict,HELD:.gate,FIRST:.sidecars[0]",
        "scan·-o·custom-columns=NAME:name,PODS:{.pods}·--no-headers·--sort-by=.pods",
        "scan·--no-headers",
        "scan·--no-headers·-o·wide·--sort-by·.name",
        "diff·-o·name",
        "rollout·-o·name",
        "rollout·--no-headers",
    ]));
}

#[test]
fn a_template_is_about_the_whole_document() {
    assert_snapshot!(golden(&[
        "scan·-o·jsonpath={.kind} {.complete}",
        "scan·-o·jsonpath={.workloads[?(@.verdict==\"drifted\")].name}",
        "scan·-o·jsonpath={range .workloads[*]}{.namespace}/{.name}{'\\t'}{.verdict}{'\\n'}{end}·--sort-by=name",
        "rollout·--confirm·-o·jsonpath={.kind}",
        "rollout·--confirm·-o·name",
        "scan·-o·jsonpath={.items[*].name}",
        "scan·-o·jsonpath={.workloads[99].name}",
    ]));
}

#[test]
fn values_are_masked_in_every_form() {
    let fake = Fake::new(reports::fleet());
    let json = fake.command("diff -o json", None).out;
    assert!(json.contains("<masked "), "{json}");
    for form in ["jsonpath={..running}", "custom-columns=A:.differing[*].containers"] {
        let ran = fake.words(&["sidecar-drift", "diff", "-o", form].map(str::to_owned), None);
        assert_eq!(ran.exit, Exit::Ok, "{}", ran.err);
        assert!(!ran.out.contains("hunter2"), "{}", ran.out);
    }
}

#[test]
fn what_cannot_be_written_so_is_told_before_anything_is_asked() {
    let fake = Fake::new(reports::fleet());
    let mut golden = String::new();
    for line in [
        "scan·-o·go-template={{.kind}}",
        "scan·-o·jsonpath",
        "scan·-o·jsonpath=",
        "scan·-o·jsonpath={.kind",
        "scan·-o·jsonpath={kind}",
        "scan·-o·custom-columns=NAME",
        "scan·-o·custom-columns=NAME:.name,",
        "scan·-o·custom-columns=NAME:.name[x]",
        "scan·--sort-by·{.a}{.b}",
        "status·-o·name",
        "status·-o·custom-columns=A:.kind",
    ] {
        let words: Vec<_> = std::iter::once("sidecar-drift").chain(line.split('·')).map(str::to_owned).collect();
        let ran = fake.words(&words, None);
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{line}");
        _ = write!(golden, "$ {}\n{}", line.replace('·', " "), ran.err);
    }
    let ran = fake.command("scan --sort-by .nowhere", None);
    _ = write!(golden, "$ scan --sort-by .nowhere (exit code {})\n{}", ran.exit as u8, ran.err);
    assert_snapshot!(golden);
}
