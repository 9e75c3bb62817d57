//! The injectors and the workloads of the demo, and what should become of each.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use anyhow::{Context as _, Result};
use serde_json::Value;
use testbed::injector::{PolicyInjector, Sidecar};
use testbed::workload::{Workload, bare_pod, daemon_set, deployment, job, stateful_set};
use testbed::{TestNamespace, Testbed};

const OLD: &str = "1.27.0";
const NEW: &str = "1.27.1";

/// What the demo deploys.
pub(super) const MEMBERS: [Member; 10] = [
    Member::new("shop", "Deployment", "cart", 3, By::Mesh, Fate::Rolled),
    Member::new("shop", "Deployment", "web", 2, By::Mesh, Fate::Rolled),
    Member::new("shop", "Deployment", "search", 2, By::Mesh, Fate::InSync),
    Member::new("shop", "Pod", "debug", 1, By::Mesh, Fate::Unsupported),
    Member::new("payments", "Deployment", "checkout", 2, By::NativeMesh, Fate::Rolled),
    Member::new("payments", "StatefulSet", "ledger", 2, By::Mesh, Fate::Rolled),
    Member::new("payments", "Deployment", "legacy", 2, By::Mesh, Fate::OptedOut),
    Member::new("payments", "Job", "import", 1, By::Mesh, Fate::Unsupported),
    Member::new("platform", "DaemonSet", "node-logs", 3, By::Mesh, Fate::Rolled),
    Member::new("platform", "Deployment", "reports", 2, By::Vault, Fate::InSync),
];

/// The one that is deployed after the injector has changed.
const LATE: &str = "search";

/// One workload.
#[derive(Debug, Clone, Copy)]
pub(super) struct Member {
    pub(super) namespace: &'static str,
    pub(super) kind: &'static str,
    pub(super) name: &'static str,
    replicas: u32,
    pub(super) by: By,
    pub(super) fate: Fate,
}

/// Who injects the sidecar.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum By {
    Mesh,
    NativeMesh,
    /// This one does not change.
    Vault,
}

/// What should become of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Fate {
    /// Drifted, so it is rolled once.
    Rolled,
    /// Up to date, so it is left alone.
    InSync,
    /// Drifted, but its owner does not want it touched.
    OptedOut,
    /// Nothing that could be rolled owns its Pods.
    Unsupported,
}

impl Member {
    const fn new(
        namespace: &'static str,
        kind: &'static str,
        name: &'static str,
        replicas: u32,
        by: By,
        fate: Fate,
    ) -> Self {
        Self { namespace, kind, name, replicas, by, fate }
    }

    fn is_late(&self) -> bool {
        self.name == LATE
    }

    fn manifest(&self, label: (&'static str, String)) -> Workload {
        let workload = match self.kind {
            "StatefulSet" => stateful_set(self.name, self.replicas),
            "DaemonSet" => daemon_set(self.name),
            "Job" => job(self.name),
            "Pod" => bare_pod(self.name),
            _ => deployment(self.name, self.replicas),
        };
        let workload = workload.pod_label(label);
        if self.fate == Fate::OptedOut { workload.annotation("sidecar-drift/mode", "report") } else { workload }
    }

    /// Why it is in the demo.
    fn remark(&self) -> &'static str {
        match (self.fate, self.kind, self.by) {
            (Fate::OptedOut, ..) => "its owner opted out: annotation sidecar-drift/mode: report",
            (Fate::Unsupported, "Job", _) => "a Job: nothing could roll it",
            (Fate::Unsupported, ..) => "a bare Pod: nobody would create it again",
            (.., By::NativeMesh) => "its sidecar is a native one (an init container that keeps running)",
            (.., By::Vault) => "another injector's, which will not change",
            _ => "",
        }
    }
}

impl fmt::Display for Member {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}/{}/{}", self.kind, self.namespace, self.name)
    }
}

/// The Pods of a workload: uid, and the image of the sidecar.
pub(super) type Pods = BTreeMap<String, String>;

/// The Pods of every workload at one moment.
pub(super) type Snapshot = BTreeMap<String, Pods>;

/// What is deployed.
pub(super) struct Fleet<'t> {
    namespaces: BTreeMap<&'static str, TestNamespace<'t>>,
    mesh: PolicyInjector<'t>,
    native_mesh: PolicyInjector<'t>,
    vault: PolicyInjector<'t>,
}

