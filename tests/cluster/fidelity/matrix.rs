//! Every kind of workload, of sidecar, of change and of injector.

use std::fmt::Write as _;

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use serde_json::{Value, json};
use testbed::{
    TestNamespace,
    injector::{Failure, Placement, PolicyInjector, Sidecar, WebhookInjector},
    workload::{Workload, daemon_set, deployment, stateful_set},
};

use super::bystanders::{BY_URL, supported};
use crate::support::{Document, INJECT, Rights, story};

const KINDS: [&str; 3] = ["Deployment", "StatefulSet", "DaemonSet"];

/// What becomes of a sidecar after its Pods were born, and what is to be said of it.
const CHANGES: [(&str, &str); 9] = [
    ("image", "drifted: changed /image"),
    ("arg", "drifted: changed /args/1"),
    ("env-added", "drifted: changed /env/ADDED/value"),
    ("env-removed", "drifted: changed /env/REMOVED/value"),
    ("env-changed", "drifted: changed /env/CHANGED/value"),
    ("placement", "drifted: placement /placement"),
    // One dry run, or two, cannot tell it from an injector that is down.
    ("removed", "undetermined: injector_unavailable"),
    ("missing", "missing: missing"),
    ("unchanged", "in_sync"),
];

#[derive(Clone, Copy, Debug)]
enum Mechanism {
    Policy,
    Webhook,
}

/// One injector for the three workloads of a line of the matrix.
struct Line<'t> {
    change: &'static str,
    placement: Placement,
    mechanism: Mechanism,
    policy: Option<PolicyInjector<'t>>,
    webhook: Option<WebhookInjector<'t>>,
}

impl<'t> Line<'t> {
    fn all() -> impl Iterator<Item = Self> {
        let lines = CHANGES.iter().flat_map(|(change, _)| {
            [Placement::Ordinary, Placement::Native].into_iter().flat_map(move |placement| {
                [Mechanism::Policy, Mechanism::Webhook].map(|mechanism| (*change, placement, mechanism))
            })
        });
        lines.map(|(change, placement, mechanism)| Self { change, placement, mechanism, policy: None, webhook: None })
    }

    fn name(&self) -> String {
        format!("{}-{:?}-{:?}", self.change, self.placement, self.mechanism).to_lowercase()
    }

    fn sidecar(&self) -> Sidecar {
        let sidecar = match self.placement {
            Placement::Ordinary => Sidecar::new(&self.name()),
            Placement::Native => Sidecar::native(&self.name()),
        };
        sidecar.env("REMOVED", "yes").env("CHANGED", "before")
    }

    async fn install(&mut self, ns: &TestNamespace<'t>) -> Result<()> {
        match self.mechanism {
            Mechanism::Policy => self.policy = Some(PolicyInjector::install(ns, self.sidecar()).await?),
            Mechanism::Webhook => {
                self.webhook = Some(WebhookInjector::install_with(ns, self.sidecar(), BY_URL).await?);
            }
        }
        Ok(())
    }

    /// Changes what is injected from now on.
    async fn turn(&mut self, ns: &TestNamespace<'t>) -> Result<()> {
        if self.change == "missing" {
            return self.install(ns).await;
        }
        let (change, other) = (self.change, self.other_placement());
        let alter = |sidecar: &mut Sidecar| match change {
            "image" => "v2".clone_into(&mut sidecar.version),
            "arg" => sidecar.args.iter_mut().skip(1).for_each(|arg| "edge".clone_into(arg)),
            "env-added" => *sidecar = sidecar.clone().env("ADDED", "yes"),
            "env-removed" => sidecar.env.retain(|(name, _)| name != "REMOVED"),
            "env-changed" => *sidecar = sidecar.clone().env("CHANGED", "after"),
            "placement" => sidecar.placement = other,
            _ => {}
        };
        match (change, &mut self.policy, &self.webhook) {
            ("removed", policy @ Some(_), _) => policy.take().context("no policy")?.uninstall().await,
            ("removed", None, Some(webhook)) => {
                webhook.set(|knobs| knobs.failure = Some(Failure::Unpatched));
                Ok(())
            }
            ("unchanged", ..) => Ok(()),
            (_, Some(policy), _) => policy.update(alter).await,
            (_, None, webhook) => {
                webhook.as_ref().context("no webhook")?.set(|knobs| alter(&mut knobs.sidecar));
                Ok(())
            }
        }
    }

