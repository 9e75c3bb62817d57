//! Flags over environment over one YAML file, merged and validated once into a [`Config`].
//!
//! Two types, one direction: [`Settings`] are what people wrote, every one optional; a [`Config`] is what the program
//! works by, complete and sound. Nothing after it asks where a value came from or whether it makes sense.

mod address;
mod build;
mod connection;
mod environment;
mod error;
mod file;
pub mod json_path;
mod output;
mod owners;
mod reload;
mod selector;
mod settings;
#[cfg(test)]
mod tests;
pub(crate) mod values;

use std::{collections::BTreeSet, net::SocketAddr, path::PathBuf, time::Duration};

pub use self::{
    build::{API_LISTEN, Purpose},
    environment::with_environment,
    error::ConfigError,
    output::{Column, Listing, Output, OutputFormat, Shape},
    owners::{OwnerEntry, PodsOf, StatusEntry},
    reload::Origin,
    selector::{is_key, is_label_value},
    settings::{
        Client, Daemon, Display, File, Kinds, Leadership, LeaseAt, NAMES, Record, Rendering, Rollouts, Selection,
        Settings, State, Voice,
    },
    values::{Caller, DnsLabel, Instant, LogFormat, LogLevel, NotifyFormat, Token},
};
use crate::core::{
    config::Policy,
    model::{Name, lease::LeaseTimes, owner::Kind},
};

/// Everything that was decided before the program starts its work.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// What the core works by.
    pub policy: Policy,
    /// The kinds that the file describes.
    pub owners: Vec<Kind>,
    /// How the API server is reached.
    pub connection: Connection,
    /// As whom Pods are created in dry run.
    pub render_as: Caller,
    /// What is watched.
    pub watch: WatchSet,
    /// Where `/healthz`, `/readyz` and `/metrics` are served; `None`: nowhere, as in every one-shot command.
    pub listen: Option<SocketAddr>,
    /// Where the API and the web page are served; `None`: nowhere.
    pub api_listen: Option<SocketAddr>,
    /// Where other replicas reach it; `None`: they do not.
    pub api_advertise: Option<SocketAddr>,
    /// Who is notified; `None`: nobody.
    pub notify: Option<Notify>,
    /// The Prometheus whose alerts block rollouts; `None`: there is none.
    pub alerts: Option<Alerts>,
    /// How that one and the webhook are reached.
    pub outbound: Outbound,
    /// Metrics of workloads have the label `namespace`.
    pub metrics_by_namespace: bool,
    /// Where every input is written down; `None`: nowhere.
    pub recording: Option<Recording>,
    /// The namespace of the state ConfigMap; `None`: our Pod's own, else that of the kubeconfig's context.
    pub state_namespace: Option<Name>,
    /// What is on record holds, too, in what is only planned: it is read before anything is judged.
    pub plans_a_rollout: bool,
    /// The Lease that says which replica leads.
    pub lease: LeaseId,
    /// How one of several replicas is chosen; `None`: there is no other, as for every one-shot command.
    pub election: Option<LeaderElection>,
    /// What is logged and how.
    pub log: Log,
    /// How results are written.
    pub display: OutputOptions,
    /// What a list of results is made by.
    pub listing: Listing,
    /// Where it can be read again; `None`: there is no file, or it is read but once.
    pub origin: Option<Box<Origin>>,
}

/// How the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Connection {
    /// `None`: `$KUBECONFIG`, then `~/.kube/config`, then the Pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; `None`: its current one.
    pub context: Option<String>,
    /// What holds whatever the kubeconfig says.
    pub overrides: Overrides,
    /// For reading; dry runs and writes have their own.
    pub request_timeout: Duration,
}

/// What is said of the connection over the kubeconfig. Each means what kubectl's flag of that name means.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Overrides {
    /// A cluster of the kubeconfig.
    pub cluster: Option<String>,
    /// A user of the kubeconfig.
    pub user: Option<String>,
    /// The API server's address.
    pub server: Option<String>,
    /// A bearer token.
    pub token: Option<Token>,
    /// The name in the API server's certificate.
    pub tls_server_name: Option<String>,
    /// Whatever certificate the API server shows is accepted.
    pub insecure_skip_tls_verify: bool,
    /// Act as this user,
    pub as_user: Option<String>,
    /// as a member of these groups,
    pub as_groups: Vec<String>,
    /// under this UID.
    pub as_uid: Option<String>,
}

/// Who is notified.
#[derive(Clone, PartialEq, Eq)]
pub struct Notify {
    /// The webhook's address; a secret.
    pub url: String,
    /// How messages are written.
    pub format: NotifyFormat,
}

/// Who is asked which alerts fire.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Alerts {
    /// The address of Prometheus.
    pub url: String,
    /// The file with the bearer token that it wants to see.
    pub token: Option<PathBuf>,
}

/// How what is not the API server is reached.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Outbound {
    /// A file with certificate authorities that are trusted beside those of the system.
    pub ca: Option<PathBuf>,
    /// The proxy; its address may hold a password.
    pub proxy: Option<String>,
    /// Hosts that are reached without it.
    pub no_proxy: Vec<String>,
}

impl std::fmt::Debug for Outbound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { ca, proxy: _, no_proxy } = self;
        f.debug_struct("Outbound").field("ca", ca).field("no_proxy", no_proxy).finish_non_exhaustive()
    }
}

impl std::fmt::Debug for Notify {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Notify").field("format", &self.format).finish_non_exhaustive()
    }
}

/// Which namespaces are watched.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum WatchSet {
    /// All of them, by cluster-wide watches.
    Cluster,
    /// These, each by its own watches; at least one.
    Namespaces(BTreeSet<Name>),
}

/// A recording of the daemon's inputs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Recording {
    /// The file.
    pub path: PathBuf,
    /// It ends at this many bytes.
    pub limit: u64,
    /// Values are kept as they are, not as hashes.
    pub plain: bool,
}

/// A Lease.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaseId {
    /// Its name.
    pub name: Name,
    /// Its namespace; `None`: that of the state ConfigMap.
    pub namespace: Option<Name>,
}

/// How one of several replicas is chosen to lead.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LeaderElection {
    /// How long it lasts.
    pub times: LeaseTimes,
    /// What this replica is called; `None`: as its host.
    pub identity: Option<String>,
}

/// What is logged and how.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Log {
    /// From which level on.
    pub level: LogLevel,
    /// In which format.
    pub format: LogFormat,
}

/// How results are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[expect(clippy::struct_excessive_bools, reason = "each is one flag of the command line")]
pub struct OutputOptions {
    /// The format.
    pub format: OutputFormat,
    /// Headings, titles and sums stand around rows.
    pub headers: bool,
    /// Values are shown as they are.
    pub values: bool,
    /// Colours are wanted where there is a terminal.
    pub colour: bool,
    /// Results and errors only.
    pub quiet: bool,
    /// Messages are log lines.
    pub logged: bool,
    /// And so are results: nobody asked for another form of them.
    pub as_lines: bool,
}

/// When the engine comes back to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StopWhen {
    /// Only when the process is asked to end (`run`).
    Never,
    /// When every workload has its verdict (`scan`, `diff`).
    Complete,
    /// When nothing more can be rolled and nothing is under way (`rollout`).
    RolledOut,
}
