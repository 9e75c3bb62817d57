//! Workloads of an injector that misbehaves, beside workloads of one that does not and that all have to be rolled.

use anyhow::{Context as _, Result, ensure};
use futures::future::try_join_all;
use jiff::SignedDuration;
use k8s_openapi::api::{admissionregistration::v1::MutatingWebhookConfiguration, core::v1::Pod};
use kube::{Api, ResourceExt as _, api::DeleteParams};
use serde_json::Value;
use sidecar_drift::clock;
use testbed::{
    TestNamespace, Testbed, eventually,
    injector::{PolicyInjector, Reach, Sidecar, WebhookInjector, WebhookOptions},
    workload::{Workload, deployment},
};

use crate::support::{DEADLINE, Daemon, Rights, Story, story};

/// Those that have to be rolled.
const GENUINE: usize = 5;

/// What changed this long before a daemon's start still settles: the default of `--settle`, and what the times of objects
/// and this clock may differ by.
const HEEDED: SignedDuration = SignedDuration::from_secs(8);

/// Nothing but the patience of tests is different from what is the default.
const ENFORCE: [&str; 7] = [
    "--mode=enforce",
    "--without-guard",
    "--max-rollouts-per-hour=unlimited",
    "--soak=1s",
    "--parallel-rollouts=4",
    "--parallel-per-namespace=4",
    "--max-renders-per-second=100",
];

/// The fleet of one hazard.
pub(super) struct Bystanders<'a, 't> {
    pub(super) story: &'a Story<'t>,
    /// The one that misbehaves.
    pub(super) odd: WebhookInjector<'t>,
    genuine: PolicyInjector<'t>,
    odd_ones: Vec<String>,
}

/// What a verdict is, with its reason if it is `undetermined`.
pub(super) type Expected = [(&'static str, &'static str)];

/// A webhook that is reached without anything in the cluster, and whose failures are ignored.
pub(super) const BY_URL: WebhookOptions =
    WebhookOptions { reach: Reach::Url, selection: testbed::injector::Selection::LabelledPods, ignore_failures: true };

/// Whether this cluster can have both injectors.
pub(crate) async fn supported() -> Result<bool> {
    let testbed = Testbed::shared().await?;
    Ok(testbed.supports_mutating_admission_policy() && testbed.supports_webhook_injectors())
}

/// Runs one hazard: `count` workloads of an injector that `install`ed, in a story that may enforce.
pub(super) async fn beside_genuine_drift(
    name: &str,
    count: usize,
    (sidecar, options): (Sidecar, WebhookOptions),
    test: impl AsyncFnOnce(&mut Bystanders<'_, '_>) -> Result<()>,
) -> Result<()> {
    beside_genuine_drift_of(name, count, (sidecar, options), |workload| workload, test).await
}

/// The same with workloads of the odd injector that are `prepared` in some way.
pub(super) async fn beside_genuine_drift_of(
    name: &str,
    count: usize,
    (sidecar, options): (Sidecar, WebhookOptions),
    prepared: impl Fn(Workload) -> Workload,
    test: impl AsyncFnOnce(&mut Bystanders<'_, '_>) -> Result<()>,
) -> Result<()> {
    if !supported().await? {
        return testbed::skip("it takes a policy and a webhook of our own");
    }
    story(name, Rights::Enforce, async |story| {
        let ns = &story.ns;
        let (genuine, odd) = tokio::try_join!(
            PolicyInjector::install(ns, Sidecar::new("mesh")),
            WebhookInjector::install_with(ns, sidecar, options),
        )?;
        story.create_state().await?;
        let mut fleet = Bystanders { story, odd, genuine, odd_ones: names("odd", count) };
        let label = fleet.genuine.label();
        tokio::try_join!(
            deploy(ns, names("genuine", GENUINE), label.clone(), &|workload| workload),
            deploy(ns, fleet.odd_ones.clone(), fleet.odd.label(), &prepared),
        )?;
        fleet.genuine.set_version("v2").await?;
        test(&mut fleet).await
    })
    .await
}

fn names(prefix: &str, count: usize) -> Vec<String> {
    (1..=count).map(|number| format!("{prefix}-{number}")).collect()
}