impl<'t> Fleet<'t> {
    /// Installs the injectors and creates the namespaces.
    pub(super) async fn install(testbed: &'t Testbed) -> Result<Self> {
        let mut namespaces = BTreeMap::new();
        for name in MEMBERS.iter().map(|member| member.namespace).collect::<BTreeSet<_>>() {
            namespaces.insert(name, testbed.create_namespace_named(name).await?);
        }
        let mesh_system = testbed.create_namespace_named("mesh-system").await?;
        let native = mesh_system.create_companion("native").await?;
        let vault = testbed.create_namespace_named("vault").await?;
        Ok(Self {
            namespaces,
            mesh: PolicyInjector::install(&mesh_system, Sidecar::new("mesh-proxy").version(OLD)).await?,
            native_mesh: PolicyInjector::install(&native, Sidecar::native("mesh-proxy").version(OLD)).await?,
            vault: PolicyInjector::install(&vault, Sidecar::new("vault-agent").version("1.20.0")).await?,
        })
    }

    /// Deploys what is there before the change; each is returned as a row of a table.
    pub(super) async fn deploy(&self) -> Result<Vec<[String; 5]>> {
        let early = || MEMBERS.iter().filter(|member| !member.is_late());
        let deployments = early().map(|member| self.deploy_one(member));
        futures::future::try_join_all(deployments).await?;
        let mut rows = Vec::new();
        for member in early() {
            let pods = self.pods(member).await?;
            let sidecars: BTreeSet<_> = pods.values().map(|image| short(image)).collect();
            rows.push([
                member.namespace.to_owned(),
                format!("{}/{}", member.kind, member.name),
                pods.len().to_string(),
                sidecars.into_iter().collect::<Vec<_>>().join(", "),
                member.remark().to_owned(),
            ]);
        }
        Ok(rows)
    }

    /// Changes the mesh's injector in both its forms, and deploys what comes after; returns the changes in words.
    pub(super) async fn change(&mut self) -> Result<Vec<String>> {
        let before = self.mesh.sidecar().clone();
        for injector in [&mut self.mesh, &mut self.native_mesh] {
            injector.update(|sidecar| *sidecar = sidecar.clone().version(NEW).env("PROXY_DRAIN_SECONDS", "30")).await?;
        }
        let after = self.mesh.sidecar();
        let mut said = vec![format!("image  {} → {}", before.image(), after.image())];
        let new = after.env.iter().filter(|variable| !before.env.contains(variable));
        said.extend(new.map(|(name, value)| format!("env    {name}={value} (new)")));
        for member in MEMBERS.iter().filter(|member| member.is_late()) {
            self.deploy_one(member).await?;
        }
        Ok(said)
    }

    /// The policy to change, for a person who wants to play on.
    pub(super) fn policy(&self) -> &str {
        self.mesh.name()
    }

    async fn deploy_one(&self, member: &Member) -> Result<()> {
        let label = self.injector(member).label();
        self.namespace(member)?.deploy(member.manifest(label)).await
    }

    /// All Pods of all workloads.
    pub(super) async fn snapshot(&self) -> Result<Snapshot> {
        let mut snapshot = Snapshot::new();
        for member in &MEMBERS {
            snapshot.insert(member.to_string(), self.pods(member).await?);
        }
        Ok(snapshot)
    }

    /// The image of the sidecar that this workload's Pods should run now.
    pub(super) fn image(&self, member: &Member) -> String {
        self.injector(member).sidecar().image()
    }

    /// Where it is.
    pub(super) fn namespace(&self, member: &Member) -> Result<&TestNamespace<'t>> {
        self.namespaces.get(member.namespace).with_context(|| format!("no namespace {}", member.namespace))
    }

    fn injector(&self, member: &Member) -> &PolicyInjector<'t> {
        match member.by {
            By::Mesh => &self.mesh,
            By::NativeMesh => &self.native_mesh,
            By::Vault => &self.vault,
        }
    }

    async fn pods(&self, member: &Member) -> Result<Pods> {
        let sidecar = &self.injector(member).sidecar().name;
        let found = self.namespace(member)?.pods_of(member.kind, member.name).await?;
        let mut pods = Pods::new();
        for pod in found {
            let pod = serde_json::to_value(pod)?;
            let uid = pod["metadata"]["uid"].as_str().context("a Pod without a uid")?;
            pods.insert(uid.to_owned(), image_of(&pod, sidecar).unwrap_or("none").to_owned());
        }
        Ok(pods)
    }
}

/// The image of a container, in whichever list it is.
fn image_of<'a>(pod: &'a Value, container: &str) -> Option<&'a str> {
    let lists = ["initContainers", "containers"].map(|list| pod["spec"][list].as_array());
    let found = lists.into_iter().flatten().flatten().find(|one| one["name"] == container)?;
    found["image"].as_str()
}

/// An image without its registry.
fn short(image: &str) -> &str {
    image.rsplit('/').next().unwrap_or(image)
}
