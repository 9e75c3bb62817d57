//! From a kubeconfig, or from the ServiceAccount of our Pod, to a [`Cluster`].

use std::{io::ErrorKind, path::PathBuf, time::Duration};

use http::HeaderValue;
use kube::{
    Config,
    config::{InClusterError, KubeConfigOptions, KubeconfigError},
};

use super::{
    Cluster,
    error::Error,
    layer::{MeteredLayer, READ_TIMEOUT},
    login, places,
    plugin::PluginFailed,
    transport,
};
use crate::{clock::ServerClock, config};

/// A connection that is not made within this time will not be made.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// How to reach the API server. Empty: as kubectl does, and in a Pod by its ServiceAccount.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Connection {
    /// The kubeconfig; `None`: the variable `KUBECONFIG`, then `~/.kube/config`, then our Pod's ServiceAccount.
    pub kubeconfig: Option<PathBuf>,
    /// The kubeconfig's context; `None`: its current one.
    pub context: Option<String>,
    /// Act as this user (needs the right to impersonate).
    pub as_user: Option<String>,
    /// Reads that take longer are given up; `None`: 10 s. Writes, dry runs among them, take as long as the server lets them.
    pub request_timeout: Option<Duration>,
}

impl From<&config::Connection> for Connection {
    fn from(configured: &config::Connection) -> Self {
        let config::Connection { kubeconfig, context, as_user, request_timeout } = configured.clone();
        Self { kubeconfig, context, as_user, request_timeout: Some(request_timeout) }
    }
}

/// Prepare a connection. Nothing is sent yet: [`Cluster::probe`] finds out whether anybody answers.
///
/// Must be called inside a tokio runtime.
pub async fn connect(options: &Connection) -> Result<Cluster, Error> {
    let mut config = load(options).await?;
    // Retries are our queues' business: kube's would repeat a patch long after the lease was checked.
    config.default_retry = false;
    config.connect_timeout = Some(CONNECT_TIMEOUT);
    if let Some(user) = &options.as_user {
        HeaderValue::from_str(user).map_err(|error| Error::Credentials(error.into()))?;
        config.auth_info.impersonate = Some(user.clone());
    }
    let url = config.cluster_url.to_string().trim_end_matches('/').to_owned();
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
    Ok(Cluster::through(client, clock, &url, &namespace))
}

/// The place that a person names wins; an existing file is never passed over because it is broken.
async fn load(options: &Connection) -> Result<Config, Error> {
    let named = match &options.kubeconfig {
        Some(path) => Some(places::file(path)),
        None => places::from_env(),
    };
    let nothing_named = named.is_none() && options.context.is_none();
    let kubeconfig = match named.unwrap_or_else(places::usual) {
        Err(KubeconfigError::ReadConfig(error, _)) if nothing_named && error.kind() == ErrorKind::NotFound => {
            return in_cluster();
        }
        Err(KubeconfigError::FindPath) if nothing_named => return in_cluster(),
        read => read.map_err(|error| Error::of_kubeconfig(error, Vec::new()))?,
    };
    let known = kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let wanted = KubeConfigOptions { context: options.context.clone(), ..KubeConfigOptions::default() };
    places::config(kubeconfig, &wanted).await.map_err(|error| Error::of_kubeconfig(error, known))
}

fn in_cluster() -> Result<Config, Error> {
    Config::incluster().map_err(|error| match error {
        InClusterError::ReadEnvironmentVariable(_) => Error::NoKubeconfig,
        error => Error::InCluster(error.into()),
    })
}
