//! What of a kubeconfig is used: its context's cluster and user, and over them kubectl's flags by kubectl's rules (`clientcmd`):
//! what a flag says wins, and takes with it what would contradict it.

use http::Uri;
use kube::{
    Config,
    config::{AuthInfo, Cluster, Context, Kubeconfig, KubeconfigError},
};

use super::error::Error;
use crate::config::Overrides;

/// What of a kubeconfig is used.
pub(super) struct Chosen {
    /// The context's name; `None`: there is no context, and flags say all.
    pub(super) context: Option<String>,
    /// The context's namespace.
    pub(super) namespace: Option<String>,
    pub(super) cluster: Cluster,
    pub(super) user: AuthInfo,
}

pub(super) fn choose(kubeconfig: &Kubeconfig, context: Option<&str>, over: &Overrides) -> Result<Chosen, Error> {
    let name = context.map(str::to_owned).or_else(|| kubeconfig.current_context.clone());
    let known = || kubeconfig.contexts.iter().map(|context| context.name.clone()).collect();
    let context = match &name {
        Some(name) => match kubeconfig.contexts.iter().find(|known| known.name == *name) {
            Some(found) => found.context.clone().unwrap_or_default(),
            None => return Err(Error::UnknownContext { context: name.clone(), known: known() }),
        },
        None if over.cluster.is_some() || over.server.is_some() => Context::default(),
        None => return Err(Error::NoContext { known: known() }),
    };
    let cluster = cluster(kubeconfig, &context, over)?;
    let user = user(kubeconfig, &context, over)?;
    Ok(Chosen { context: name, namespace: context.namespace.filter(|name| !name.is_empty()), cluster, user })
}

/// A Pod's ServiceAccount, and over it the flags.
pub(super) fn over_service_account(mut config: Config, over: &Overrides) -> Result<Config, Error> {
    if let Some(server) = &over.server {
        config.cluster_url = server.parse::<Uri>().map_err(|error| Error::KubeconfigInvalid(error.into()))?;
    }
    if over.insecure_skip_tls_verify {
        config.accept_invalid_certs = true;
        config.root_cert = None;
        config.root_cert_file = None;
    }
    config.tls_server_name.clone_from(&over.tls_server_name);
    if over.token.is_some() {
        config.auth_info.token_file = None;
    }
    config.auth_info = with_flags(config.auth_info, over)?;
    Ok(config)
}

fn cluster(kubeconfig: &Kubeconfig, context: &Context, over: &Overrides) -> Result<Cluster, Error> {
    let find = |name: &str| kubeconfig.clusters.iter().find(|known| known.name == name);
    let found = match &over.cluster {
        Some(name) => Some(find(name).ok_or_else(|| Error::UnknownCluster {
            cluster: name.clone(),
            known: kubeconfig.clusters.iter().map(|cluster| cluster.name.clone()).collect(),
        })?),
        None => find(&context.cluster),
    };
    if found.is_none() && over.server.is_none() {
        let error = KubeconfigError::LoadClusterOfContext(context.cluster.clone());
        return Err(Error::KubeconfigInvalid(error.into()));
    }
    let mut cluster = found.and_then(|named| named.cluster.clone()).unwrap_or_default();
    if over.insecure_skip_tls_verify {
        cluster.insecure_skip_tls_verify = Some(true);
        cluster.certificate_authority = None;
        cluster.certificate_authority_data = None;
    }
    // Another server has another name.
    if over.server.is_some() || over.tls_server_name.is_some() {
        cluster.tls_server_name.clone_from(&over.tls_server_name);
    }
    if over.server.is_some() {
        cluster.server.clone_from(&over.server);
    }
    Ok(cluster)
}

/// A user that is nowhere is nobody, unless a flag named it.
fn user(kubeconfig: &Kubeconfig, context: &Context, over: &Overrides) -> Result<AuthInfo, Error> {
    let find = |name: &String| kubeconfig.auth_infos.iter().find(|known| known.name == *name);
    let found = match &over.user {
        Some(name) => Some(find(name).ok_or_else(|| Error::UnknownUser {
            user: name.clone(),
            known: kubeconfig.auth_infos.iter().map(|user| user.name.clone()).collect(),
        })?),
        None => context.user.as_ref().and_then(find),
    };
    with_flags(found.and_then(|named| named.auth_info.clone()).unwrap_or_default(), over)
}

fn with_flags(mut user: AuthInfo, over: &Overrides) -> Result<AuthInfo, Error> {
    if let Some(token) = &over.token {
        user.token = Some(token.secret().to_owned().into());
        user.auth_provider = None;
    }
    if user.token.is_some() && (user.username.is_some() || user.password.is_some()) {
        return Err(Error::TwoCredentials);
    }
    // Of both, the file is the fresher one, as long as it can be read.
    if user.token.is_some()
        && let Some(file) = user.token_file.take()
        && std::fs::read_to_string(&file).is_ok_and(|text| !text.trim().is_empty())
    {
        user.token = None;
        user.token_file = Some(file);
    }
    if over.as_user.is_some() {
        user.impersonate.clone_from(&over.as_user);
    }
    if over.as_uid.is_some() {
        user.impersonate_uid.clone_from(&over.as_uid);
    }
    if !over.as_groups.is_empty() {
        user.impersonate_groups = Some(over.as_groups.clone());
    }
    let says = |text: &Option<String>| text.as_ref().is_some_and(|text| !text.is_empty());
    let more = says(&user.impersonate_uid)
        || user.impersonate_groups.as_ref().is_some_and(|groups| !groups.is_empty())
        || user.impersonate_user_extra.as_ref().is_some_and(|extra| !extra.is_empty());
    if more && !says(&user.impersonate) {
        return Err(Error::ActsAsNobody);
    }
    Ok(user)
}
