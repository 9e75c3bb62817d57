//! The client: one request, one answer, within its limits. It repeats nothing and follows no redirect.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http::{HeaderValue, Method, Request, Response, StatusCode, Uri, header};
use http_body::Body;
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{self, connect::HttpConnector},
    rt::TokioExecutor,
};
use rustls::pki_types::CertificateDer;
use rustls_platform_verifier::Verifier;
use tokio::time;

use super::ProxyConnector;

/// What we call ourselves.
const USER_AGENT: &str = concat!("sidecar-drift/", env!("CARGO_PKG_VERSION"));

/// How long an answer may take, and how long it may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// An answer that takes longer is none.
    pub time: Duration,
    /// Bytes of a body; what is longer is no answer to a question of ours.
    pub length: usize,
}

impl Limits {
    /// A server that others run. Thousands of alerts or workloads fit in.
    pub const EXTERNAL: Self = Self { time: Duration::from_secs(10), length: 16 << 20 };

    /// Another replica. A page of the largest list takes a fraction of the time, and a thousand workloads with all their
    /// differences are some megabytes. A few are in memory at a time.
    pub const REPLICA: Self = Self { time: Duration::from_secs(5), length: 16 << 20 };
}

/// A client for what is not the API server. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Client {
    transport: Transport,
    limits: Limits,
}

#[derive(Clone, Debug)]
enum Transport {
    /// HTTP alone. It needs no certificates, so it works in an image that has none.
    Plain(legacy::Client<HttpConnector, Full<Bytes>>),
    /// HTTP and HTTPS.
    Tls(legacy::Client<HttpsConnector<ProxyConnector>, Full<Bytes>>),
}

/// Why there is no answer of use. The address is not repeated: some are secrets.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// Nobody listens there, or the network does not let us.
    #[error("no connection")]
    Connect,
    /// The connection broke, or something else than HTTP was spoken.
    #[error("the connection was lost")]
    Broken,
    /// Nothing came in time.
    #[error("no answer within {} s", .0.as_secs())]
    TimedOut(Duration),
    /// Another status than 200.
    #[error("the answer was {0}")]
    Status(StatusCode),
    /// Not all of it came, or too much.
    #[error("the answer broke off, or is too long")]
    Body,
    /// The address cannot be asked.
    #[error("the request cannot be made")]
    Request,
}

impl Client {
    /// Speaks HTTP without TLS, as replicas do among themselves.
    pub fn plain(limits: Limits) -> Self {
        let mut connector = HttpConnector::new();
        connector.set_connect_timeout(Some(limits.time / 2));
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Self { transport: Transport::Plain(client), limits }
    }

    /// Speaks HTTP and HTTPS, connects like this, and trusts by the system's certificates and these.
    pub fn tls(
        limits: Limits,
        trusted: Vec<CertificateDer<'static>>,
        connector: ProxyConnector,
    ) -> Result<Self, rustls::Error> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = Verifier::new_with_extra_roots(trusted, provider.clone())?;
        let tls = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(verifier))
            .with_no_client_auth();
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http().enable_http1().wrap_connector(connector);
        let client = legacy::Client::builder(TokioExecutor::new()).build(connector);
        Ok(Self { transport: Transport::Tls(client), limits })
    }

    /// The whole answer, whatever its status.
    pub async fn ask(&self, request: Request<Full<Bytes>>) -> Result<Response<Bytes>, RequestError> {
        self.in_time(async {
            let (head, body) = self.request(request).await?.into_parts();
            let body = Limited::new(body, self.limits.length).collect().await;
            let body = body.map(Collected::to_bytes).map_err(|_| RequestError::Body)?;
            Ok(Response::from_parts(head, body))
        })
        .await
    }

    /// Sends a request of which nothing but the status of its answer matters.
    pub async fn send(&self, mut request: Request<Full<Bytes>>) -> Result<StatusCode, RequestError> {
        request.headers_mut().insert(header::USER_AGENT, HeaderValue::from_static(USER_AGENT));
        self.in_time(async { Ok(self.request(request).await?.status()) }).await
    }

    /// What a server has there, as JSON if it can choose.
    pub async fn get(&self, url: &Uri) -> Result<Bytes, RequestError> {
        self.get_as(url, None).await
    }

    /// The same for somebody who has these credentials.
    pub async fn get_as(&self, url: &Uri, credentials: Option<HeaderValue>) -> Result<Bytes, RequestError> {
        let mut request = Request::builder()
            .method(Method::GET)
            .uri(url.clone())
            .header(header::ACCEPT, "application/json, */*;q=0.1")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::default())
            .map_err(|_| RequestError::Request)?;
        request.headers_mut().extend(credentials.map(|credentials| (header::AUTHORIZATION, credentials)));
        self.in_time(async {
            let answer = self.request(request).await?;
            if answer.status() != StatusCode::OK {
                return Err(RequestError::Status(answer.status()));
            }
            let body = Limited::new(answer.into_body(), self.limits.length).collect().await;
            body.map(Collected::to_bytes).map_err(|_| RequestError::Body)
        })
        .await
    }

    async fn in_time<T>(&self, answer: impl Future<Output = Result<T, RequestError>>) -> Result<T, RequestError> {
        let time = self.limits.time;
        time::timeout(time, answer).await.unwrap_or(Err(RequestError::TimedOut(time)))
    }

    /// The beginning of an answer; whoever asks bounds the time.
    async fn request(
        &self,
        request: Request<Full<Bytes>>,
    ) -> Result<Response<impl Body<Data = Bytes, Error: std::error::Error + Send + Sync + 'static> + use<>>, RequestError>
    {
        let answer = match &self.transport {
            Transport::Plain(client) => client.request(request).await,
            Transport::Tls(client) => client.request(request).await,
        };
        answer.map_err(|error| if error.is_connect() { RequestError::Connect } else { RequestError::Broken })
    }
}
