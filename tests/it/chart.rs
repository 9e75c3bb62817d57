//! The chart, as far as it can be checked without Helm: what is said twice is said the same.

use std::{collections::BTreeSet, fmt::Write as _, fs, path::PathBuf};

use anyhow::{Context as _, Result};
use serde_json::Value;
use sidecar_drift::{
    cluster::guard::{ANNOTATION, REFUSAL},
    cluster::state::CONFIG_MAP,
    config::NAMES,
};

/// Settings that the chart decides from other values, or that make no sense in a Pod.
const DECIDED: [&str; 34] = [
    "all_namespaces",
    "api_advertise",
    "api_listen",
    "as_group",
    "as_uid",
    "as_user",
    "block_on_alerts_token",
    "cluster",
    "context",
    "events",
    "identity",
    "insecure_skip_tls_verify",
    "kubeconfig",
    "leader_election",
    "lease_name",
    "lease_namespace",
    "listen",
    "mode",
    "namespace",
    "no_headers",
    "outbound_ca",
    "record",
    "record_limit",
    "record_values",
    "render_as",
    "server",
    "show_values",
    "sort_by",
    "state_namespace",
    "tls_server_name",
    "token",
    "own_workload",
    "trigger",
    "user",
];

fn file(path: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("charts/sidecar-drift").join(path)
}

fn read(path: &str) -> Result<String> {
    fs::read_to_string(file(path)).with_context(|| path.to_owned())
}

fn schema() -> Result<Value> {
    Ok(serde_json::from_str(&read("values.schema.json")?)?)
}

#[test]
fn the_schema_knows_every_setting_but_those_that_the_chart_decides() -> Result<()> {
    let schema = schema()?;
    let properties = schema.pointer("/properties/config/properties").and_then(Value::as_object).context("no config")?;
    // Rules that leave something out, and kinds that are described, stand in the file alone.
    let known = properties.keys().filter(|key| !["ignore", "owners"].contains(&key.as_str()));
    let known: BTreeSet<String> = known.map(|key| key.replace('-', "_")).collect();
    let wanted: BTreeSet<String> =
        NAMES.iter().filter(|name| !DECIDED.contains(name)).map(|name| (*name).to_owned()).collect();
    assert_eq!(known, wanted);
    Ok(())
}

#[test]
fn the_schema_is_closed_and_knows_every_value() -> Result<()> {
    let schema = schema()?;
    let values: Value = serde_saphyr::from_str(&read("values.yaml")?)?;
    let mut unknown = Vec::new();
    compare(&values, &schema, "", &mut unknown);
    assert!(unknown.is_empty(), "{unknown:#?}");
    Ok(())
}

/// Values of which a user names members that have no default; `values.yaml` says which ones there are.
const OPEN: [&str; 9] = [
    "/config",
    "/resources",
    "/notifyUrl",
    "/prometheusToken",
    "/caBundle",
    "/startupProbe",
    "/livenessProbe",
    "/readinessProbe",
    "/prometheusRule/alerts",
];

/// Every value has its property, and every object with fixed keys takes no others.
fn compare(values: &Value, schema: &Value, at: &str, unknown: &mut Vec<String>) {
    let (Some(values), Some(properties)) = (values.as_object(), schema["properties"].as_object()) else { return };
    if schema["additionalProperties"] != false {
        unknown.push(format!("{at}: takes any key"));
    }
    for (name, value) in values {
        let at = format!("{at}/{name}");
        match properties.get(name) {
            Some(property) => compare(value, property, &at, unknown),
            None => unknown.push(format!("{at}: not in the schema")),
        }
    }
    if at.is_empty() || OPEN.contains(&at) {
        return;
    }
    for name in properties.keys().filter(|name| !values.contains_key(*name)) {
        unknown.push(format!("{at}/{name}: not in values.yaml"));
    }
}

#[test]
fn the_schema_knows_every_alert_and_which_of_them_compare_with_a_number() -> Result<()> {
    let schema = schema()?;
    let known = schema.pointer("/properties/prometheusRule/properties/alerts/properties");
    let known = known.and_then(Value::as_object).context("no alerts")?;
    let rules: Value = serde_saphyr::from_str(&read("files/rules.yaml")?)?;
    let rules = rules["groups"][0]["rules"].as_array().context("no rules")?;
    let name = |rule: &Value| rule["alert"].as_str().unwrap_or_default().to_owned();
    assert_eq!(known.keys().cloned().collect::<BTreeSet<_>>(), rules.iter().map(name).collect());
    for rule in rules {
        let expression = rule["expr"].as_str().context("no expression")?;
        let number = expression.rsplit_once("> ").is_some_and(|(_, number)| number.parse::<u64>().is_ok());
        // These two are 0 or 1.
        let compares = number && !expression.contains("sidecar_drift_stopped");
        let wanted = if compares { "#/definitions/comparedAlert" } else { "#/definitions/plainAlert" };
        assert_eq!(known[&name(rule)]["$ref"], wanted, "{expression}");
    }
    Ok(())
}

