//! What every injector has to go through.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt::Write as _,
    time::Duration,
};

use anyhow::{Context as _, Result, ensure};
use serde_json::Value;
use testbed::injector::RealInjector;

use super::findings::Findings;
use crate::support::{Daemon, Document, Story};

/// How many times all workloads are asked about while nothing happens.
const SWEEPS: usize = 30;

const ENFORCE: [&str; 5] =
    ["--mode=enforce", "--without-guard", "--max-rollouts-per-hour=unlimited", "--soak=1s", "--resync=24h"];

/// An injector, its workloads, and what was found so far.
pub(super) struct Trial<'t> {
    pub(super) story: &'t Story<'t>,
    pub(super) injector: &'t RealInjector<'t>,
    /// As `Deployment/web`.
    pub(super) workloads: &'t [&'static str],
    pub(super) findings: Findings,
}

/// A setting of the injector, and what comes of another value.
pub(super) struct Setting {
    /// A variable of its environment.
    pub(super) variable: &'static str,
    pub(super) before: Option<&'static str>,
    pub(super) value: &'static str,
    pub(super) verdict: &'static str,
    /// Where exactly its sidecars differ.
    pub(super) fields: &'static [&'static str],
    /// What differs besides, where all fields are compared.
    pub(super) beyond: &'static [&'static str],
    /// Workloads that are spared, because they say otherwise by annotation.
    pub(super) spared: &'static [&'static str],
}

impl Setting {
    /// One that nothing comes of.
    pub(super) const fn new(variable: &'static str, before: Option<&'static str>, value: &'static str) -> Self {
        Self { variable, before, value, verdict: "in_sync", fields: &[], beyond: &[], spared: &[] }
    }

    pub(super) const fn changes(mut self, fields: &'static [&'static str]) -> Self {
        (self.verdict, self.fields) = ("drifted", fields);
        self
    }

    /// Nothing comes of it unless all fields are compared.
    pub(super) const fn changes_beyond(mut self, fields: &'static [&'static str]) -> Self {
        self.beyond = fields;
        self
    }

    /// With this value the injector refuses Pods.
    pub(super) const fn refuses_pods(mut self) -> Self {
        self.verdict = "rejected";
        self
    }

    pub(super) const fn but_not_for(mut self, workloads: &'static [&'static str]) -> Self {
        self.spared = workloads;
        self
    }

    fn expected(&self, workloads: &[&str], all_fields: bool) -> Observed {
        let beyond = if all_fields { self.beyond } else { &[] };
        let fields: BTreeSet<String> = self.fields.iter().chain(beyond).map(ToString::to_string).collect();
        let verdict = if fields.is_empty() { self.verdict } else { "drifted" };
        let expected = workloads.iter().map(|name| {
            let spared = self.spared.contains(name);
            let said = if spared { ("in_sync", BTreeSet::new()) } else { (verdict, fields.clone()) };
            ((*name).to_owned(), (said.0.to_owned(), said.1))
        });
        Observed(expected.collect())
    }
}

/// What a scan says of each workload: its verdict, and the fields that differ.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Observed(BTreeMap<String, (String, BTreeSet<String>)>);

