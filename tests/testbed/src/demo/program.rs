//! sidecar-drift itself: the binary that was built with this one, as its own ServiceAccount.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::{Value, json};
use testbed::{TestNamespace, Testbed};
use tokio::io::{AsyncBufReadExt as _, BufReader, Lines};
use tokio::process::{Child, ChildStderr, Command};
use tokio::time::{Instant, timeout};

/// A command that looks once takes seconds.
const COMMAND_DEADLINE: Duration = Duration::from_secs(90);
/// The daemon ends within a moment of being asked; the deadline is for a busy machine.
const STOP_DEADLINE: Duration = Duration::from_secs(30);

/// Namespace and ServiceAccount of the program.
pub(super) const NAME: &str = "sidecar-drift";
/// The ConfigMap that it keeps.
pub(super) const STATE: &str = "sidecar-drift-state";
/// All that it may do in the cluster: verbs, API group, resources.
const RIGHTS: [(&[&str], &str, &[&str]); 7] = [
    (&["list", "watch", "create"], "", &["pods"]),
    (&["list", "watch"], "", &["nodes", "serviceaccounts", "limitranges"]),
    // Whether a namespace that is named on the command line exists.
    (&["get", "list", "watch"], "", &["namespaces"]),
    (&["list", "watch"], "policy", &["poddisruptionbudgets"]),
    (&["get", "list", "watch", "patch"], "apps", &["deployments", "statefulsets", "daemonsets"]),
    (&["get", "list", "watch"], "apps", &["replicasets", "controllerrevisions"]),
    (
        &["list", "watch"],
        "admissionregistration.k8s.io",
        &["mutatingwebhookconfigurations", "mutatingadmissionpolicies", "mutatingadmissionpolicybindings"],
    ),
];

/// The program and how it reaches the cluster.
#[derive(Debug)]
pub(super) struct Program<'t> {
    testbed: &'t Testbed,
    binary: PathBuf,
    kubeconfig: PathBuf,
}

impl<'t> Program<'t> {
    /// Creates its namespace, its ServiceAccount and its rights.
    pub(super) async fn install(testbed: &'t Testbed) -> Result<Self> {
        let binary = binary()?;
        let namespace = testbed.create_namespace_named(NAME).await?;
        let kubeconfig = namespace.service_account(NAME).await?;
        for manifest in rights() {
            create(&namespace, manifest).await?;
        }
        Ok(Self { testbed, binary, kubeconfig })
    }

    /// Runs a command to its end and returns what it has printed.
    pub(super) async fn run(&self, arguments: &str) -> Result<String> {
        let mut command = self.command(arguments);
        let child = command.stdout(Stdio::piped()).spawn().context("cannot start sidecar-drift")?;
        let pid = child.id();
        let output = timeout(COMMAND_DEADLINE, child.wait_with_output()).await.with_context(|| {
            format!("`sidecar-drift {arguments}` has not ended within {} s", COMMAND_DEADLINE.as_secs())
        })??;
        pid.inspect(|pid| self.testbed.forget(*pid));
        let complaint = String::from_utf8_lossy(&output.stderr);
        ensure!(output.status.success(), "`sidecar-drift {arguments}` failed: {}", complaint.trim());
        Ok(String::from_utf8(output.stdout)?)
    }

    /// Starts the daemon.
    pub(super) fn start(&self, arguments: &str) -> Result<Daemon<'t>> {
        let mut child = self.command(arguments).stdout(Stdio::null()).spawn().context("cannot start sidecar-drift")?;
        let stderr = child.stderr.take().context("a daemon without a log")?;
        Ok(Daemon {
            testbed: self.testbed,
            child,
            log: BufReader::new(stderr).lines(),
            tail: Vec::new(),
            started: Instant::now(),
        })
    }

    fn command(&self, arguments: &str) -> Command {
        let mut command = self.testbed.command(&self.binary);
        // Nothing of this shell's environment changes what the demo shows.
        command.args(arguments.split_whitespace()).env_clear().env("KUBECONFIG", &self.kubeconfig);
        command.stdin(Stdio::null()).stderr(Stdio::piped());
        let mut command = Command::from(command);
        command.kill_on_drop(true);
        command
    }
}

/// A running daemon.
#[derive(Debug)]
pub(super) struct Daemon<'t> {
    testbed: &'t Testbed,
    child: Child,
    log: Lines<BufReader<ChildStderr>>,
    tail: Vec<String>,
    started: Instant,
}

