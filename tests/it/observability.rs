//! Alerts, dashboard and runbooks speak of metrics that the binary has, and of all of them.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result};
use serde_json::Value;
use sidecar_drift::metrics::{Metric, TABLE, Type};
use testbed::tool;

const RULES: &str = "deploy/alerts/rules.yaml";
const DASHBOARD: &str = "deploy/dashboards/sidecar-drift.json";
const RUNBOOKS: &str = "docs/operations.md";

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn read(name: &str) -> Result<String> {
    fs::read_to_string(path(name)).with_context(|| name.to_owned())
}

/// Everything in a text that looks like one of our metrics.
fn named(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("sidecar_drift_") || word.starts_with("process_")).collect()
}

/// The metric of a series of this name.
fn metric(series: &str) -> Option<&'static Metric> {
    let parts = ["_bucket", "_sum", "_count"];
    let family = parts.iter().find_map(|part| series.strip_suffix(part));
    TABLE.iter().find(|metric| metric.name == series || (metric.kind == Type::Histogram && Some(metric.name) == family))
}

#[test]
fn what_is_said_of_metrics_is_said_of_those_that_there_are() -> Result<()> {
    for file in [RULES, "deploy/alerts/rules_test.yaml", DASHBOARD, RUNBOOKS, "docs/metrics.md", "README.md"] {
        let text = read(file)?;
        // The Job's label and the like; the label that Prometheus gives has no metric's name.
        let unknown: Vec<_> = named(&text).into_iter().filter(|name| metric(name).is_none()).collect();
        assert!(unknown.is_empty(), "{file} names metrics that do not exist: {unknown:?}");
    }
    Ok(())
}

#[test]
fn the_dashboard_shows_every_metric() -> Result<()> {
    /// Of interest only to who looks for them.
    const LEFT_OUT: [&str; 4] =
        ["process_virtual_memory_bytes", "process_open_fds", "process_max_fds", "process_start_time_seconds"];
    let text = read(DASHBOARD)?;
    let shown: BTreeSet<_> = named(&text).into_iter().filter_map(metric).map(|metric| metric.name).collect();
    let missing: Vec<_> = TABLE
        .iter()
        .map(|metric| metric.name)
        .filter(|name| !shown.contains(name) && !LEFT_OUT.contains(name))
        .collect();
    assert!(missing.is_empty(), "not in {DASHBOARD}: {missing:?}");
    Ok(())
}

/// Matchers in a query: the series' name, the label, the values.
fn matchers(query: &str) -> Vec<(String, String, Vec<String>)> {
    let mut found = Vec::new();
    for (at, _) in query.match_indices('{') {
        let name: String = query[..at].chars().rev().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect();
        let name: String = name.chars().rev().collect();
        let Some((inside, _)) = query[at + 1..].split_once('}') else { continue };
        for matcher in inside.split(',').filter(|matcher| !matcher.is_empty()) {
            let Some(at) = matcher.find(['=', '!']) else { continue };
            let (label, value) = matcher.split_at(at);
            let label = label.trim().to_owned();
            let values =
                value.trim_start_matches(['=', '!', '~']).trim_matches('"').split('|').map(str::to_owned).collect();
            found.push((name.clone(), label, values));
        }
    }
    found
}

/// `expr` of every rule, and of every target of the dashboard.
fn queries() -> Result<Vec<String>> {
    fn expressions(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Object(members) => {
                found.extend(members.get("expr").and_then(Value::as_str).map(str::to_owned));
                members.values().for_each(|member| expressions(member, found));
            }
            Value::Array(items) => items.iter().for_each(|item| expressions(item, found)),
            _ => {}
        }
    }
    let mut found = Vec::new();
    expressions(&serde_saphyr::from_str(&read(RULES)?)?, &mut found);
    expressions(&serde_json::from_str(&read(DASHBOARD)?)?, &mut found);
    Ok(found)
}

