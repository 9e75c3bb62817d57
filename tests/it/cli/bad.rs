//! Inputs that mean nothing: each is answered by one sentence that says what is wrong, where, and what would be right, and
//! nothing is contacted before. Golden, a group for each kind of input.

use std::{fmt::Write, fs, process::Stdio};

use insta::assert_snapshot;
use sidecar_drift::cli::Exit;

use super::{Fake, reports};

/// What each of these command lines (words separated by `·`) is answered with.
fn golden(lines: &[&str]) -> String {
    assert!(lines.len() >= 6);
    let fake = Fake::new(reports::fleet());
    let mut golden = String::new();
    for line in lines {
        let words: Vec<_> = std::iter::once("sidecar-drift").chain(line.split('·')).map(str::to_owned).collect();
        let ran = fake.words(&words, None);
        assert_eq!((ran.exit, ran.out.as_str(), ran.asked.len()), (Exit::Usage, "", 0), "{line}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{line}: {}", ran.err);
        _ = write!(golden, "$ {}\n{}", line.replace('·', " "), ran.err);
    }
    golden
}

/// What `run` answers to each of these configuration files.
fn files(files: &[&str]) -> String {
    assert!(files.len() >= 6);
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("settings.yaml");
    let mut golden = String::new();
    for file in files {
        fs::write(&path, file).unwrap();
        let ran = Fake::new(reports::fleet()).command(&format!("run --config {}", path.display()), None);
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{file}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{file}: {}", ran.err);
        _ = write!(golden, "{file}\n    {}", ran.err.replace(&directory.path().display().to_string(), ""));
    }
    golden
}

#[test]
fn bad_flags() {
    assert_snapshot!(golden(&[
        "scan·--namspace·shop",
        "rollout·--cofnirm",
        "rollout·--confirm=yes",
        "rollout·--confirm·--dry-run",
        "scan·--output·xml",
        "scan·--log-level·verbose",
        "rollout·--parallel-rollouts·0",
        "rollout·--parallel-rollouts·many",
        "rollout·--interactive",
        "rollout·--regardless-of-drift",
        "scan·--exit-code·--watch",
        "completions·tcsh",
        "man·frobnicate",
        "explain",
    ]));
}

#[test]
fn bad_durations() {
    assert_snapshot!(golden(&[
        "rollout·--timeout·300",
        "rollout·--timeout·5minutesandabit",
        "rollout·--timeout=0s",
        "rollout·--timeout=-5s",
        "rollout·--cooldown·1mo",
        "run·--resync·",
        "scan·--settle·5s ago",
        "scan·--request-timeout·99999999999999h",
    ]));
}

#[test]
fn bad_alerts() {
    assert_snapshot!(golden(&[
        "run·--block-on-alerts·prometheus:9090",
        "run·--block-on-alerts·ftp://prometheus",
        "run·--block-on-alerts·http://user:secret@prometheus",
        "run·--block-on-alerts·http://prometheus/graph?g0.expr=up",
        "run·--blocking-alert·severity=critical",
        "run·--block-on-alerts·http://prometheus·--blocking-alert·critical",
        "run·--block-on-alerts·http://prometheus·--blocking-alert·severity=~critical|page",
        "run·--block-on-alerts·http://prometheus·--blocking-alert·",
    ]));
}

#[test]
fn bad_times() {
    assert_snapshot!(golden(&[
        "rollout·--only-started-before·yesterday",
        "rollout·--only-started-before·13:00",
        "rollout·--only-started-before·2022-13-01",
        "rollout·--only-started-before·2022-05-01 25:00",
        "rollout·--only-started-before·01.05.2022",
        "rollout·--only-started-before·1651410000",
        "rollout·--only-started-before·2022-05-01 13:00 CET",
    ]));
}

#[test]
fn bad_selectors() {
    assert_snapshot!(golden(&[
        "scan·-l·",
        "scan·-l·app=web,",
        "scan·-l·app in web",
        "scan·-l·app in (web",
        "scan·-l·app=web server",
        "scan·-l·=web",
        "scan·--namespace-selector·team of (a)",
        "scan·--namespace-selector·-team",
    ]));
}

#[test]
fn bad_names() {
    assert_snapshot!(golden(&[
        "scan·-n·Shop",
        "scan·-n·shop_1",
        "scan·--sidecar-container-name·istio_proxy",
        "rollout·--state-namespace·-tools",
        "diff·cart",
        "diff·deployment/",
        "explain·gadget/cart",
        "explain·deployment/Shop/cart",
        "explain·deployment/shop/cart/1",
        "explain·deployment/shop/cart·-n·bank",
        "retry·deployment/shop/cart·-n·bank",
        "scan·--kinds·Deployment,Pod",
    ]));
}