impl Daemon<'_> {
    /// The next entry of its log. Fails when it has ended. Nothing is lost when the future is dropped.
    pub(super) async fn entry(&mut self) -> Result<Value> {
        let Some(line) = self.log.next_line().await? else {
            let status = self.child.wait().await?;
            bail!("the daemon ended by itself ({status}); its last words: {}", self.last_words());
        };
        let entry = serde_json::from_str(&line).unwrap_or_else(|_| json!({"message": line.clone()}));
        self.tail.push(line);
        let old = self.tail.len().saturating_sub(5);
        self.tail.drain(..old);
        Ok(entry)
    }

    /// Since it was started.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// The end of its log.
    pub(super) fn last_words(&self) -> String {
        self.tail.join("\n")
    }

    /// Asks it to end by SIGTERM; returns how long that took. Fails unless it exits with 0.
    pub(super) async fn stop(mut self) -> Result<Duration> {
        let pid = self.child.id().context("the daemon has ended by itself")?;
        let asked = Instant::now();
        let sent = Command::new("kill").args(["-TERM", &pid.to_string()]).status().await?;
        ensure!(sent.success(), "cannot send SIGTERM to the daemon");
        // Whatever it still says, so that it does not wait for us.
        let end = async {
            while self.log.next_line().await?.is_some() {}
            self.child.wait().await
        };
        let status = timeout(STOP_DEADLINE, end)
            .await
            .with_context(|| format!("the daemon has not ended within {} s of SIGTERM", STOP_DEADLINE.as_secs()))??;
        self.testbed.forget(pid);
        ensure!(status.success(), "the daemon ended with {status} after SIGTERM instead of 0");
        Ok(asked.elapsed())
    }
}

/// It is built into the same folder as this program.
fn binary() -> Result<PathBuf> {
    let binary = std::env::current_exe()?.with_file_name("sidecar-drift");
    ensure!(binary.is_file(), "{} is missing; `make demo` builds it", binary.display());
    Ok(binary)
}

fn rights() -> Vec<Value> {
    let rbac = "rbac.authorization.k8s.io";
    let version = format!("{rbac}/v1");
    let subject = json!([{"kind": "ServiceAccount", "name": NAME, "namespace": NAME}]);
    let rules =
        RIGHTS.map(|(verbs, group, resources)| json!({"verbs": verbs, "apiGroups": [group], "resources": resources}));
    let role = |kind: &str| json!({"apiGroup": rbac, "kind": kind, "name": NAME});
    let metadata = json!({"name": NAME});
    vec![
        json!({"apiVersion": version, "kind": "ClusterRole", "metadata": metadata, "rules": rules}),
        json!({
            "apiVersion": version,
            "kind": "ClusterRoleBinding",
            "metadata": metadata,
            "subjects": subject,
            "roleRef": role("ClusterRole"),
        }),
        json!({"apiVersion": version, "kind": "Role", "metadata": metadata, "rules": [
            // A creation cannot be granted by name.
            {"verbs": ["create"], "apiGroups": [""], "resources": ["configmaps"]},
            {
                "verbs": ["get", "list", "watch", "patch"],
                "apiGroups": [""],
                "resources": ["configmaps"],
                "resourceNames": [STATE],
            },
        ]}),
        json!({
            "apiVersion": version,
            "kind": "RoleBinding",
            "metadata": metadata,
            "subjects": subject,
            "roleRef": role("Role"),
        }),
    ]
}

/// Creates an object in this namespace, or in the cluster if it is of such a kind.
async fn create(namespace: &TestNamespace<'_>, manifest: Value) -> Result<()> {
    if manifest["kind"].as_str().is_some_and(|kind| kind.starts_with("Cluster")) {
        let object: kube::api::DynamicObject = serde_json::from_value(manifest)?;
        let types = object.types.clone().context("a manifest without a kind")?;
        let resource = kube::api::ApiResource::from_gvk(&kube::api::GroupVersionKind::try_from(&types)?);
        let api = kube::Api::<kube::api::DynamicObject>::all_with(namespace.client().clone(), &resource);
        api.create(&kube::api::PostParams::default(), &object).await?;
    } else {
        namespace.create(manifest).await?;
    }
    Ok(())
}