#[test]
fn queries_use_labels_and_words_that_there_are() -> Result<()> {
    let queries = queries()?;
    assert!(queries.len() > 30, "the queries were not found");
    let mut checked = 0;
    for query in &queries {
        for (series, label, values) in matchers(query) {
            if label == "job" {
                continue;
            }
            let metric = metric(&series).with_context(|| format!("{query}: {series}"))?;
            assert!(metric.labels.contains(&label.as_str()), "{query}: {series} has no label {label}");
            if let Some(words) = metric.values(&label) {
                let unknown: Vec<_> = values.iter().filter(|value| !words.contains(&value.as_str())).collect();
                assert!(unknown.is_empty(), "{query}: {label} is never {unknown:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 10, "only {checked} matchers were found");
    Ok(())
}

#[test]
fn each_alert_says_how_bad_it_is_and_has_a_runbook_whose_first_command_is_shown() -> Result<()> {
    let rules: Value = serde_saphyr::from_str(&read(RULES)?)?;
    let page = read(RUNBOOKS)?;
    let sections: BTreeMap<&str, &str> =
        page.split("\n### ").skip(1).map(|section| section.split_once('\n').unwrap_or((section, ""))).collect();
    let rules = rules["groups"][0]["rules"].as_array().context("no rules")?;
    let mut alerts = BTreeSet::new();
    for rule in rules {
        let name = rule["alert"].as_str().context("a rule without a name")?;
        alerts.insert(name);
        assert!(["warning", "critical"].contains(&rule["labels"]["severity"].as_str().unwrap_or_default()), "{name}");
        for text in ["summary", "description"] {
            assert!(rule["annotations"][text].as_str().is_some_and(|text| text.len() > 20), "{name}: no {text}");
        }
        let anchor = format!("docs/operations.md#{}", name.to_lowercase());
        assert!(
            rule["annotations"]["runbook_url"].as_str().is_some_and(|url| url.ends_with(&anchor)),
            "{name}: {anchor}"
        );
        let section = sections.get(name).with_context(|| format!("{RUNBOOKS} has no `### {name}`"))?;
        let first = section.split("```").nth(1).with_context(|| format!("{name}: the runbook has no command"))?;
        assert!(
            first.trim_start_matches(|c: char| c.is_ascii_lowercase()).trim_start().starts_with("$ "),
            "{name}: {first}"
        );
    }
    let runbooks: BTreeSet<_> = sections.keys().copied().filter(|name| name.starts_with("SidecarDrift")).collect();
    assert_eq!(runbooks, alerts);
    Ok(())
}

#[test]
fn each_alert_is_shown_to_fire_and_to_stay_silent() -> Result<()> {
    let rules: Value = serde_saphyr::from_str(&read(RULES)?)?;
    let tests: Value = serde_saphyr::from_str(&read("deploy/alerts/rules_test.yaml")?)?;
    let cases =
        tests["tests"].as_array().into_iter().flatten().filter_map(|test| test["alert_rule_test"].as_array()).flatten();
    let (mut fires, mut silent) = (BTreeSet::new(), BTreeSet::new());
    for case in cases {
        let name = case["alertname"].as_str().context("a case without an alert")?;
        if case["exp_alerts"].is_null() {
            silent.insert(name)
        } else {
            fires.insert(name)
        };
    }
    let alerts: BTreeSet<_> = rules["groups"][0]["rules"]
        .as_array()
        .context("no rules")?
        .iter()
        .filter_map(|rule| rule["alert"].as_str())
        .collect();
    assert_eq!(fires, alerts);
    assert_eq!(silent, alerts);
    Ok(())
}

#[test]
fn promtool_finds_the_rules_right() {
    let Some(promtool) = tool("promtool") else { return };
    for (what, file) in [("check", RULES), ("test", "deploy/alerts/rules_test.yaml")] {
        let ran = Command::new(&promtool).args([what, "rules"]).arg(path(file)).output().unwrap();
        let said = String::from_utf8_lossy(&ran.stdout) + String::from_utf8_lossy(&ran.stderr);
        assert!(ran.status.success() && said.contains("SUCCESS"), "promtool {what} rules: {said}");
    }
}

/// Helm reads only what is in the chart, and nobody should need the chart for the rules.
#[test]
#[expect(clippy::disallowed_methods, reason = "whether to compare or to write is not the product's configuration")]
fn the_chart_brings_the_same_rules_and_the_same_dashboard() -> Result<()> {
    for (original, copy) in [(RULES, "rules.yaml"), (DASHBOARD, "dashboard.json")] {
        let copy = path("charts/sidecar-drift/files").join(copy);
        if std::env::var_os("SIDECAR_DRIFT_GENERATE").is_some() {
            fs::copy(path(original), &copy)?;
        }
        assert!(fs::read(&copy)? == fs::read(path(original))?, "{}: run `make generate`", copy.display());
    }
    Ok(())
}
