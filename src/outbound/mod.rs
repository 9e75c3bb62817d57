//! HTTP to what is not the API server: the webhook of notifications, Prometheus, and other replicas of the daemon.

mod alerts;
mod client;
#[cfg(test)]
mod tests;

mod proxy_connector;

use http::{Uri, uri::InvalidUri};
use rustls::pki_types::{
    CertificateDer,
    pem::{self, PemObject as _},
};

pub use self::{
    alerts::Prometheus,
    client::{Client, Limits, RequestError},
    proxy_connector::ProxyConnector,
};
use crate::config::Outbound;

/// The address of a setting cannot be used. It is not repeated: some of them are secrets.
#[derive(Debug, thiserror::Error)]
pub enum NotAnAddress {
    /// It is no URL of http or https.
    #[error("`--{0}` is no address that begins with https:// or http://")]
    Url(&'static str),
    /// There are no certificates to trust.
    #[error("the system's certificates cannot be read, by which the server of `--{0}` would be known")]
    Certificates(&'static str, #[source] rustls::Error),
    /// There should be more of them.
    #[error("the certificates of `--outbound-ca` cannot be read")]
    Authorities(#[source] pem::Error),
    /// It is another file.
    #[error("there is no certificate in the file of `--outbound-ca`, which has to be in the form PEM")]
    NoAuthority,
}

/// A client for the address of this setting, which it trusts by the system's certificates and those that `by` names.
pub fn client_for(setting: &'static str, url: &str, by: &Outbound) -> Result<(Client, Uri), NotAnAddress> {
    let url: Uri = url.parse().map_err(|_| NotAnAddress::Url(setting))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err(NotAnAddress::Url(setting));
    }
    let trusted = authorities(by)?;
    let client = Client::tls(Limits::EXTERNAL, trusted, ProxyConnector::of(by));
    Ok((client.map_err(|error| NotAnAddress::Certificates(setting, error))?, url))
}

/// Those that are trusted beside the system's.
fn authorities(by: &Outbound) -> Result<Vec<CertificateDer<'static>>, NotAnAddress> {
    let Some(file) = &by.ca else { return Ok(Vec::new()) };
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(NotAnAddress::Authorities)?;
    if found.is_empty() { Err(NotAnAddress::NoAuthority) } else { Ok(found) }
}

/// The address of one thing that is served at another one.
pub(crate) fn at(base: &Uri, path: &str) -> Result<Uri, InvalidUri> {
    format!("{}{path}", base.to_string().trim_end_matches('/')).parse()
}
