//! HTTP to what is not the API server: the client that notifications and the question for alerts go out by.

mod alerts;
#[cfg(test)]
mod tests;

mod way;

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header, uri::InvalidUri};
use http_body::Body;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{client::legacy, rt::TokioExecutor};
use rustls::pki_types::{
    CertificateDer,
    pem::{self, PemObject as _},
};
use rustls_platform_verifier::Verifier;
use tokio::time;

pub use self::{alerts::Prometheus, way::Way};
use crate::config::Outbound;

/// What we call ourselves.
pub const USER_AGENT: &str = concat!("sidecar-drift/", env!("CARGO_PKG_VERSION"));

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Thousands of alerts or workloads fit in; what is longer is no answer to a question of ours.
const LONGEST: usize = 16 << 20;

/// A client for HTTP and HTTPS.
pub type Client = legacy::Client<HttpsConnector<Way>, Full<Bytes>>;

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
pub fn connect(setting: &'static str, url: &str, by: &Outbound) -> Result<(Client, Uri), NotAnAddress> {
    let url: Uri = url.parse().map_err(|_| NotAnAddress::Url(setting))?;
    if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
        return Err(NotAnAddress::Url(setting));
    }
    let authorities = authorities(by)?;
    let client = client(authorities, Way::of(by)).map_err(|error| NotAnAddress::Certificates(setting, error))?;
    Ok((client, url))
}

/// Those that are trusted beside the system's.
fn authorities(by: &Outbound) -> Result<Vec<CertificateDer<'static>>, NotAnAddress> {
    let Some(file) = &by.ca else { return Ok(Vec::new()) };
    let found = CertificateDer::pem_file_iter(file).and_then(Iterator::collect::<Result<Vec<_>, _>>);
    let found = found.map_err(NotAnAddress::Authorities)?;
    if found.is_empty() { Err(NotAnAddress::NoAuthority) } else { Ok(found) }
}

fn client(authorities: Vec<CertificateDer<'static>>, way: Way) -> Result<Client, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = Verifier::new_with_extra_roots(authorities, provider.clone())?;
    let tls = rustls::ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(verifier))
        .with_no_client_auth();
    let connector =
        HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(way);
    Ok(legacy::Client::builder(TokioExecutor::new()).build(connector))
}

/// Why there is no answer. The address is not repeated.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    /// Nobody is there.
    #[error("no connection")]
    Connection,
    /// Somebody was there.
    #[error("the connection was lost")]
    Lost,
    /// Nothing came in time.
    #[error("no answer within {} s", PATIENCE.as_secs())]
    Late,
    /// Another status than 200.
    #[error("the answer was {0}")]
    Status(StatusCode),
    /// Not all of it came, or too much.
    #[error("the answer broke off, or is too long")]
    Cut,
    /// The address cannot be asked.
    #[error("the request cannot be made")]
    Request,
}

/// The address of one thing that is served at another one.
pub(crate) fn at(base: &Uri, path: &str) -> Result<Uri, InvalidUri> {
    format!("{}{path}", base.to_string().trim_end_matches('/')).parse()
}

/// What is served there.
pub(crate) async fn get(url: &Uri) -> anyhow::Result<Bytes> {
    Ok(fetch(&client(Vec::new(), Way::default())?, url, None).await?)
}

/// The beginning of an answer; whoever asks bounds the time.
async fn ask(
    client: &Client,
    request: Request<Full<Bytes>>,
) -> Result<Response<impl Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + use<>>, NoAnswer> {
    let answer = client.request(request).await;
    answer.map_err(|error| if error.is_connect() { NoAnswer::Connection } else { NoAnswer::Lost })
}

/// Sends a request of which nothing but the status of its answer matters.
pub(crate) async fn send(client: &Client, request: Request<Full<Bytes>>) -> Result<StatusCode, NoAnswer> {
    let answer = time::timeout(PATIENCE, ask(client, request)).await.unwrap_or(Err(NoAnswer::Late))?;
    Ok(answer.status())
}

/// What a server has there, whole, as JSON if it can choose.
async fn fetch(client: &Client, url: &Uri, credentials: Option<HeaderValue>) -> Result<Bytes, NoAnswer> {
    let answered = async {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(url.clone())
            .header(header::ACCEPT, "application/json, */*;q=0.1")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::new(Bytes::new()))
            .map_err(|_| NoAnswer::Request)?;
        request.headers_mut().extend(credentials.map(|credentials| (header::AUTHORIZATION, credentials)));
        let answer = ask(client, request).await?;
        match answer.status() {
            StatusCode::OK => {
                let body = Limited::new(answer.into_body(), LONGEST).collect().await;
                body.map(Collected::to_bytes).map_err(|_| NoAnswer::Cut)
            }
            status => Err(NoAnswer::Status(status)),
        }
    };
    time::timeout(PATIENCE, answered).await.unwrap_or(Err(NoAnswer::Late))
}
