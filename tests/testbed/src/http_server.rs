//! The little HTTP server under the webhook injectors and the API proxy.

use std::convert::Infallible;
use std::future::Future;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;

use anyhow::{Context as _, Result};
use bytes::Bytes;
use http::{Request, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt as _, Full, StreamBody};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinSet;
use tokio_rustls::TlsAcceptor;

use crate::background::{self, Task};
use crate::pki::{Authority, Identity};

/// What a served answer is made of.
pub type Body = UnsyncBoxBody<Bytes, Box<dyn std::error::Error + Send + Sync>>;

/// A server on a loopback port. Dropping it closes the port and every connection.
#[derive(Debug)]
pub struct HttpServer {
    address: SocketAddr,
    _task: Task,
}

impl HttpServer {
    /// Serves `handler` without TLS.
    pub fn plain<H, F>(handler: H) -> Result<Self>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        Self::start(None, handler)
    }

    /// Serves `handler` by TLS, as these hosts; with the certificate, as PEM, of the authority that says so.
    pub fn tls<H, F>(hosts: &[&str], handler: H) -> Result<(Self, String)>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let authority = Authority::new("an authority that nobody knows")?;
        let server = Self::start(Some(&authority.server(hosts)?), handler)?;
        Ok((server, authority.certificate()))
    }

    /// Serves `handler`, by TLS if there is an identity to show.
    pub(crate) fn start<H, F>(identity: Option<&Identity>, handler: H) -> Result<Self>
    where
        H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
        F: Future<Output = Response<Body>> + Send + 'static,
    {
        let acceptor = identity.map(acceptor).transpose()?;
        let listener = std::net::TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).context("no free port on loopback")?;
        listener.set_nonblocking(true)?;
        let address = listener.local_addr()?;
        let background = background::enter()?;
        let listener = TcpListener::from_std(listener)?;
        drop(background);
        Ok(Self { address, _task: Task::spawn(serve(listener, acceptor, handler))? })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }
}

/// An answer with a whole body.
pub(crate) fn answer(status: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    let mut response = Response::new(Full::new(body.into()).map_err(|never| match never {}).boxed_unsync());
    *response.status_mut() = status;
    response
}

/// An answer whose connection breaks before its body has come.
pub(crate) fn hangup() -> Response<Body> {
    let broken = futures::stream::once(async { Err::<hyper::body::Frame<Bytes>, _>("broken on purpose".into()) });
    Response::new(StreamBody::new(broken).boxed_unsync())
}

fn acceptor(identity: &Identity) -> Result<TlsAcceptor> {
    let chain = vec![CertificateDer::from_pem_slice(identity.certificate.as_bytes())?];
    let key = PrivateKeyDer::from_pem_slice(identity.key.as_bytes())?;
    let config = rustls::ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

async fn serve<H, F>(listener: TcpListener, acceptor: Option<TlsAcceptor>, handler: H)
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    // Dropped with this task, and with it every connection.
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let (acceptor, handler) = (acceptor.clone(), handler.clone());
                // A connection that breaks is its client's to notice.
                connections.spawn(async move { let _ = welcome(stream, acceptor, handler).await; });
            }
            Some(_) = connections.join_next() => {}
        }
    }
}

async fn welcome<H, F>(stream: TcpStream, acceptor: Option<TlsAcceptor>, handler: H) -> Result<()>
where
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    stream.set_nodelay(true)?;
    match acceptor {
        Some(acceptor) => converse(acceptor.accept(stream).await?, handler).await,
        None => converse(stream, handler).await,
    }
}

async fn converse<S, H, F>(stream: S, handler: H) -> Result<()>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    H: Fn(Request<Incoming>) -> F + Clone + Send + Sync + 'static,
    F: Future<Output = Response<Body>> + Send + 'static,
{
    let service = service_fn(|request| {
        let answer = handler(request);
        async { Ok::<_, Infallible>(answer.await) }
    });
    Ok(http1::Builder::new().serve_connection(TokioIo::new(stream), service).await?)
}