#[test]
fn bad_globs() {
    assert_snapshot!(golden(&[
        "scan·--include-namespace·",
        "scan·--include-namespace·Team-*",
        "scan·--include-namespace·team-[ab]",
        "scan·--exclude-namespace·team_*",
        "scan·--exclude-namespace·{a,b}-*",
        "scan·--exclude-namespace·kube-.*",
        "scan·--include-namespace·a*·--exclude-namespace·b*",
    ]));
}

/// None of these repeats the value, which may be a secret.
#[test]
fn bad_connections() {
    assert_snapshot!(golden(&[
        "scan·--server·not an address",
        "scan·--server·https://",
        "scan·--tls-server-name·a b",
        "scan·--token·hunter2\nx",
        "scan·--token·hunter2 x",
        "scan·--token·hunter2·--token·hunter3",
        "scan·--as·jane\nroot",
        "scan·--as-group·ops\nroot",
        "scan·--as-uid·\u{7f}",
        "scan·--insecure-skip-tls-verify=perhaps",
    ]));
}

#[test]
fn bad_annotations() {
    assert_snapshot!(golden(&[
        "scan·--include-annotation·",
        "scan·--include-annotation·=yes",
        "scan·--include-annotation·my annotation",
        "scan·--exclude-annotation·a/b/c",
        "scan·--exclude-annotation·/name",
        "rollout·--annotation-prefix·/x",
        "rollout·--annotation-prefix·my company",
        "rollout·--annotation-prefix·waytoolongforthekeyofanannotationwhichtakessixtythree",
    ]));
}

#[test]
fn bad_configuration_keys() {
    assert_snapshot!(files(&[
        "parallel-rollout: 2",
        "mode: report\nparallelRollouts: 2",
        "colour: red",
        "mode: report\nmode: enforce",
        "Timeout: 5m",
        "namespaces: [shop]",
        "rollouts:\n  timeout: 5m",
        "- mode",
    ]));
}

#[test]
fn bad_configuration_types() {
    assert_snapshot!(files(&[
        "mode: enforced",
        "timeout: 300",
        "timeout: [5m]",
        "canary: -1",
        "canary: many",
        "allow-downtime: perhaps",
        "kinds: Deployment",
        "include-namespace: {a: b}",
        "selector: [app, web]",
        "only-started-before: soon",
        "mode: [",
        "just words",
    ]));
}

#[test]
fn bad_kubeconfigs() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("config");
    let one = |context: &str, cluster: &str, user: &str| {
        format!(
            "apiVersion: v1\nkind: Config\ncurrent-context: {context}\n\
             contexts: [{{name: here, context: {{cluster: here, user: me}}}}]\n\
             clusters: [{{name: here, cluster: {{{cluster}}}}}]\nusers: [{{name: me, user: {{{user}}}}}]\n"
        )
    };
    let server = "server: https://127.0.0.1:1";
    let cases = [
        ("there is none", None, ""),
        ("nothing in it", Some(String::new()), ""),
        ("no YAML", Some("{".to_owned()), ""),
        ("another document", Some("just words".to_owned()), ""),
        ("an unknown current context", Some(one("there", server, "")), ""),
        ("an unknown context", Some(one("here", server, "")), "--context=elsewhere"),
        ("an unknown cluster", Some(one("here", server, "")), "--cluster=elsewhere"),
        ("an unknown user", Some(one("here", server, "")), "--user=somebody"),
        ("a group, and no user", Some(one("here", server, "")), "--as-group=ops"),
        ("groups in the file, and no user", Some(one("here", server, "as-groups: [ops]")), ""),
        ("a token and a password", Some(one("here", server, "username: me, password: hunter2")), "--token=hunter3"),
        ("no server", Some(one("here", "", "")), ""),
        ("no address", Some(one("here", "server: not an address", "")), ""),
        (
            "a login plugin that is missing",
            Some(one(
                "here",
                server,
                "exec: {apiVersion: client.authentication.k8s.io/v1, command: no-such-plugin, interactiveMode: Never}",
            )),
            "",
        ),
        (
            "a certificate that is none",
            Some(one("here", server, "client-certificate-data: bm9uZQ==, client-key-data: bm9uZQ==")),
            "",
        ),
        ("nobody there", Some(one("here", server, "")), ""),
    ];
    let mut golden = String::new();
    for (what, content, flag) in cases {
        match content {
            Some(content) => fs::write(&path, content).unwrap(),
            None => drop(fs::remove_file(&path)),
        }
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("sidecar-drift"));
        command.env_clear().args(["scan", "--quiet", "--kubeconfig"]).arg(&path).stdin(Stdio::null());
        command.args(std::iter::once(flag).filter(|flag| !flag.is_empty()));
        let output = command.output().unwrap();
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert_eq!(stderr.lines().count(), 1, "{what}: {stderr}");
        let code = output.status.code().unwrap();
        _ = write!(
            golden,
            "{what} (exit code {code})\n    {}",
            stderr.replace(&directory.path().display().to_string(), "")
        );
    }
    assert_snapshot!(golden);
}
