//! [`Testbed`]: a control plane as tests, the demo and the benchmarks see it.

use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::config::Kubeconfig;
use kube::{Client, Config};
use tokio::sync::OnceCell;

use crate::assets::Assets;
use crate::audit::Audit;
use crate::control_plane::{ControlPlane, Options};
use crate::environment::Environment;
use crate::kubeconfig::{self, User};
use crate::openkruise::OpenKruise;
use crate::progress;
use crate::run_directory::RunDirectory;

/// A Kubernetes cluster to test against: our own control plane, or, with `USE_EXISTING_CLUSTER=1`, somebody's cluster.
#[derive(Debug)]
pub struct Testbed {
    backend: Backend,
    kubeconfig: PathBuf,
    api_url: String,
    supports_mutating_admission_policy: bool,
    keep: bool,
    /// Started by the first test that needs it.
    pub(crate) openkruise: OnceCell<OpenKruise>,
}

#[derive(Debug)]
enum Backend {
    Own { control_plane: Box<ControlPlane>, assets: Assets },
    Existing { directory: RunDirectory },
}

impl Testbed {
    /// The one of this process, started when it is first asked for. It ends with the process.
    pub async fn shared() -> Result<&'static Self> {
        static SHARED: OnceCell<Result<Testbed, String>> = OnceCell::const_new();