/// Files that the chart names by an address at the place where this repository is.
#[test]
fn the_chart_names_files_that_there_are() -> Result<()> {
    let chart = read("Chart.yaml")?;
    let home = "https://github.com/sidecar-drift/sidecar-drift";
    assert!(chart.contains(&format!("home: {home}\n")));
    let mut found = 0;
    for word in chart.split_whitespace() {
        let raw = home.replace("github.com", "raw.githubusercontent.com");
        let Some(path) =
            word.strip_prefix(&format!("{home}/blob/main/")).or(word.strip_prefix(&format!("{raw}/main/")))
        else {
            continue;
        };
        assert!(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(path).is_file(), "{path}");
        found += 1;
    }
    assert_eq!(found, 3);
    Ok(())
}

#[test]
fn the_guard_says_what_its_probe_listens_for() -> Result<()> {
    let guard = read("templates/guard.yaml")?;
    assert!(guard.contains(&format!("message: \"{REFUSAL}\"")), "{REFUSAL}");
    assert!(guard.contains(&format!("'{ANNOTATION}' in ")), "{ANNOTATION}");
    assert!(read("templates/state.yaml")?.contains(&format!("name: {CONFIG_MAP}\n")));
    assert!(read("templates/rbac-correct.yaml")?.contains(&format!("resourceNames: [{CONFIG_MAP}]")));
    Ok(())
}

#[test]
fn the_chart_and_the_program_are_of_one_version() -> Result<()> {
    let chart = read("Chart.yaml")?;
    let version = env!("CARGO_PKG_VERSION");
    assert!(chart.contains(&format!("appVersion: {version}\n")), "appVersion is not {version}");
    let chart: Value = serde_saphyr::from_str(&chart)?;
    let images = chart["annotations"]["artifacthub.io/images"].as_str().context("no images for Artifact Hub")?;
    assert!(images.contains(&format!(":{version}\n")), "{images}");
    Ok(())
}

// The table of values in the README ---------------------------------------------------------------------------------

const BEGIN: &str = "<!-- values: written by `make generate` from values.yaml -->\n";
const END: &str = "<!-- end of values -->\n";

/// Set, it lets the tests write what they would else compare.
const GENERATE: &str = "SIDECAR_DRIFT_GENERATE";

#[test]
#[expect(clippy::disallowed_methods, reason = "whether to compare or to write is not the product's configuration")]
fn the_readme_lists_every_value() -> Result<()> {
    let readme = read("README.md")?;
    let (before, rest) = readme.split_once(BEGIN).context("no begin of the values")?;
    let (_, after) = rest.split_once(END).context("no end of the values")?;
    let fresh = format!("{before}{BEGIN}{}{END}{after}", table(&read("values.yaml")?)?);
    if std::env::var_os(GENERATE).is_some() {
        fs::write(file("README.md"), fresh)?;
    } else {
        assert!(readme == fresh, "the README's table of values is not fresh: run `make generate`");
    }
    Ok(())
}

/// A row for each value that has a comment of the form `# -- what it does`; every value must have one, or be in one.
fn table(values: &str) -> Result<String> {
    let parsed: Value = serde_saphyr::from_str(values)?;
    let mut table = String::from("| value | default | what it does |\n| --- | --- | --- |\n");
    let (mut parent, mut comment) = (String::new(), String::new());
    let mut described = false;
    for line in values.lines() {
        let text = line.trim_start();
        let inner = line.len() > text.len();
        if let Some(begin) = text.strip_prefix("# -- ") {
            begin.clone_into(&mut comment);
        } else if let Some(more) = text.strip_prefix("# ") {
            comment.push(' ');
            comment.push_str(more);
        } else if let Some((key, _)) = text.split_once(':') {
            if !inner {
                key.clone_into(&mut parent);
                described = !comment.is_empty();
            }
            let path = if inner { format!("{parent}.{key}") } else { key.to_owned() };
            if comment.is_empty() {
                // Inside a value that is described as a whole, or around some that are described one by one.
                anyhow::ensure!(described || !inner, "{path} has no comment");
                continue;
            }
            let default = parsed.pointer(&format!("/{}", path.replace('.', "/"))).context(path.clone())?;
            writeln!(table, "| `{path}` | `{default}` | {} |", comment.replace('|', "\\|"))?;
            comment.clear();
        }
    }
    Ok(table)
}
