//! The daemon's own metrics: how it says that nothing is left to do.

use std::collections::BTreeMap;
use std::net::SocketAddr;

use anyhow::{Context as _, Result, ensure};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

/// Gates that hold for good what should not be rolled.
const EXPECTED_GATES: [&str; 2] = ["opted_out", "unsupported_owner"];
/// Verdicts that ask for a rollout.
const DIFFERING: [&str; 5] = ["drifted", "missing", "removed", "non_convergent", "rejected"];

/// One scrape.
#[derive(Debug)]
pub(super) struct Metrics(String);

impl Metrics {
    pub(super) async fn get(address: SocketAddr) -> Result<Self> {
        let mut stream = TcpStream::connect(address).await.context("the daemon does not serve its metrics")?;
        stream.write_all(format!("GET /metrics HTTP/1.0\r\nHost: {address}\r\n\r\n").as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("no HTTP answer from the daemon")?;
        let status = head.lines().next().unwrap_or_default();
        ensure!(status.contains(" 200"), "the daemon answers {status} when asked for its metrics");
        Ok(Self(body.to_owned()))
    }

    /// Every workload has been asked, none is being rolled, and each that differs is held for good.
    pub(super) fn nothing_to_do(&self) -> bool {
        let total = |values: BTreeMap<String, u64>| values.into_values().sum::<u64>();
        let verdicts = self.by_label("workloads", "verdict");
        let differing: u64 = DIFFERING.iter().filter_map(|verdict| verdicts.get(*verdict)).sum();
        let undetermined = verdicts.get("undetermined").copied().unwrap_or_default();
        let held = self.by_label("held_workloads", "gate");
        total(self.by_label("report_complete", "")) == 1
            && total(self.by_label("rollouts_in_flight", "")) == 0
            && held.keys().all(|gate| EXPECTED_GATES.contains(&gate.as_str()))
            && differing + undetermined == total(held)
    }

    /// The sums of a metric's values by one of its labels. Without labels the whole is under the empty name.
    pub(super) fn by_label(&self, metric: &str, label: &str) -> BTreeMap<String, u64> {
        let mut sums = BTreeMap::new();
        for line in self.0.lines() {
            let Some((series, value)) = line.rsplit_once(' ') else { continue };
            let (name, labels) = series.split_once('{').unwrap_or((series, ""));
            // None of these labels has a quote or a comma in its value.
            let labels = labels.trim_end_matches('}').split(',').filter_map(|pair| pair.split_once('='));
            let of_label = labels.filter(|(key, _)| *key == label).map(|(_, value)| value.trim_matches('"')).next();
            if name.strip_prefix("sidecar_drift_") == Some(metric)
                && let Ok(value) = value.parse::<u64>()
            {
                *sums.entry(of_label.unwrap_or_default().to_owned()).or_default() += value;
            }
        }
        sums
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metrics(held: &str) -> Metrics {
        Metrics(format!(
            "# HELP sidecar_drift_workloads Workloads by verdict.\n\
             sidecar_drift_report_complete 1\nsidecar_drift_rollouts_in_flight 0\n\
             sidecar_drift_workloads{{namespace=\"a\",kind=\"Deployment\",verdict=\"drifted\"}} 2\n\
             sidecar_drift_workloads{{namespace=\"b\",kind=\"Deployment\",verdict=\"drifted\"}} 1\n\
             sidecar_drift_workloads{{namespace=\"b\",kind=\"Job\",verdict=\"undetermined\"}} 1\n{held}"
        ))
    }

    #[test]
    fn it_is_over_when_all_that_differs_is_held_for_good() {
        let held = "sidecar_drift_held_workloads{gate=\"opted_out\"} 3\n\
                    sidecar_drift_held_workloads{gate=\"unsupported_owner\"} 1\n";
        assert!(metrics(held).nothing_to_do());
        assert_eq!(metrics(held).by_label("workloads", "verdict").get("drifted"), Some(&3));
    }

    #[test]
    fn it_is_not_over_while_something_waits_for_its_turn_or_for_a_plan() {
        assert!(!metrics("sidecar_drift_held_workloads{gate=\"canary\"} 4\n").nothing_to_do());
        assert!(!metrics("sidecar_drift_held_workloads{gate=\"opted_out\"} 3\n").nothing_to_do());
    }
}
