//! A real Prometheus that scrapes daemons and has the rules as they are shipped, but for its patience.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    path::PathBuf,
    process::{Child, Stdio},
};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{TestNamespace, Testbed, eventually, tool};

use crate::support::{DEADLINE, web};

const RULES: &str = "deploy/alerts/rules.yaml";

/// It ends with this.
#[derive(Debug)]
pub(super) struct Prometheus<'t> {
    testbed: &'t Testbed,
    child: Child,
    address: String,
}

impl<'t> Prometheus<'t> {
    /// Scrapes these every second. `None`: there is no Prometheus to be had, and that has been said.
    pub(super) async fn start(ns: &TestNamespace<'t>, targets: &[&str]) -> Result<Option<Self>> {
        let Some(program) = tool("prometheus") else { return Ok(None) };
        let testbed = ns.testbed();
        let home = testbed.directory().join(format!("{}.prometheus", ns.name()));
        fs::create_dir_all(&home)?;
        let rules = home.join("rules.yaml");
        fs::write(&rules, impatient(&fs::read_to_string(RULES)?)?)?;
        let config = json!({
            "global": { "scrape_interval": "1s", "evaluation_interval": "1s" },
            "rule_files": [rules],
            "scrape_configs": [{
                "job_name": "sidecar-drift",
                "honor_labels": true,
                "static_configs": [{ "targets": targets }],
            }],
        });
        // JSON is YAML, too.
        let file = home.join("prometheus.yaml");
        fs::write(&file, config.to_string())?;
        let log = home.join("log");
        let mut command = testbed.command(&program);
        command.arg(format!("--config.file={}", file.display()));
        command.arg(format!("--storage.tsdb.path={}", home.join("data").display()));
        command.args(["--web.listen-address=127.0.0.1:0", "--log.format=json"]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(File::create(&log)?);
        let child = command.spawn()?;
        let mut prometheus = Self { testbed, child, address: String::new() };
        prometheus.address = eventually("Prometheus listens", DEADLINE, async || listening(&log)).await?;
        Ok(Some(prometheus))
    }

    /// The value of an expression now; `None`: there is none.
    pub(super) async fn value(&self, expression: &str) -> Result<Option<String>> {
        let query: String = form_urlencoded::byte_serialize(expression.as_bytes()).collect();
        let found = self.get(&format!("/api/v1/query?query={query}")).await?;
        Ok(found["data"]["result"][0]["value"][1].as_str().map(str::to_owned))
    }

    /// Waits until each target has been scraped.
    pub(super) async fn until_scraped(&self) -> Result<()> {
        eventually("Prometheus has scraped", DEADLINE, async || {
            let found = self.get("/api/v1/targets").await?;
            let targets = found["data"]["activeTargets"].as_array().context("no targets")?;
            Ok(targets.iter().all(|target| target["health"] == "up").then_some(()))
        })
        .await
    }

    /// Waits until exactly these alerts fire, and says what they say.
    pub(super) async fn until_exactly(&self, alerts: &[&str]) -> Result<Vec<Value>> {
        let wanted: BTreeSet<_> = alerts.iter().copied().collect();
        let mut last = Value::Null;
        let found = eventually(format!("Prometheus has {wanted:?} firing"), DEADLINE, async || {
            let found = self.get("/api/v1/alerts").await?;
            let firing: Vec<_> =
                found["data"]["alerts"].as_array().into_iter().flatten().filter(|a| a["state"] == "firing").collect();
            let names: BTreeSet<_> = firing.iter().filter_map(|alert| alert["labels"]["alertname"].as_str()).collect();
            last = json!(names);
            Ok((names == wanted).then(|| firing.into_iter().cloned().collect()))
        });
        found.await.with_context(|| format!("last were firing: {last}"))
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let body = web::body(&self.address, path).await?;
        let answer: Value = serde_json::from_str(&body).with_context(|| body.clone())?;
        ensure!(answer["status"] == "success", "{answer}");
        Ok(answer)
    }
}

impl Drop for Prometheus<'_> {
    fn drop(&mut self) {
        // Both fail only if it has ended and was waited for.
        _ = self.child.kill();
        _ = self.child.wait();
        self.testbed.forget(self.child.id());
    }
}

/// Where it says that it listens.
fn listening(log: &PathBuf) -> Result<Option<String>> {
    let text = fs::read_to_string(log)?;
    let lines = text.lines().filter_map(|line| serde_json::from_str::<Value>(line).ok());
    let mut addresses = lines
        .filter(|line| line["msg"] == "Listening on")
        .filter_map(|line| line["address"].as_str().map(str::to_owned));
    Ok(addresses.next())
}

/// The rules, but a day is a second, and nothing has to last.
fn impatient(rules: &str) -> Result<String> {
    let day = "> 86400";
    ensure!(rules.matches(day).count() == 1, "{RULES}: the rule about old drift is another one");
    let lines = rules.lines().filter(|line| !line.trim_start().starts_with("for: "));
    Ok(lines.map(|line| line.replace(day, "> 1") + "\n").collect())
}
