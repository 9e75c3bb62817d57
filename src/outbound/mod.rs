//! HTTP to what is not the API server: the webhook of notifications, Prometheus, and other replicas of the daemon.

mod alerts;
mod client;
#[cfg(test)]
mod tests;

use http::{Uri, uri::InvalidUri};

pub use self::{
    alerts::Prometheus,
    client::{Client, Limits, RequestError},
};

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
pub fn client_for(setting: &'static str, url: &str) -> Result<(Client, Uri), NotAnAddress> {
    let url: Uri = url.parse().map_err(|_| NotAnAddress::Url(setting))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err(NotAnAddress::Url(setting));
    }
    let client = Client::tls(Limits::EXTERNAL).map_err(|error| NotAnAddress::Certificates(setting, error))?;
    Ok((client, url))
}

/// The address of one thing that is served at another one.
pub(crate) fn at(base: &Uri, path: &str) -> Result<Uri, InvalidUri> {
    format!("{}{path}", base.to_string().trim_end_matches('/')).parse()
}