impl Trial<'_> {
    /// Asks about all workloads, again and again, with a daemon beside it that would roll what differs.
    pub(super) async fn sweeps(&mut self) -> Result<()> {
        let before = self.revisions().await?;
        let daemon = self.enforce()?;
        for _ in 0..SWEEPS {
            self.scan(&[]).await?.all("in_sync")?;
        }
        ensure!(daemon.terminate().await?.success());
        ensure!(self.revisions().await? == before, "an untouched workload was rolled");
        let number = self.workloads.len();
        self.findings.add(
            format!("{SWEEPS} scans of {number} workloads that nobody touches, beside a daemon that enforces"),
            format!("{} times `in_sync`, no rollout", SWEEPS * number),
        );
        Ok(())
    }

    /// Changes one setting, finds that exactly this differs, and changes it back.
    pub(super) async fn setting(&mut self, setting: &Setting) -> Result<()> {
        let variable = setting.variable;
        self.injector.set(variable, Some(setting.value)).await?;
        let by_default = self.scan(&[]).await?;
        let all = self.scan(&["--fields=all"]).await?;
        self.injector.set(variable, setting.before).await?;
        self.scan(&["--fields=all"]).await?.all("in_sync").with_context(|| format!("{variable} is as it was"))?;
        by_default.is(&setting.expected(self.workloads, false)).with_context(|| variable)?;
        all.is(&setting.expected(self.workloads, true)).with_context(|| format!("{variable}, all fields"))?;
        let number = self.workloads.len();
        let found = match (by_default.describe(number), all.describe(number)) {
            (by_default, with_all) if by_default == with_all => by_default,
            (by_default, with_all) => format!("{by_default}; `--fields all`: {with_all}"),
        };
        self.findings.add(format!("`{variable}`"), found);
        Ok(())
    }

    /// Changes one setting for good; a daemon rolls exactly the workloads that differ, each once.
    pub(super) async fn enforced(&mut self, setting: &Setting) -> Result<()> {
        let before = self.revisions().await?;
        self.injector.set(setting.variable, Some(setting.value)).await?;
        let daemon = self.enforce()?;
        let drifted: Vec<&str> = self.workloads.iter().filter(|name| !setting.spared.contains(name)).copied().collect();
        for name in &drifted {
            let (kind, name) = name.split_once('/').context("a workload is named KIND/NAME")?;
            let ended = daemon.until_it_ends_a_rollout_of(kind, name).await?;
            ensure!(ended.text("outcome") == "converged", "{ended:?}");
        }
        self.scan(&[]).await?.all("in_sync")?;
        ensure!(daemon.terminate().await?.success());
        for (name, revisions) in self.revisions().await? {
            let more = usize::from(drifted.contains(&name.as_str()));
            ensure!(before.get(&name) == Some(&(revisions - more)), "{name}: {revisions} revisions");
        }
        let spared = self.workloads.len() - drifted.len();
        self.findings.add(
            format!("`{}`, in enforce mode", setting.variable),
            format!("{} workloads rolled once each and `converged`, {spared} untouched", drifted.len()),
        );
        Ok(())
    }

    /// Whatever is done to the injector, a daemon that enforces meanwhile rolls nothing.
    pub(super) async fn nothing_is_rolled(&self, what: impl AsyncFnOnce() -> Result<()>) -> Result<()> {
        let before = self.revisions().await?;
        let daemon = self.enforce()?;
        for name in self.workloads {
            daemon.until_verdict(name, "in_sync", None).await?;
        }
        what().await?;
        for name in self.workloads {
            daemon.until_verdict(name, "in_sync", None).await?;
        }
        ensure!(daemon.terminate().await?.success());
        ensure!(self.revisions().await? == before, "an untouched workload was rolled");
        Ok(())
    }

    /// All of its programs end while a daemon enforces; nothing in the cluster tells. Then they come back.
    pub(super) async fn down(&mut self, failure_policy: &'static str, expected: &'static str) -> Result<()> {
        let policy = move |webhooks: &mut Value, timeout: i64| {
            for webhook in webhooks.as_array_mut().into_iter().flatten() {
                webhook["failurePolicy"] = failure_policy.into();
                webhook["timeoutSeconds"] = timeout.into();
            }
        };
        self.injector.edit_webhooks(|webhooks| policy(webhooks, 10)).await?;
        self.nothing_is_rolled(async || {
            self.injector.stop().await?;
            // Whoever asks now gets no answer from it; the daemon asks, because this moves its configuration.
            self.injector.edit_webhooks(|webhooks| policy(webhooks, 9)).await?;
            let observed = self.scan(&[]).await?;
            observed.all(expected)?;
            self.injector.start().await
        })
        .await?;
        self.scan(&[]).await?.all("in_sync")?;
        self.findings.add(
            format!("down with `failurePolicy: {failure_policy}`, and back, under a daemon that enforces"),
            format!("all `{expected}`, then all `in_sync`; no rollout"),
        );
        Ok(())
    }

    /// Its answers come late, but they come.
    pub(super) async fn slow(&mut self, delay: Duration) -> Result<()> {
        self.injector.slow_down(delay);
        let observed = self.scan(&[]).await;
        self.injector.slow_down(Duration::ZERO);
        observed?.all("in_sync")?;
        self.findings.add(format!("each answer {} s late", delay.as_secs()), "all `in_sync`");
        Ok(())
    }

    /// One of its Pods is replaced by one with another setting, the others are not: no answer is worth anything until all
    /// are.
    pub(super) async fn half_way(&mut self, setting: &Setting) -> Result<()> {
        self.nothing_is_rolled(async || {
            self.injector.begin_to_set(setting.variable, Some(setting.value)).await?;
            // It waits in vain for the rollout to end, and says so by its exit code.
            let scan = self.story.run(&["scan", "--output=json"]).await?;
            ensure!(!scan.status.success(), "{}", scan.out);
            let report = Document(serde_json::from_str(&scan.out)?);
            observed(&report, self.workloads)?.all("settling")?;
            self.injector.set(setting.variable, setting.before).await
        })
        .await?;
        self.scan(&[]).await?.all("in_sync")?;
        self.findings.add(
            "one of its Pods replaced by another version, and back",
            "all `settling`, then all `in_sync`; no rollout",
        );
        Ok(())
    }

    /// What a scan says now.
    pub(super) async fn scan(&self, arguments: &[&str]) -> Result<Observed> {
        let report = self.story.run(&[&["scan", "--output=json"], arguments].concat()).await?.document()?;
        observed(&report, self.workloads)
    }

    pub(super) fn enforce(&self) -> Result<Daemon<'_>> {
        self.story.daemon(&ENFORCE)
    }

    /// How many versions of its template each workload has had.
    async fn revisions(&self) -> Result<BTreeMap<String, usize>> {
        let mut revisions = BTreeMap::new();
        for name in self.workloads {
            let (kind, short) = name.split_once('/').context("a workload is named KIND/NAME")?;
            revisions.insert((*name).to_owned(), self.story.ns.revisions_of(kind, short).await?.len());
        }
        Ok(revisions)
    }
}

