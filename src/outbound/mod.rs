//! HTTP to what is not the API server: the client that notifications and the question for alerts go out by.

mod alerts;
#[cfg(test)]
mod tests;

use bytes::Bytes;
use http::Uri;
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};

pub use self::alerts::Prometheus;

/// What we call ourselves.
pub const USER_AGENT: &str = concat!("sidecar-drift/", env!("CARGO_PKG_VERSION"));

/// A client for HTTP and HTTPS.
pub type Client = legacy::Client<HttpsConnector<HttpConnector>, Full<Bytes>>;

/// The address of a setting cannot be used. It is not repeated: some of them are secrets.
#[derive(Debug, thiserror::Error)]
pub enum NotAnAddress {
    /// It is no URL of http or https.
    #[error("`--{0}` is no address that begins with https:// or http://")]
    Url(&'static str),
    /// There are no certificates to trust.
    #[error("the system's certificates cannot be read, by which the server of `--{0}` would be known")]
    Certificates(&'static str, #[source] rustls::Error),
}

/// A client for the address of this setting, which it trusts by the system's certificates.
pub fn connect(setting: &'static str, url: &str) -> Result<(Client, Uri), NotAnAddress> {
    let url: Uri = url.parse().map_err(|_| NotAnAddress::Url(setting))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err(NotAnAddress::Url(setting));
    }
    let provider = rustls::crypto::ring::default_provider();
    let tls: rustls::ConfigBuilder<rustls::ClientConfig, _> =
        rustls::ClientConfig::builder_with_provider(provider.into())
            .with_safe_default_protocol_versions()
            .and_then(ConfigBuilderExt::try_with_platform_verifier)
            .map_err(|error| NotAnAddress::Certificates(setting, error))?;
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls.with_no_client_auth()).https_or_http().enable_http1().build();
    Ok((legacy::Client::builder(TokioExecutor::new()).build(connector), url))
}
