//! The request.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Method, Request, Uri, header};
use http_body_util::Full;
use hyper_rustls::{ConfigBuilderExt, HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use tokio::time;

use super::Message;
use crate::config::NotifyFormat;

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);
/// A message is sent at most so often, and between two attempts is waited so long, and then twice as long.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);

/// The address cannot be used. It is not repeated: the addresses of webhooks are secrets.
#[derive(Debug, thiserror::Error)]
pub enum NotAnAddress {
    /// It is no URL of http or https.
    #[error("`--notify-url` is no address that begins with https:// or http://")]
    Url,
    /// There are no certificates to trust.
    #[error("the system's certificates cannot be read, by which the webhook of `--notify-url` would be known")]
    Certificates(#[source] rustls::Error),
}

/// Where messages go.
#[derive(Clone)]
pub struct Webhook {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    url: Uri,
    format: NotifyFormat,
}

impl Webhook {
    /// A webhook at this address.
    pub fn new(url: &str, format: NotifyFormat) -> Result<Self, NotAnAddress> {
        let url: Uri = url.parse().map_err(|_| NotAnAddress::Url)?;
        if !matches!(url.scheme_str(), Some("http" | "https")) || url.host().is_none() {
            return Err(NotAnAddress::Url);
        }
        let provider = rustls::crypto::ring::default_provider();
        let tls: rustls::ConfigBuilder<rustls::ClientConfig, _> =
            rustls::ClientConfig::builder_with_provider(provider.into())
                .with_safe_default_protocol_versions()
                .and_then(ConfigBuilderExt::try_with_platform_verifier)
                .map_err(NotAnAddress::Certificates)?;
        let connector = HttpsConnectorBuilder::new()
            .with_tls_config(tls.with_no_client_auth())
            .https_or_http()
            .enable_http1()
            .build();
        Ok(Self { client: Client::builder(TokioExecutor::new()).build(connector), url, format })
    }

    /// Sends a message, and again if the other side cannot take it now; returns whether it was taken.
    pub async fn send(&self, message: Message) -> bool {
        let body = match self.format {
            NotifyFormat::Json => message.json(),
            NotifyFormat::Slack => message.slack(),
        };
        let body = Bytes::from(body.to_string());
        for attempt in 1..=ATTEMPTS {
            match self.post(body.clone()).await {
                Ok(()) => return true,
                Err((why, again)) => {
                    tracing::warn!(reason = why, attempt, "the notification was not taken");
                    if !again || attempt == ATTEMPTS {
                        return false;
                    }
                }
            }
            time::sleep(PAUSE * attempt).await;
        }
        false
    }

    /// Why it failed, and whether it may succeed later.
    async fn post(&self, body: Bytes) -> Result<(), (String, bool)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, concat!("sidecar-drift/", env!("CARGO_PKG_VERSION")))
            .body(Full::new(body))
            .map_err(|_| ("the request cannot be made".to_owned(), false))?;
        match time::timeout(PATIENCE, self.client.request(request)).await {
            Err(_) => Err((format!("no answer within {} s", PATIENCE.as_secs()), true)),
            // Its text may hold the address.
            Ok(Err(error)) if error.is_connect() => Err(("no connection".to_owned(), true)),
            Ok(Err(_)) => Err(("the connection was lost".to_owned(), true)),
            Ok(Ok(answer)) if answer.status().is_success() => Ok(()),
            Ok(Ok(answer)) => {
                let status = answer.status();
                Err((format!("the answer was {status}"), status.is_server_error() || status.as_u16() == 429))
            }
        }
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("format", &self.format).finish_non_exhaustive()
    }
}
