//! What was measured: a table for people, a flat JSON object for programs.

use std::{collections::BTreeMap, fmt::Write as _, path::Path, time::Duration};

use anyhow::{Context as _, Result};
use serde_json::{Map, Value};

/// One number that is measured.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Key {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    /// The most that it may be.
    pub(crate) goal: Option<f64>,
    /// A goal is a least and not a most.
    pub(crate) at_least: bool,
}

const fn at_most(name: &'static str, unit: &'static str, goal: f64) -> Key {
    Key { name, unit, goal: Some(goal), at_least: false }
}

const fn at_least(name: &'static str, unit: &'static str, goal: f64) -> Key {
    Key { name, unit, goal: Some(goal), at_least: true }
}

const fn told(name: &'static str, unit: &'static str) -> Key {
    Key { name, unit, goal: None, at_least: false }
}

/// Every number, in the order of the table. docs/performance.md says of each what was divided by what.
pub(crate) static KEYS: &[Key] = &[
    at_most("binary_mb", "MB", 15.0),
    at_most("resident_mib_idle", "MiB", 12.0),
    at_most("resident_mib_10k", "MiB", 22.0),
    told("peak_mib_10k", "MiB"),
    told("resident_mib_client_go", "MiB"),
    told("resident_mib_reflector", "MiB"),
    at_most("resident_ratio_to_client_go", "", 0.1),
    told("resident_ratio_to_reflector", ""),
    at_most("bytes_per_pod", "B", 400.0),
    told("raw_list_seconds", "s"),
    told("raw_renders_per_second", "/s"),
    told("scan_seconds", "s"),
    at_most("start_ratio_to_raw", "", 1.2),
    at_least("render_ratio_to_load_generator", "", 0.95),
    at_most("sweep_ratio_to_raw", "", 1.1),
    told("sweep_first_verdict_seconds", "s"),
    told("predecessor_seconds", "s"),
    at_most("report_time_ratio_to_predecessor", "", 0.2),
    at_most("needless_restarts", "", 0.0),
    told("needless_restarts_predecessor", ""),
    told("resident_mib_1k", "MiB"),
    told("resident_mib_10k_stub", "MiB"),
    at_most("resident_mib_100k", "MiB", 80.0),
    at_most("resident_mib_1m", "MiB", 600.0),
    told("list_us_per_pod_1k", "us"),
    told("list_us_per_pod_10k", "us"),
    told("list_us_per_pod_100k", "us"),
    told("list_us_per_pod_1m", "us"),
    told("event_us_1k", "us"),
    told("event_us_10k", "us"),
    told("event_us_100k", "us"),
    told("event_us_1m", "us"),
    told("event_to_verdict_p50_ms_10k", "ms"),
    told("event_to_verdict_p99_ms_10k", "ms"),
    told("event_to_verdict_p50_ms_1m", "ms"),
    told("event_to_verdict_p99_ms_1m", "ms"),
    at_most("hostile_mib_more", "MiB", 16.0),
    at_most("hostile_healthz_ms", "ms", 1000.0),
    at_most("api_page_p99_ms", "ms", 50.0),
    at_most("web_page_p99_ms", "ms", 50.0),
    at_most("scrape_p99_ms", "ms", 100.0),
    told("event_to_verdict_p50_ms_alone", "ms"),
    told("event_to_verdict_p99_ms_alone", "ms"),
    told("event_to_verdict_p50_ms_read", "ms"),
    told("event_to_verdict_p99_ms_read", "ms"),
    at_most("quiet_hour_lists", "", 0.0),
    at_most("quiet_hour_renders_per_workload", "", 1.0),
    told("quiet_hour_requests", ""),
    at_most("requests_per_rollout", "", 10.0),
    told("rollouts_100_seconds", "s"),
    at_most("rollouts_100_ratio_to_bare", "", 1.5),
    at_most("longest_step_ms_20k_queued", "ms", 20.0),
    at_most("event_us_30k_replicas", "us", 200.0),
    at_most("churn_leftover_bytes", "B", 1_000_000.0),
];