async fn deploy(
    ns: &TestNamespace<'_>,
    names: Vec<String>,
    label: (&'static str, String),
    prepared: &impl Fn(Workload) -> Workload,
) -> Result<()> {
    let deployed = names.iter().map(|name| ns.deploy(prepared(deployment(name, 1).pod_label(label.clone()))));
    try_join_all(deployed).await.map(drop)
}

impl<'t> Bystanders<'_, 't> {
    /// Waits until a daemon that starts now does not count the odd injector as one that moved a moment ago: Pods born soon
    /// after a move prove nothing.
    pub(super) async fn until_the_injector_counts_as_settled(&self) -> Result<()> {
        let configurations: Api<MutatingWebhookConfiguration> = Api::all(self.story.ns.client().clone());
        let name = self.odd.name();
        eventually(format_args!("{name} is older than what still settles"), DEADLINE, async || {
            let created = configurations.get(name).await?.creation_timestamp().context("no creation time")?.0;
            Ok((clock::now().wall.duration_since(created) > HEEDED).then_some(()))
        })
        .await
    }

    /// Starts a daemon that may roll.
    pub(super) fn daemon(&self) -> Result<Daemon<'t>> {
        self.story.daemon(&ENFORCE)
    }

    /// Waits until all that had to be rolled were, and then until the daemon's last word on each of the others is one of
    /// these, at the same time.
    pub(super) async fn until_all_is_done(&self, daemon: &Daemon<'_>, expected: &Expected) -> Result<()> {
        for name in names("genuine", GENUINE) {
            let ended = daemon.until_it_ends_a_rollout_of("Deployment", &name).await?;
            assert_eq!(ended.text("outcome"), "converged", "{ended:?}");
        }
        self.until_odd_ones_are(daemon, expected).await
    }

    /// Waits until the daemon's last word on each of the odd ones is one of these.
    pub(super) async fn until_odd_ones_are(&self, daemon: &Daemon<'_>, expected: &Expected) -> Result<()> {
        eventually(format_args!("the odd ones are {expected:?}"), DEADLINE, async || {
            let lines = daemon.lines()?;
            let word = |name: &String| {
                let last = lines.iter().rfind(|line| line.is("verdict changed") && line.is_about("Deployment", name));
                last.map(|line| (line.text("to").to_owned(), line.text("reason").to_owned()))
            };
            let is_expected = |(to, reason): &(String, String)| {
                expected.iter().any(|(v, r)| v == to && (r.is_empty() || r == reason))
            };
            Ok(self.odd_ones.iter().all(|name| is_expected(&word(name).unwrap_or_default())).then_some(()))
        })
        .await
    }

    /// How often all of the odd ones together were rolled, and the most that one of them was. Those that had to be
    /// rolled were, once each.
    pub(super) async fn rollouts(&self) -> Result<(usize, usize)> {
        let ns = &self.story.ns;
        for name in names("genuine", GENUINE) {
            let revisions = ns.revisions_of("Deployment", &name).await?;
            ensure!(revisions.len() == 2, "{name} was not rolled exactly once: {revisions:#?}");
            let sidecar = self.genuine.sidecar();
            for pod in ns.pods_of("Deployment", &name).await? {
                ensure!(sidecar.is_in(&serde_json::to_value(&pod)?), "{name} is not as injected now: {pod:?}");
            }
        }
        let mut rollouts = Vec::new();
        for name in &self.odd_ones {
            rollouts.push(ns.revisions_of("Deployment", name).await?.len().checked_sub(1).context("no revision")?);
        }
        Ok((rollouts.iter().sum(), rollouts.into_iter().max().unwrap_or_default()))
    }

    /// What a scan of its own says of the odd ones: verdict and reason, each that occurs once.
    pub(super) async fn scan(&self, arguments: &[&str]) -> Result<Vec<(String, String)>> {
        let always = ["scan", "--output=json", "--max-renders-per-second=100"];
        let report = self.story.run(&[&always, arguments].concat()).await?.document()?;
        ensure!(report.0["complete"] == true, "{:#}", report.0);
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let mut all = Vec::new();
        for name in &self.odd_ones {
            let found = report.workload(&format!("Deployment/{name}"))?;
            all.push((text(&found["verdict"]), text(&found["reason"])));
        }
        all.sort_unstable();
        all.dedup();
        Ok(all)
    }

    /// Runs the daemon until all is done; the odd ones are as expected to it and to a scan, and none was rolled.
    pub(super) async fn none_is_rolled(&self, expected: &Expected) -> Result<()> {
        let daemon = self.daemon()?;
        self.until_all_is_done(&daemon, expected).await?;
        for (verdict, reason) in self.scan(&[]).await? {
            ensure!(expected.iter().any(|(v, r)| *v == verdict && *r == reason), "a scan says {verdict} {reason}");
        }
        ensure!(daemon.terminate().await?.success());
        ensure!(self.rollouts().await?.0 == 0, "rolled needlessly: {:?}", self.rollouts().await?);
        Ok(())
    }

    /// Replaces the Pods of the odd ones by what is injected now, as a drained node does.
    pub(super) async fn renew(&self) -> Result<()> {
        let ns = &self.story.ns;
        for name in &self.odd_ones {
            for pod in ns.pods_of("Deployment", name).await? {
                ns.api::<Pod>().delete(&pod.name_any(), &DeleteParams::default().grace_period(0)).await?;
            }
        }
        for name in &self.odd_ones {
            ns.wait_for_rollout("Deployment", name).await?;
        }
        Ok(())
    }

    /// The names of the odd ones.
    pub(super) fn odd_ones(&self) -> &[String] {
        &self.odd_ones
    }
}
