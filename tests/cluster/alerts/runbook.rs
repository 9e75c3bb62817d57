//! The runbooks of `docs/operations.md`: the first command of each, and what the page says that it prints.
//!
//! `UPDATE_DOCS=1` writes what was printed into the page.

use std::{
    fs,
    process::{Command, Stdio},
    sync::{Mutex, PoisonError},
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use testbed::{TestNamespace, Testbed, eventually, tool};

use crate::support::DEADLINE;

const PAGE: &str = "docs/operations.md";

/// One test at a time writes the page.
static WRITING: Mutex<()> = Mutex::new(());

/// The address that the page names, and the namespaces.
const API: &str = "localhost:8081";
const SHOP: &str = "shop";
const HOME: &str = "sidecar-drift";

/// Runs the first commands of the runbooks of these alerts, as [`holds`] does.
pub(super) async fn all_hold(alerts: &[&str], api: &str, ns: &TestNamespace<'_>) -> Result<()> {
    for alert in alerts {
        holds(alert, Some(api), ns).await?;
    }
    Ok(())
}

/// Runs the first command of an alert's runbook until it prints what the page says, in these circumstances: the API's
/// address, and the namespace of everything. Times, and the random part of names, differ.
pub(super) async fn holds(alert: &str, api: Option<&str>, ns: &TestNamespace<'_>) -> Result<()> {
    let Some(jq) = tool("jq") else { return Ok(()) };
    let page = fs::read_to_string(PAGE)?;
    let (command, said) = first(&page, alert)?;
    let mut script = command.replace("| jq ", &format!("| {} ", jq.display()));
    // The page's `-n sidecar-drift` is where the program is installed.
    script = script.replace(&format!("-n {HOME} "), &format!("-n {} ", ns.name()));
    if let Some(api) = api {
        script = script.replace(API, api);
    }
    let kubectl = kubectl(ns.testbed());
    let mut last = String::new();
    // Who wants to have it written wants what is printed once it has settled.
    let patience = if update() { Duration::from_secs(10) } else { DEADLINE };
    let ran = eventually(format!("the runbook of {alert} is right"), patience, async || {
        let ran = Command::new("sh").args(["-c", &format!("{kubectl}\n{script}")]).stdin(Stdio::null()).output()?;
        // kubectl says on standard error that it found nothing.
        let text = String::from_utf8(ran.stdout)? + &String::from_utf8(ran.stderr)?;
        let shown = text.replace(&format!("in {} namespace", ns.name()), &format!("in {HOME} namespace"));
        last = shown.replace(ns.name(), SHOP);
        ensure!(ran.status.success(), "{script}: {last}");
        Ok((steady(&last) == steady(&said)).then_some(()))
    });
    if update() {
        _ = ran.await;
        return write(alert, &command, &last);
    }
    ran.await.with_context(|| format!("{command}\nprints\n{last}\nand the page says\n{said}"))
}

fn kubectl(testbed: &Testbed) -> String {
    let program = testbed.assets().map_or_else(|| "kubectl".into(), |assets| assets.kubectl.clone());
    let kubeconfig = testbed.kubeconfig().display();
    format!("kubectl() {{ '{}' --kubeconfig '{kubeconfig}' \"$@\"; }}", program.display())
}

/// The first command of a runbook, and what stands below it.
fn first(page: &str, alert: &str) -> Result<(String, String)> {
    let (_, section) =
        page.split_once(&format!("\n### {alert}\n")).with_context(|| format!("no runbook of {alert}"))?;
    let block = section.split("```").nth(1).with_context(|| format!("the runbook of {alert} has no command"))?;
    let block = block.strip_prefix("console\n$ ").with_context(|| format!("not a command: {block}"))?;
    let (command, said) = block.split_once('\n').unwrap_or((block, ""));
    Ok((command.to_owned(), said.to_owned()))
}

fn write(alert: &str, command: &str, printed: &str) -> Result<()> {
    let _writing = WRITING.lock().unwrap_or_else(PoisonError::into_inner);
    let page = fs::read_to_string(PAGE)?;
    let at = page.find(&format!("\n### {alert}\n")).context("no such runbook")?;
    let begins = at + page[at..].find("```console\n").context("no command")?;
    let ends = begins + 3 + page[begins + 3..].find("```").context("no end")?;
    fs::write(PAGE, format!("{}```console\n$ {command}\n{printed}{}", &page[..begins], &page[ends..]))?;
    Ok(())
}

/// Without what is another one each time: times, and the ends of names that Kubernetes makes up.
fn steady(text: &str) -> String {
    let time = |word: &str| {
        let inside = word.trim_matches(|c: char| !c.is_ascii_alphanumeric());
        let mut digits = inside.bytes().take_while(u8::is_ascii_digit);
        let hour = inside.contains(':') && digits.by_ref().count() >= 2;
        hour || jiff::civil::Date::strptime("%Y-%m-%d", inside).is_ok()
    };
    let made_up = |part: &str| {
        [5, 8, 9, 10].contains(&part.len()) && part.chars().all(|c| "bcdfghjklmnpqrstvwxz2456789".contains(c))
    };
    let word = |word: &str| {
        let kept: Vec<_> = word.split('-').filter(|part| !made_up(part.trim_matches('"'))).collect();
        if time(word) { "TIME".to_owned() } else { kept.join("-") }
    };
    // Of what was found in the same second any may come first.
    let line = |line: &str| line.split_whitespace().map(word).collect::<Vec<_>>().join(" ");
    let mut lines: Vec<_> = text.lines().map(line).collect();
    lines.sort();
    lines.join("\n")
}

#[expect(clippy::disallowed_methods, reason = "a switch for whoever runs this test, no configuration")]
fn update() -> bool {
    std::env::var_os("UPDATE_DOCS").is_some()
}

#[test]
fn two_outputs_are_the_same_but_for_times_and_random_names() {
    assert_eq!(
        steady("a \"b-54967f9dcb-ttmvt\" 2026-11-22 10:20 \"2026-11-22T10:20:00Z\""),
        steady("a  \"b-6d8fc9dcb-xx2z4\" 2027-01-01 09:01 \"2027-01-01T09:01:00Z\""),
    );
    assert_ne!(steady("proxy v1"), steady("proxy v2"));
    assert_ne!(steady("cart drifted"), steady("web drifted"));
}
