//! What kubectl makes of a kubeconfig and of the environment beside what kube does: several files, of which some may be missing,
//! servers without a scheme, and which proxy leads to a server.

use std::{
    env,
    ffi::OsStr,
    io::ErrorKind,
    net::IpAddr,
    path::{Path, PathBuf},
};

use http::{Uri, uri::Scheme};
use hyper_util::client::proxy::matcher::Matcher;
use kube::{
    Config,
    config::{KubeConfigOptions, Kubeconfig, KubeconfigError},
};

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

/// What leads to the cluster of a context.
pub(super) async fn config(kubeconfig: Kubeconfig, options: &KubeConfigOptions) -> Result<Config, KubeconfigError> {
    let said = said_proxy(&kubeconfig, options.context.as_deref());
    let mut config = Config::from_custom_kubeconfig(kubeconfig, options).await?;
    config.cluster_url = with_scheme(&config);
    #[expect(clippy::disallowed_methods, reason = "the variables are everybody's, and kube would read them, too")]
    let env = |name: &str| env::var(name).ok();
    let proxy = proxy(said.as_deref(), env, &config.cluster_url);
    config.proxy_url = proxy.map_err(KubeconfigError::ParseProxyUrl)?;
    Ok(config)
}

/// `proxy-url` of the context's cluster.
fn said_proxy(kubeconfig: &Kubeconfig, context: Option<&str>) -> Option<String> {
    let context = context.or(kubeconfig.current_context.as_deref())?;
    let context = kubeconfig.contexts.iter().find(|named| named.name == context)?.context.as_ref()?;
    let cluster = kubeconfig.clusters.iter().find(|named| named.name == context.cluster)?.cluster.as_ref()?;
    cluster.proxy_url.clone().filter(|proxy| !proxy.is_empty())
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

/// The proxy that leads to a server: the one that the kubeconfig names, always; else that of the environment, unless `NO_PROXY`
/// names the server or it is this machine.
fn proxy(
    said: Option<&str>,
    env: impl Fn(&str) -> Option<String>,
    server: &Uri,
) -> Result<Option<Uri>, http::uri::InvalidUri> {
    if let Some(said) = said {
        return said.parse().map(Some);
    }
    let host = server.host().unwrap_or_default();
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    if host == "localhost" || address.is_ok_and(|address| address.is_loopback()) {
        return Ok(None);
    }
    let first = |names: [&str; 2]| names.into_iter().find_map(|name| env(name).filter(|value| !value.is_empty()));
    let of_scheme = match server.scheme_str() {
        Some("http") => ["HTTP_PROXY", "http_proxy"],
        _ => ["HTTPS_PROXY", "https_proxy"],
    };
    let Some(proxy) = first(of_scheme) else { return Ok(None) };
    let no = first(["NO_PROXY", "no_proxy"]).unwrap_or_default();
    if Matcher::builder().all(proxy.as_str()).no(no).build().intercept(server).is_none() {
        return Ok(None);
    }
    let proxy = if proxy.contains("://") { proxy } else { format!("http://{proxy}") };
    proxy.parse().map(Some)
}

#[cfg(test)]
mod tests {
    use std::ffi::OsString;

    use super::*;

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

    async fn server(text: &str) -> String {
        let kubeconfig = serde_saphyr::from_str(text).unwrap();
        config(kubeconfig, &KubeConfigOptions::default()).await.unwrap().cluster_url.to_string()
    }

    #[tokio::test]
    async fn a_server_without_a_scheme_is_asked_by_tls_where_anything_is_said_of_that() {
        let plain = GOOD.replace("https://10.0.0.1", "10.0.0.1:6443");
        assert_eq!(server(&plain).await, "http://10.0.0.1:6443/");
        let tls = plain.replace("6443'", "6443', insecure-skip-tls-verify: true");
        assert_eq!(server(&tls).await, "https://10.0.0.1:6443/");
        assert_eq!(server(GOOD).await, "https://10.0.0.1/");
    }

    #[test]
    fn the_proxy_is_the_one_that_kubectl_would_take() {
        let taken = |said: Option<&str>, env: &[(&str, &str)], server: &str| {
            let env = |name: &str| env.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned());
            proxy(said, env, &server.parse().unwrap()).unwrap().map(|proxy| proxy.to_string())
        };
        let some = |proxy: &str| Some(proxy.to_owned());
        let proxy = ("HTTPS_PROXY", "http://proxy:3128");
        assert_eq!(taken(None, &[proxy], "https://k8s.example"), some("http://proxy:3128/"));
        assert_eq!(taken(None, &[("https_proxy", "proxy:3128")], "https://k8s.example"), some("http://proxy:3128/"));
        assert_eq!(taken(None, &[proxy], "http://k8s.example"), None);
        // Not by NO_PROXY, and never to this machine.
        assert_eq!(taken(None, &[proxy, ("NO_PROXY", "10.0.0.0/8,.example")], "https://k8s.example"), None);
        assert_eq!(taken(None, &[proxy, ("no_proxy", "10.0.0.0/8")], "https://10.1.2.3:6443"), None);
        assert_eq!(taken(None, &[proxy, ("NO_PROXY", "proxy")], "https://k8s.example"), some("http://proxy:3128/"));
        for here in ["https://127.0.0.1:6443", "https://localhost:6443", "https://[::1]:6443"] {
            assert_eq!(taken(None, &[proxy], here), None, "{here}");
        }
        // What the kubeconfig says holds whatever the environment says.
        let here =
            taken(Some("http://127.0.0.1:18888"), &[("NO_PROXY", "localhost,127.0.0.1")], "https://127.0.0.1:6443");
        assert_eq!(here, some("http://127.0.0.1:18888/"));
        assert_eq!(taken(Some("socks5://proxy:1080"), &[proxy], "https://k8s.example"), some("socks5://proxy:1080/"));
    }
}
