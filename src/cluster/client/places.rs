//! What kubectl makes of a kubeconfig and of the environment: several files, of which some may be missing, servers without a
//! scheme, and to whom credentials are shown.

use std::{
    env,
    error::Error as StdError,
    ffi::OsStr,
    fs,
    io::ErrorKind,
    path::{Path, PathBuf},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use http::{Uri, uri::Scheme};
use kube::{
    Config,
    config::{AuthInfo, Cluster, Kubeconfig, KubeconfigError},
};
use rustls::pki_types::{CertificateDer, pem::PemObject as _};

use super::{error::Error, overrides::Chosen, proxies};

/// The files that the variable `KUBECONFIG` names, as one; `None`: it names none.
#[expect(clippy::disallowed_methods, reason = "the variable is kubectl's, and kube would read it, too")]
pub(super) fn from_env() -> Option<Result<Kubeconfig, KubeconfigError>> {
    env::var_os("KUBECONFIG").and_then(|value| of_list(&value))
}

/// The file that is read when nothing names another.
pub(super) fn usual() -> Result<Kubeconfig, KubeconfigError> {
    Kubeconfig::read().map(without_empty_context)
}

/// Of several files those may be missing that somebody has not made yet; not all of them.
fn of_list(value: &OsStr) -> Option<Result<Kubeconfig, KubeconfigError>> {
    let paths: Vec<PathBuf> = env::split_paths(value).filter(|path| !path.as_os_str().is_empty()).collect();
    let mut all: Option<Kubeconfig> = None;
    let mut missing = None;
    for path in paths {
        match (file(&path), all.take()) {
            (Ok(more), None) => all = Some(more),
            (Ok(more), Some(before)) => match before.merge(more) {
                Ok(merged) => all = Some(merged),
                Err(error) => return Some(Err(error)),
            },
            (Err(error), before) => {
                if !matches!(&error, KubeconfigError::ReadConfig(why, _) if why.kind() == ErrorKind::NotFound) {
                    return Some(Err(error));
                }
                missing.get_or_insert(error);
                all = before;
            }
        }
    }
    all.map(Ok).or(missing.map(Err))
}

/// One file. One that names an empty context names none, and leaves that to the next.
pub(super) fn file(path: &Path) -> Result<Kubeconfig, KubeconfigError> {
    Kubeconfig::read_from(path).map(without_empty_context)
}

fn without_empty_context(kubeconfig: Kubeconfig) -> Kubeconfig {
    let current_context = kubeconfig.current_context.filter(|context| !context.is_empty());
    Kubeconfig { current_context, ..kubeconfig }
}

/// What leads to the cluster that was chosen.
///
/// Not by kube's own loader: that one refuses a `NO_PROXY` that kubectl understands.
pub(super) fn config(chosen: Chosen) -> Result<Config, Error> {
    let Chosen { context: _, namespace, cluster, mut user } = chosen;
    if let Some(exec) = user.exec.as_mut().filter(|exec| exec.provide_cluster_info) {
        let told = (&cluster).try_into().map_err(|error| Error::of_kubeconfig(error, Vec::new()))?;
        exec.cluster = Some(told);
    }
    let invalid = |error: KubeconfigError| Error::KubeconfigInvalid(error.into());
    let server = cluster.server.as_deref().filter(|server| !server.is_empty());
    let server = server.ok_or_else(|| invalid(KubeconfigError::MissingClusterUrl))?;
    let server = server.parse().map_err(|error| invalid(KubeconfigError::ParseClusterUrl(error)))?;
    let mut config = Config::new(server);
    if let Some(namespace) = namespace {
        config.default_namespace = namespace;
    }
    config.root_cert = authorities(&cluster)?;
    config.accept_invalid_certs = cluster.insecure_skip_tls_verify.unwrap_or(false);
    config.tls_server_name = cluster.tls_server_name.filter(|name| !name.is_empty());
    config.auth_info = user;
    config.cluster_url = with_scheme(&config);
    if config.cluster_url.scheme() == Some(&Scheme::HTTP) && !proxies::is_here(&config.cluster_url) {
        config.auth_info = without_secrets(config.auth_info);
    }
    #[expect(clippy::disallowed_methods, reason = "the variables are everybody's, and kubectl reads them, too")]
    let env = |name: &str| env::var(name).ok();
    let said = cluster.proxy_url.as_deref().filter(|proxy| !proxy.is_empty());
    let proxy = proxies::proxy(said, env, &config.cluster_url);
    config.proxy_url = proxy.map_err(|error| invalid(KubeconfigError::ParseProxyUrl(error)))?;
    Ok(config)
}

/// The certificates of the authorities that may vouch for the API server; `None`: those of the system.
fn authorities(cluster: &Cluster) -> Result<Option<Vec<Vec<u8>>>, Error> {
    let unusable = |error: Box<dyn StdError + Send + Sync>| Error::Authority(error);
    let some = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let pem = match (some(&cluster.certificate_authority_data), some(&cluster.certificate_authority)) {
        (Some(data), _) => STANDARD.decode(data).map_err(|error| unusable(error.into()))?,
        (None, Some(file)) => fs::read(&file).map_err(|error| unusable(format!("{file}: {error}").into()))?,
        (None, None) => return Ok(None),
    };
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&pem).collect();
    let certificates = certificates.map_err(|error| unusable(error.to_string().into()))?;
    if certificates.is_empty() {
        return Err(unusable("there is no certificate in it".into()));
    }
    Ok(Some(certificates.iter().map(|certificate| certificate.to_vec()).collect()))
}