/// The numbers of one run. What could not be measured is missing.
#[derive(Clone, Debug, Default)]
pub(crate) struct Results(BTreeMap<&'static str, f64>);

impl Results {
    /// Notes a number under a name that is in [`KEYS`].
    pub(crate) fn note(&mut self, name: &str, value: f64) -> Result<()> {
        let key = KEYS.iter().find(|key| key.name == name).with_context(|| format!("{name} is no key"))?;
        self.0.insert(key.name, value);
        Ok(())
    }

    /// All keys; `null` for what was not measured.
    pub(crate) fn json(&self) -> Value {
        let value = |key: &Key| self.0.get(key.name).map_or(Value::Null, |value| Value::from(round(*value)));
        Value::Object(KEYS.iter().map(|key| (key.name.to_owned(), value(key))).collect::<Map<_, _>>())
    }

    pub(crate) fn write(&self, path: &Path) -> Result<()> {
        let text = serde_json::to_string_pretty(&self.json())? + "\n";
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))
    }

    /// For people.
    pub(crate) fn table(&self) -> String {
        let mut table = format!("{:<36} {:>12} {:<4} {:>10}\n", "", "measured", "", "goal");
        for key in KEYS {
            let Some(value) = self.0.get(key.name) else { continue };
            let sign = if key.at_least { ">=" } else { "<=" };
            let goal = key.goal.map_or_else(String::new, |goal| format!("{sign} {goal}"));
            let met = key.goal.map_or("", |goal| if holds(*value, goal, key.at_least) { "ok" } else { "MISSED" });
            // Writing to a String cannot fail.
            _ = writeln!(table, "{:<36} {:>12} {:<4} {:>10} {met}", key.name, round(*value), key.unit, goal);
        }
        table
    }
}

fn holds(value: f64, goal: f64, at_least: bool) -> bool {
    if at_least { value >= goal } else { value <= goal }
}

/// Three digits behind the point are more than can be measured.
fn round(value: f64) -> f64 {
    (value * 1000.0).round() / 1000.0
}

/// The one in the middle.
pub(crate) fn median(mut all: Vec<f64>) -> f64 {
    all.sort_unstable_by(f64::total_cmp);
    all.get(all.len() / 2).copied().unwrap_or_default()
}

/// The value that so many in a hundred do not exceed.
pub(crate) fn percentile(all: &[Duration], percent: usize) -> Duration {
    let mut sorted = all.to_vec();
    sorted.sort_unstable();
    let rank = (sorted.len() * percent).div_ceil(100).saturating_sub(1);
    sorted.get(rank).copied().unwrap_or_default()
}

/// In milliseconds.
pub(crate) fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1000.0
}

/// A count as a number to be divided.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^52")]
pub(crate) fn number(count: usize) -> f64 {
    count as f64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_measured_is_in_the_table_and_what_is_not_is_null() {
        let mut results = Results::default();
        results.note("resident_mib_10k", 21.0).unwrap();
        results.note("render_ratio_to_load_generator", 0.5).unwrap();
        assert!(results.note("no_such_key", 1.0).is_err());
        assert_eq!(results.json()["resident_mib_10k"], 21.0);
        assert!(results.json()["resident_mib_1m"].is_null());
        let table = results.table();
        assert!(table.contains("<= 22 ok") && table.contains(">= 0.95 MISSED"), "{table}");
    }

    #[test]
    fn medians_and_percentiles() {
        let all: Vec<_> = (1..=100).rev().map(Duration::from_millis).collect();
        assert!((median(vec![3.0, 100.0, 2.0]) - 3.0).abs() < f64::EPSILON);
        assert_eq!(percentile(&all, 99), Duration::from_millis(99));
        assert_eq!(percentile(&all[..1], 50), Duration::from_millis(100));
    }

    #[test]
    fn each_number_is_explained() {
        let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/performance.md");
        let page = std::fs::read_to_string(page).unwrap();
        let silent: Vec<_> = KEYS.iter().filter(|key| !page.contains(&format!("`{}`", key.name))).collect();
        assert!(silent.is_empty(), "docs/performance.md does not explain {silent:?}");
    }
}
