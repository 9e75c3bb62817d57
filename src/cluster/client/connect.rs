//! From a kubeconfig, or from the ServiceAccount of our Pod, to a [`Cluster`].

use std::{io::ErrorKind, path::PathBuf, time::Duration};

use kube::{
    Config,
    config::{InClusterError, Kubeconfig, KubeconfigError},
};

use super::{
    Cluster,
    error::Error,
    layer::{MeteredLayer, READ_TIMEOUT},
    login, overrides, places,
    plugin::PluginFailed,
    transport,
};
use crate::{
    clock::ServerClock,
    config::{self, Overrides},
};

/// A connection that is not made within this time will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the API server. Empty: as kubectl does, and in a Pod by its ServiceAccount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The kubeconfig; `None`: the variable `KUBECONFIG`, then `~/.kube/config`, then our Pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; `None`: its current one.
    pub context: Option<String>,
    /// What holds whatever the kubeconfig says.
    pub overrides: Overrides,
    /// Reads that take longer are given up; `None`: 10 s. Writes, dry runs among them, take as long as the server lets them.
    pub request_timeout: Option<Duration>,
}

impl From<&config::Connection> for Connection {
    fn from(configured: &config::Connection) -> Self {
        let config::Connection { kubeconfig, context, overrides, request_timeout } = configured.clone();
        Self { kubeconfig, context, overrides, request_timeout: Some(request_timeout) }
    }
}

/// Prepare a connection. Nothing is sent yet: [`Cluster::probe`] finds out whether anybody answers.
///
/// Must be called inside a tokio runtime.
pub async fn connect(options: &Connection) -> Result<Cluster, Error> {
    let (mut config, context) = load(options)?;
    // Retries are our queues' business: kube's would repeat a patch long after the lease was checked.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    let server = config.cluster_url.to_string().trim_end_matches('/').to_owned();
    let namespace = config.default_namespace.clone();
    let read_timeout = options.request_timeout.unwrap_or(READ_TIMEOUT);
    let clock = ServerClock::default();
    let metered = MeteredLayer { read_timeout, clock: clock.clone() };
    let user = config.auth_info.clone();
    let client = transport::client(config, &metered).map_err(|error| {
        if matches!(error, kube::Error::RustlsTls(_))
            && let Some(subject) = login::outdated(&user)
        {
            return Error::CertificateOutdated { subject };
        }
        if let Some(failed) = PluginFailed::find(&error) {
            return Error::Credentials(failed.into());
        }
        match error {
            kube::Error::Auth(_) | kube::Error::RustlsTls(_) | kube::Error::InferKubeconfig(_) => {
                Error::Credentials(error.into())
            }
            error => Error::KubeconfigInvalid(error.into()),
        }
    })?;
    Ok(Cluster::through(client, clock, Place { server, context }, &namespace))
}

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The API server's address.
    pub server: String,
    /// The kubeconfig's context; `None`: there is none.
    pub context: Option<String>,
}

/// The place that a person names wins; an existing file is never passed over because it is broken. With the name of the context.
fn load(options: &Connection) -> Result<(Config, Option<String>), Error> {
    let over = &options.overrides;
    let named = match &options.kubeconfig {
        Some(path) => Some(places::file(path)),
        None => places::from_env(),
    };
    let nothing_named = named.is_none() && options.context.is_none() && over.cluster.is_none() && over.user.is_none();
    let kubeconfig = match named.unwrap_or_else(places::usual) {
        Err(error) if nothing_named && is_missing(&error) => match in_cluster(over) {
            // An address, and with it what kubectl needs to know.
            Err(Error::NoKubeconfig) if over.server.is_some() => Kubeconfig::default(),
            config => return config.map(|config| (config, None)),
        },
        // A list of files that are not made yet says nothing, so that an address on the command line is enough.
        Err(error) if is_missing(&error) && options.kubeconfig.is_none() && over.server.is_some() => {
            Kubeconfig::default()
        }
        read => read.map_err(|error| Error::of_kubeconfig(error, Vec::new()))?,
    };
    let chosen = overrides::choose(&kubeconfig, options.context.as_deref(), over)?;
    let context = chosen.context.clone();
    Ok((places::config(chosen)?, context))
}

fn is_missing(error: &KubeconfigError) -> bool {
    match error {
        KubeconfigError::ReadConfig(error, _) => error.kind() == ErrorKind::NotFound,
        error => matches!(error, KubeconfigError::FindPath),
    }
}

fn in_cluster(over: &Overrides) -> Result<Config, Error> {
    let config = Config::incluster().map_err(|error| match error {
        InClusterError::ReadEnvironmentVariable(_) => Error::NoKubeconfig,
        error => Error::InCluster(error.into()),
    })?;
    overrides::over_service_account(config, over)
}
