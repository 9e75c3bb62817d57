//! Connections, by way of a proxy or without one.

use std::{
    error::Error,
    fmt,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
};

use http::Uri;
use hyper_util::{
    client::{
        legacy::connect::{HttpConnector, proxy::Tunnel},
        proxy::matcher::Matcher,
    },
    rt::TokioIo,
};
use tokio::net::TcpStream;
use tower::{Service, ServiceExt as _};

use crate::config::Outbound;

/// Connects to a host: directly, or through a tunnel that a proxy opens to it.
#[derive(Clone)]
pub struct ProxyConnector {
    direct: HttpConnector,
    proxy: Option<Arc<Matcher>>,
}

impl ProxyConnector {
    /// The one that is configured.
    pub fn of(by: &Outbound) -> Self {
        let proxy = by.proxy.as_deref().map(|proxy| Matcher::builder().all(proxy).no(by.no_proxy.join(",")).build());
        Self { proxy: proxy.map(Arc::new), ..Self::default() }
    }
}

impl Default for ProxyConnector {
    fn default() -> Self {
        let mut direct = HttpConnector::new();
        // TLS is none of its business, so it takes addresses of https, too.
        direct.enforce_http(false);
        Self { direct, proxy: None }
    }
}

impl Service<Uri> for ProxyConnector {
    type Response = TokioIo<TcpStream>;
    type Error = Box<dyn Error + Send + Sync>;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, to: Uri) -> Self::Future {
        let direct = self.direct.clone();
        let Some(proxy) = self.proxy.as_ref().and_then(|proxy| proxy.intercept(&to)) else {
            return Box::pin(async { Ok(direct.oneshot(to).await?) });
        };
        let mut tunnel = Tunnel::new(proxy.uri().clone(), direct);
        if let Some(credentials) = proxy.basic_auth() {
            tunnel = tunnel.with_auth(credentials.clone());
        }
        Box::pin(async { Ok(tunnel.oneshot(to).await?) })
    }
}

impl fmt::Debug for ProxyConnector {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ProxyConnector").field("by_proxy", &self.proxy.is_some()).finish_non_exhaustive()
    }
}