        let shared = SHARED.get_or_init(|| async {
            let start = async {
                let environment = Environment::read()?;
                let options = Options {
                    emulated_version: environment.emulated_version.clone(),
                    keep: environment.keep,
                    ..Options::default()
                };
                Self::start_with(environment, options).await
            };
            // Kept as text: an error cannot be cloned, and every test of the binary has to fail with it.
            start.await.map_err(|error| format!("{error:#}"))
        });
        shared.await.as_ref().map_err(|error| anyhow!("{error}"))
    }

    /// One of its own, for a test that breaks it or needs another version. It ends when it is dropped.
    pub async fn start(options: Options) -> Result<Self> {
        Self::start_with(Environment::read()?, options).await
    }

    async fn start_with(environment: Environment, options: Options) -> Result<Self> {
        if environment.use_existing_cluster {
            return Self::existing(environment.keep).await;
        }
        let assets = tokio::task::spawn_blocking(move || Assets::locate(&environment)).await??;
        let control_plane = Box::new(ControlPlane::start(&assets, &options).await?);
        if options.keep {
            progress::say(format_args!("everything stays in {}", control_plane.directory.path().display()));
        }
        let kubeconfig = control_plane.files.admin.clone();
        let api_url = control_plane.api_url.clone();
        Self::connected(Backend::Own { control_plane, assets }, kubeconfig, api_url, options.keep).await
    }

    async fn existing(keep: bool) -> Result<Self> {
        let current = Kubeconfig::read().context("USE_EXISTING_CLUSTER is set, but there is no kubeconfig")?;
        let directory = RunDirectory::create(false)?;
        // One file, whatever KUBECONFIG lists: what we hand to a daemon under test.
        let kubeconfig = directory.join("admin.kubeconfig");
        kubeconfig::write(&kubeconfig, &current)?;
        let api_url = kubeconfig::load(&kubeconfig).await?.cluster_url.to_string();
        progress::say(format_args!("using the existing cluster at {api_url}"));
        Self::connected(Backend::Existing { directory }, kubeconfig, api_url, keep).await
    }

    async fn connected(backend: Backend, kubeconfig: PathBuf, api_url: String, keep: bool) -> Result<Self> {
        let client = kubeconfig::client(&kubeconfig).await?;
        let served = client.list_api_group_resources("admissionregistration.k8s.io/v1").await?;
        let supports_mutating_admission_policy =
            served.resources.iter().any(|resource| resource.name == "mutatingadmissionpolicies");
        let openkruise = OnceCell::new();
        Ok(Self { backend, kubeconfig, api_url, supports_mutating_admission_policy, keep, openkruise })
    }

    /// The administrator's kubeconfig file.
    pub fn kubeconfig(&self) -> &Path {
        &self.kubeconfig
    }

    /// Where the API server listens.
    pub fn api_url(&self) -> &str {
        &self.api_url
    }

    /// The administrator's client configuration, with kube's own retries off.
    pub async fn client_config(&self) -> Result<Config> {
        kubeconfig::load(&self.kubeconfig).await
    }

    /// An administrator's client. It ends with the calling runtime: every test makes its own.
    pub async fn client(&self) -> Result<Client> {
        kubeconfig::client(&self.kubeconfig).await
    }

    /// Whether the cluster has `MutatingAdmissionPolicy` v1 (1.36 has, 1.33 has not). A test that needs it says so and ends.
    pub fn supports_mutating_admission_policy(&self) -> bool {
        self.supports_mutating_admission_policy
    }

    /// Whether webhooks that run in this process can be reached from the API server.
    pub fn supports_webhook_injectors(&self) -> bool {
        matches!(self.backend, Backend::Own { .. })
    }

    /// The audit log of our own control plane; an existing cluster's cannot be read.
    pub fn audit(&self) -> Option<Audit> {
        match &self.backend {
            Backend::Own { control_plane, .. } => Some(Audit::new(&control_plane.files.audit_log)),
            Backend::Existing { .. } => None,
        }
    }

    /// The programs of our own control plane, `kubectl` among them.
    pub fn assets(&self) -> Option<&Assets> {
        match &self.backend {
            Backend::Own { assets, .. } => Some(assets),
            Backend::Existing { .. } => None,
        }
    }

    /// A directory that is removed when the process has ended, however it ends: for logs, kubeconfigs and recordings.
    pub fn directory(&self) -> &Path {
        self.run_directory().path()
    }

    /// A command whose process dies with this one, however this one ends, and that Ctrl-C does not reach. Once it has
    /// been waited for, [`forget`](Self::forget) has to know.
    pub fn command(&self, program: &Path) -> Command {
        self.run_directory().command(program)
    }

    /// Says that a process of [`command`](Self::command) is gone: its process id may soon be another's.
    pub fn forget(&self, pid: u32) {
        RunDirectory::forget(self.directory(), pid);
    }

    pub(crate) fn run_directory(&self) -> &RunDirectory {
        match &self.backend {
            Backend::Own { control_plane, .. } => &control_plane.directory,
            Backend::Existing { directory } => directory,
        }
    }

    /// An error if a program of our own control plane, or a controller beside it, has ended by itself.
    pub(crate) fn check(&self) -> Result<()> {
        self.openkruise.get().map_or(Ok(()), OpenKruise::check)?;
        match &self.backend {
            Backend::Own { control_plane, .. } => control_plane.check(),
            Backend::Existing { .. } => Ok(()),
        }
    }

    pub(crate) fn keeps(&self) -> bool {
        self.keep
    }

    /// A kubeconfig for a ServiceAccount that exists, with a token of the API server's own making: what is done with it
    /// can be told apart in the audit log by `system:serviceaccount:<namespace>:<name>`.
    pub async fn service_account_kubeconfig(&self, namespace: &str, name: &str) -> Result<PathBuf> {
        let token = self.service_account_token(namespace, name).await?;
        let path = self.run_directory().join(format!("{namespace}.{name}.kubeconfig"));
        let admin = serde_json::to_value(Kubeconfig::read_from(&self.kubeconfig)?)?;
        let kubeconfig = kubeconfig::for_user(admin, &User::Token(&token));
        kubeconfig::write(&path, &kubeconfig)?;
        Ok(path)
    }

    pub(crate) async fn service_account_token(&self, namespace: &str, name: &str) -> Result<String> {
        let accounts: Api<ServiceAccount> = Api::namespaced(self.client().await?, namespace);
        let half_a_day = TokenRequestSpec { expiration_seconds: Some(12 * 60 * 60), ..TokenRequestSpec::default() };
        let request = TokenRequest { spec: Some(half_a_day), ..TokenRequest::default() };
        let answer = accounts
            .create_token_request(name, &PostParams::default(), &request)
            .await
            .with_context(|| format!("no token for the ServiceAccount {namespace}/{name}"))?;
        answer.status.and_then(|status| status.token).context("a token request was answered without a token")
    }

    /// Kills the API server of our own control plane: watches break, requests are refused. For a testbed of the test's own.
    pub async fn kill_api_server(&self) -> Result<()> {
        self.control_plane()?.kill_api_server().await;
        Ok(())
    }

    /// Starts the API server again, on the same address, and waits until it is ready.
    pub async fn restart_api_server(&self) -> Result<()> {
        self.control_plane()?.restart_api_server().await
    }

    /// Puts a MutatingWebhookConfiguration where the API server reads what no client can list, and starts it again, so that it is in
    /// force. Its name must end in `.static.k8s.io`, and its webhooks must be found by URL. For a testbed with
    /// [`Options::static_webhooks`].
    pub async fn write_static_webhook(&self, configuration: &serde_json::Value) -> Result<()> {
        let control_plane = self.control_plane()?;
        let path = control_plane.files.static_webhooks.join("webhook.json");
        std::fs::write(&path, configuration.to_string()).with_context(|| format!("cannot write {}", path.display()))?;
        control_plane.restart_api_server().await
    }

    /// Lets etcd forget all versions but the newest, as it does every few minutes in a cluster that is busy: whoever watches from
    /// an older one on is told so (410), once the API server has been started again and so has forgotten, too.
    pub async fn compact_etcd(&self) -> Result<()> {
        self.control_plane()?.compact_etcd().await
    }

    pub(crate) fn control_plane(&self) -> Result<&ControlPlane> {
        match &self.backend {
            Backend::Own { control_plane, .. } => Ok(control_plane),
            Backend::Existing { .. } => Err(anyhow!("an existing cluster's control plane is not ours to touch")),
        }
    }

    /// Ends it and waits until all of it has ended. Dropping does the same without waiting.
    pub async fn stop(self) -> Result<()> {
        let directory = match self.backend {
            Backend::Own { control_plane, .. } => control_plane.directory,
            Backend::Existing { directory } => directory,
        };
        tokio::task::spawn_blocking(|| directory.end()).await?
    }
}