/// Who somebody is is said to nobody in clear, but for a program on this machine, such as `kubectl proxy`.
fn without_secrets(user: AuthInfo) -> AuthInfo {
    let AuthInfo { impersonate, impersonate_uid, impersonate_groups, impersonate_user_extra, .. } = user;
    AuthInfo { impersonate, impersonate_uid, impersonate_groups, impersonate_user_extra, ..AuthInfo::default() }
}

/// `host:port` is spoken to by TLS where anything is said of that.
fn with_scheme(config: &Config) -> Uri {
    let url = &config.cluster_url;
    let (None, Some(authority)) = (url.scheme(), url.authority()) else { return url.clone() };
    let user = &config.auth_info;
    let tls = config.root_cert.is_some()
        || config.accept_invalid_certs
        || user.client_certificate.is_some()
        || user.client_certificate_data.is_some();
    let scheme = if tls { Scheme::HTTPS } else { Scheme::HTTP };
    let whole = Uri::builder().scheme(scheme).authority(authority.clone()).path_and_query("/").build();
    whole.unwrap_or_else(|_| url.clone())
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::{super::overrides::choose, *};
    use crate::config::Overrides;

    const GOOD: &str = "apiVersion: v1\nkind: Config\ncurrent-context: good\nclusters: [{ name: c, cluster: { server: \
                        'https://10.0.0.1' } }]\ncontexts: [{ name: good, context: { cluster: c } }]\n";

    fn joined(paths: &[PathBuf]) -> OsString {
        env::join_paths(paths).unwrap()
    }

    fn list(paths: &[PathBuf]) -> Result<Option<Kubeconfig>, KubeconfigError> {
        of_list(&joined(paths)).transpose()
    }

    #[test]
    fn of_several_files_some_may_be_missing_and_an_empty_context_is_none() {
        let folder = tempfile::tempdir().unwrap();
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).unwrap();
            path
        };
        let missing = folder.path().join("missing");
        let (good, empty) =
            (file("good", GOOD), file("empty", "apiVersion: v1\nkind: Config\ncurrent-context: \"\"\n"));
        let context = |paths: &[PathBuf]| list(paths).unwrap().unwrap().current_context;
        assert_eq!(context(&[missing.clone(), good.clone()]).as_deref(), Some("good"));
        assert_eq!(context(&[good.clone(), missing.clone()]).as_deref(), Some("good"));
        assert_eq!(context(&[empty.clone(), good.clone()]).as_deref(), Some("good"));
        assert_eq!(context(&[empty]), None);
        assert!(matches!(list(&[missing.clone(), missing]), Err(KubeconfigError::ReadConfig(..))));
        assert!(list(&[]).unwrap().is_none());
        // One that is there and broken is never passed over.
        assert!(list(&[file("broken", "{ not: [ yaml"), good]).is_err());
    }

    fn server(text: &str) -> String {
        let kubeconfig = serde_saphyr::from_str(text).unwrap();
        let chosen = choose(&kubeconfig, None, &Overrides::default()).unwrap();
        config(chosen).unwrap().cluster_url.to_string()
    }

    #[test]
    fn a_server_without_a_scheme_is_asked_by_tls_where_anything_is_said_of_that() {
        let plain = GOOD.replace("https://10.0.0.1", "10.0.0.1:6443");
        assert_eq!(server(&plain), "http://10.0.0.1:6443/");
        let tls = plain.replace("6443'", "6443', insecure-skip-tls-verify: true");
        assert_eq!(server(&tls), "https://10.0.0.1:6443/");
        assert_eq!(server(GOOD), "https://10.0.0.1/");
    }

    #[test]
    fn a_token_is_not_sent_in_clear_over_the_network() {
        let sent = |server: &str| {
            let user = AuthInfo {
                token: Some("hunter2".to_owned().into()),
                impersonate: Some("jane".to_owned()),
                ..AuthInfo::default()
            };
            let cluster = Cluster { server: Some(server.to_owned()), ..Cluster::default() };
            let config = config(Chosen { context: None, namespace: None, cluster, user }).unwrap();
            assert_eq!(config.auth_info.impersonate.as_deref(), Some("jane"));
            config.auth_info.token.is_some()
        };
        assert!(sent("https://10.0.0.1:6443") && sent("http://127.0.0.1:8001") && sent("http://localhost:8001"));
        assert!(!sent("http://10.0.0.1:8001") && !sent("10.0.0.1:8001"));
    }

    #[test]
    fn an_authority_that_is_none_is_told() {
        let of = |data: &str| {
            let data = Some(STANDARD.encode(data));
            authorities(&Cluster { certificate_authority_data: data, ..Cluster::default() }).unwrap_err().to_string()
        };
        assert!(of("none").contains("certificate-authority"), "{}", of("none"));
        assert_eq!(authorities(&Cluster::default()).unwrap(), None);
    }
}
