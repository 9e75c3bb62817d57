//! Kubeconfig files. Written as JSON, which is YAML.

use std::fs;
use std::path::Path;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kube::config::{KubeConfigOptions, Kubeconfig};
use kube::{Client, Config};
use serde_json::{Value, json};

use crate::pki::Identity;

/// Who a kubeconfig is for.
pub(crate) enum User<'a> {
    Certificate(&'a Identity),
    Token(&'a str),
    /// Nobody: the server behind the address (a proxy) speaks for itself.
    Nobody,
}

impl User<'_> {
    fn render(&self) -> Value {
        match self {
            Self::Certificate(identity) => json!({
                "client-certificate-data": BASE64.encode(&identity.certificate),
                "client-key-data": BASE64.encode(&identity.key),
            }),
            Self::Token(token) => json!({"token": token}),
            Self::Nobody => json!({}),
        }
    }
}

/// A kubeconfig with one cluster, one user and one context. `authority` is PEM, and absent where there is no TLS.
pub(crate) fn render(server: &str, authority: Option<&str>, user: &User<'_>) -> Value {
    let mut cluster = json!({"server": server});
    if let Some(authority) = authority {
        cluster["certificate-authority-data"] = json!(BASE64.encode(authority));
    }
    json!({
        "apiVersion": "v1",
        "kind": "Config",
        "clusters": [{"name": "testbed", "cluster": cluster}],
        "users": [{"name": "testbed", "user": user.render()}],
        "contexts": [{"name": "testbed", "context": {"cluster": "testbed", "user": "testbed"}}],
        "current-context": "testbed",
    })
}

/// The same clusters, reached in the same way, by somebody else.
pub(crate) fn for_user(mut kubeconfig: Value, user: &User<'_>) -> Value {
    for entry in kubeconfig["users"].as_array_mut().into_iter().flatten() {
        entry["user"] = user.render();
    }
    kubeconfig
}

/// Writes it where only its owner can read it.
pub(crate) fn write(path: &Path, kubeconfig: &impl serde::Serialize) -> Result<()> {
    use std::io::Write as _;
    use std::os::unix::fs::OpenOptionsExt as _;

    let mut file = fs::OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(path)
        .with_context(|| format!("cannot write {}", path.display()))?;
    file.write_all(&serde_json::to_vec_pretty(kubeconfig)?)?;
    Ok(())
}

/// The client configuration that a kubeconfig file stands for; without kube's own retries, which would hide what a test
/// wants to see.
pub(crate) async fn load(path: &Path) -> Result<Config> {
    let kubeconfig = Kubeconfig::read_from(path)?;
    let mut config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
    config.default_retry = false;
    Ok(config)
}

/// A client that ends with the calling runtime, under a user agent that the audit log shows.
pub async fn client(path: &Path) -> Result<Client> {
    let mut config = load(path).await?;
    config.headers.push((http::header::USER_AGENT, http::HeaderValue::from_static("sidecar-drift-testbed")));
    Ok(Client::try_from(config)?)
}