    fn other_placement(&self) -> Placement {
        match self.placement {
            Placement::Ordinary => Placement::Native,
            Placement::Native => Placement::Ordinary,
        }
    }

    async fn deploy(&self, ns: &TestNamespace<'_>) -> Result<()> {
        let label = (INJECT, format!("{}-{}", ns.name(), self.name()));
        let one_node = |manifest: &mut Value| {
            manifest["spec"]["template"]["spec"]["nodeSelector"] = json!({"kubernetes.io/hostname": "node-1"});
        };
        let deploy = |workload: Workload| ns.deploy(workload.pod_label(label.clone()));
        let name = self.name();
        let agent = daemon_set(&name).with(one_node);
        tokio::try_join!(deploy(deployment(&name, 1)), deploy(stateful_set(&name, 1)), deploy(agent)).map(drop)
    }
}

/// Verdict, and what it is made of.
fn cell(report: &Document, kind: &str, name: &str) -> Result<String> {
    let workload = report.workload(&format!("{kind}/{name}"))?;
    let mut cell = workload["verdict"].as_str().context("no verdict")?.to_owned();
    let mut separator = ": ";
    let mut say = |text: &str| {
        cell.push_str(separator);
        cell.push_str(text);
        separator = " ";
    };
    workload["reason"].as_str().into_iter().for_each(&mut say);
    for group in workload["groups"].as_array().into_iter().flatten() {
        for sidecar in group["sidecars"].as_array().into_iter().flatten() {
            say(sidecar["difference"].as_str().context("no difference")?);
            let fields = sidecar["fields"].as_array().into_iter().flatten();
            fields.filter_map(|field| field["pointer"].as_str()).for_each(&mut say);
        }
    }
    Ok(cell)
}

#[tokio::test]
async fn r1_r2_r8_c2_c3_c13_the_matrix() -> Result<()> {
    if !supported().await? {
        return testbed::skip("it takes a policy and a webhook of our own");
    }
    story("matrix", Rights::Report, async |story| {
        let ns = &story.ns;
        let mut lines: Vec<_> = Line::all().collect();
        let early = lines.iter_mut().filter(|line| line.change != "missing");
        try_join_all(early.map(|line| line.install(ns))).await?;
        try_join_all(lines.iter().map(|line| line.deploy(ns))).await?;
        try_join_all(lines.iter_mut().map(|line| line.turn(ns))).await?;

        let scan = ["scan", "--output=json", "--max-renders-per-second=500", "--render-burst=500"];
        let report = story.run(&[&scan[..], &["--renders-in-flight=8"]].concat()).await?.document()?;
        assert_eq!(report.0["complete"], true);

        let mut table = String::new();
        let mut wrong = Vec::new();
        for line in &lines {
            let expected = CHANGES.iter().find(|(change, _)| *change == line.change).context("no such change")?.1;
            write!(table, "{:30}", line.name())?;
            for kind in KINDS {
                let said = cell(&report, kind, &line.name())?;
                write!(table, " | {said:36}")?;
                if said != expected {
                    wrong.push(format!("{kind}/{}: {said}, not {expected}", line.name()));
                }
            }
            table.push('\n');
        }
        println!("{:30} | {:36} | {:36} | {:36}\n{table}", "", KINDS[0], KINDS[1], KINDS[2]);
        assert!(wrong.is_empty(), "{wrong:#?}");
        Ok(())
    })
    .await
}