impl Observed {
    /// An error unless this is the verdict on each.
    pub(super) fn all(&self, verdict: &str) -> Result<()> {
        let others: Vec<_> = self.0.iter().filter(|(_, (found, _))| found != verdict).collect();
        ensure!(others.is_empty(), "not {verdict}: {others:?}");
        Ok(())
    }

    fn is(&self, expected: &Self) -> Result<()> {
        for (name, found) in &self.0 {
            ensure!(expected.0.get(name) == Some(found), "{name}: {found:?}, not {:?}", expected.0.get(name));
        }
        Ok(())
    }

    /// In words: how many differ, and where.
    fn describe(&self, of: usize) -> String {
        let mut differing = self.0.values().filter(|(verdict, _)| verdict != "in_sync").peekable();
        let fields: BTreeSet<&str> =
            self.0.values().flat_map(|(_, fields)| fields.iter().map(String::as_str)).collect();
        let Some((verdict, _)) = differing.peek() else { return "all `in_sync`".to_owned() };
        let mut text = format!("`{verdict}`");
        for field in fields {
            let _ = write!(text, " `{field}`");
        }
        format!("{} of {of} {text}", differing.count())
    }
}

fn observed(report: &Document, workloads: &[&str]) -> Result<Observed> {
    let observed = workloads.iter().map(|name| Ok(((*name).to_owned(), said(report, name)?)));
    Ok(Observed(observed.collect::<Result<_>>()?))
}

/// The verdict on a workload (of an undetermined one the reason), and the fields that differ.
fn said(report: &Document, name: &str) -> Result<(String, BTreeSet<String>)> {
    let workload = report.workload(name)?;
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let verdict = text(if workload["verdict"] == "undetermined" { &workload["reason"] } else { &workload["verdict"] });
    let mut fields = BTreeSet::new();
    for group in workload["groups"].as_array().into_iter().flatten() {
        for sidecar in group["sidecars"].as_array().into_iter().flatten() {
            let pointers = sidecar["fields"].as_array().into_iter().flatten().map(|field| text(&field["pointer"]));
            fields.extend(pointers.map(|pointer| unmasked(&pointer)));
            if sidecar["difference"] != "changed" {
                fields.insert(format!("{} {}", text(&sidecar["name"]), text(&sidecar["difference"])));
            }
        }
        for field in group["collateral"].as_array().into_iter().flatten() {
            fields.insert(format!("collateral {}", text(&field["pointer"])));
        }
    }
    Ok((verdict, fields))
}

/// A pointer without the tags that stand for members of a value, which are new in each process.
fn unmasked(pointer: &str) -> String {
    pointer.split_once("/#").map_or(pointer, |(field, _)| field).to_owned()
}
