//! What the control plane reads and writes.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context as _, Result};

use crate::control_plane::Ports;
use crate::kubeconfig::{self, User};
use crate::pki::Authority;
use crate::run_directory::RunDirectory;

/// kwok's part: what happens to Nodes and Pods.
const STAGES: &str = include_str!("stages.yaml");

/// Everything, without bodies: who asked for what.
const AUDIT_POLICY: &str = "\
apiVersion: audit.k8s.io/v1
kind: Policy
omitManagedFields: true
rules:
  - level: Metadata
";

/// Paths of one control plane, all inside its run directory.
#[derive(Debug)]
pub(crate) struct Files {
    pub(crate) admin: PathBuf,
    pub(crate) audit_log: PathBuf,
    pub(crate) egress_socket: PathBuf,
    pub(super) authority: PathBuf,
    pub(super) server_certificate: PathBuf,
    pub(super) server_key: PathBuf,
    pub(super) service_account_key: PathBuf,
    pub(super) service_account_public_key: PathBuf,
    pub(super) kube_controller_manager: PathBuf,
    pub(super) kube_scheduler: PathBuf,
    pub(super) kwok: PathBuf,
    pub(super) stages: PathBuf,
    pub(super) audit_policy: PathBuf,
    pub(super) egress: PathBuf,
    pub(super) admission: PathBuf,
    pub(crate) static_webhooks: PathBuf,
    pub(super) etcd_data: PathBuf,
}

impl Files {
    pub(super) fn write(directory: &RunDirectory, authority: &Authority, ports: Ports) -> Result<Self> {
        let files = Self {
            admin: directory.join("admin.kubeconfig"),
            audit_log: directory.join("audit.log"),
            egress_socket: directory.join("egress.sock"),
            authority: directory.join("ca.crt"),
            server_certificate: directory.join("apiserver.crt"),
            server_key: directory.join("apiserver.key"),
            service_account_key: directory.join("service-account.key"),
            service_account_public_key: directory.join("service-account.pub"),
            kube_controller_manager: directory.join("kube-controller-manager.kubeconfig"),
            kube_scheduler: directory.join("kube-scheduler.kubeconfig"),
            kwok: directory.join("kwok.kubeconfig"),
            stages: directory.join("stages.yaml"),
            audit_policy: directory.join("audit-policy.yaml"),
            egress: directory.join("egress.yaml"),
            admission: directory.join("admission.yaml"),
            static_webhooks: directory.join("static-webhooks"),
            etcd_data: directory.join("etcd"),
        };

        // The last one is where Pods on a real Node look for it.
        let server = authority.server(&["127.0.0.1", "localhost", "kubernetes.default.svc", "10.96.0.1"])?;
        write(&files.authority, &authority.certificate())?;
        write(&files.server_certificate, &server.certificate)?;
        write(&files.server_key, &server.key)?;
        let service_accounts = rcgen::KeyPair::generate()?;
        write(&files.service_account_key, &service_accounts.serialize_pem())?;
        write(&files.service_account_public_key, &service_accounts.public_key_pem())?;
        write(&files.stages, STAGES)?;
        write(&files.audit_policy, AUDIT_POLICY)?;
        write(&files.egress, &egress(&files.egress_socket))?;
        fs::create_dir(&files.static_webhooks)
            .with_context(|| format!("cannot create {}", files.static_webhooks.display()))?;
        write(&files.admission, &admission(&files.static_webhooks))?;

        let administrators = Some("system:masters");
        for (path, user, group) in [
            (&files.admin, "testbed-admin", administrators),
            (&files.kube_controller_manager, "system:kube-controller-manager", None),
            (&files.kube_scheduler, "system:kube-scheduler", None),
            (&files.kwok, "testbed-kwok", administrators),
        ] {
            let identity = authority.client(user, group)?;
            let kubeconfig =
                kubeconfig::render(&ports.api_url(), Some(&authority.certificate()), &User::Certificate(&identity));
            kubeconfig::write(path, &kubeconfig)?;
        }
        Ok(files)
    }
}

/// What the API server sends into the cluster (to webhooks behind Services) goes through our proxy: nothing routes a
/// Service's address here, and EndpointSlices refuse loopback.
fn egress(socket: &Path) -> String {
    format!(
        "\
apiVersion: apiserver.k8s.io/v1beta1
kind: EgressSelectorConfiguration
egressSelections:
  - name: cluster
    connection:
      proxyProtocol: HTTPConnect
      transport:
        uds:
          udsName: {}
",
        socket.display()
    )
}

/// The webhooks in this directory are in force, and in no list.
fn admission(static_webhooks: &Path) -> String {
    format!(
        "\
apiVersion: apiserver.config.k8s.io/v1
kind: AdmissionConfiguration
plugins:
  - name: MutatingAdmissionWebhook
    configuration:
      apiVersion: apiserver.config.k8s.io/v1
      kind: WebhookAdmissionConfiguration
      kubeConfigFile: \"\"
      staticManifestsDir: {}
",
        static_webhooks.display()
    )
}

fn write(path: &Path, content: &str) -> Result<()> {
    fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}
