//! The connections to the API server: as kube makes them, but that none of them reads far ahead, and that a peer that is gone
//! is noticed.
//!
//! They speak HTTP/1.1, which has no pings of its own; see [`super::watching`] for what is noticed above TCP.

use std::time::Duration;

use http::{Request, Response, Uri};
use hyper::body::Incoming;
use hyper_rustls::{FixedServerNameResolver, HttpsConnectorBuilder};
use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::{
        legacy::{
            Builder,
            connect::{
                HttpConnector,
                proxy::{SocksV5, Tunnel},
            },
        },
        proxy::matcher::{Intercept, Matcher},
    },
    rt::TokioExecutor,
};
use kube::{
    Client, Config, Error,
    client::{Body, ClientBuilder, ConfigExt as _},
};
use rustls::pki_types::ServerName;
use tower::{BoxError, Service, ServiceBuilder, util::BoxCloneSyncService};

use super::{
    layer::MeteredLayer,
    login::{self, Renewing, Session},
};
use crate::platform;

/// What a connection reads at once, at most. Left alone, hyper reads up to 400 KB where a server sends as fast, and keeps that
/// room for as long as the connection lives: of fourteen watches and as many dry runs as are in flight each would have it.
const READS: usize = 32 << 10;

/// A connection on which nothing has come for this long is asked whether anybody is there,
const ASKED_AFTER: Duration = Duration::from_secs(15);

/// again after this,
const ASKED_AGAIN: Duration = Duration::from_secs(10);

/// and so often. With the above a peer that is gone is noticed within 45 s, by a watch to which nothing would be sent anyway.
const ASKED_TIMES: u32 = 3;

/// What we send and nobody takes is lost after this long.
const TAKEN_WITHIN: Duration = Duration::from_secs(30);

/// Every connection to the server, by whatever way.
type Connections = BoxCloneSyncService<Request<Body>, Response<Incoming>, BoxError>;

/// A client for the server that the configuration names.
///
/// Must be called inside a tokio runtime.
pub(super) fn client(config: Config, metered: &MeteredLayer) -> kube::Result<Client> {
    let namespace = config.default_namespace.clone();
    if !login::renewable(&config) {
        let connections = session(&config)?.service;
        return Ok(ClientBuilder::new(connections, namespace).with_layer(metered).build());
    }
    let renewing = Renewing::new(move || session(&config), metered.clock.clone())?;
    Ok(ClientBuilder::new(renewing, namespace).with_layer(metered).build())
}

/// Reads the credentials, asks the login plugin if there is one, and prepares connections with them.
fn session(config: &Config) -> kube::Result<Session<Connections>> {
    let tcp = tcp();
    let Some(proxy) = config.proxy_url.clone() else { return through(tcp, config) };
    let unsupported = || Error::ProxyProtocolUnsupported { proxy_url: Box::new(proxy.clone()) };
    let proxy = known(&proxy).ok_or_else(unsupported)?;
    match proxy.uri().scheme_str() {
        Some("socks5" | "socks5h") => {
            let socks = SocksV5::new(proxy.uri().clone(), tcp);
            match proxy.raw_auth() {
                Some((user, password)) => through(socks.with_auth(user.to_owned(), password.to_owned()), config),
                None => through(socks, config),
            }
        }
        Some("http") => through(tunnel(&proxy, tcp), config),
        Some("https") => {
            let tls = config.rustls_https_connector_with_connector(tcp)?;
            through(tunnel(&proxy, tls), config)
        }
        _ => Err(unsupported()),
    }
}

/// A proxy's address, with what stands in it of user and password taken out.
fn known(proxy: &Uri) -> Option<Intercept> {
    let any = Uri::from_static("https://any");
    Matcher::builder().all(proxy.to_string()).build().intercept(&any)
}

fn tunnel<C>(proxy: &Intercept, connector: C) -> Tunnel<C> {
    let tunnel = Tunnel::new(proxy.uri().clone(), connector);
    match proxy.basic_auth() {
        Some(auth) => tunnel.with_auth(auth.clone()),
        None => tunnel,
    }
}

/// TCP that notices when the peer is gone.
fn tcp() -> HttpConnector {
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    tcp.set_keepalive(Some(ASKED_AFTER));
    tcp.set_keepalive_interval(Some(ASKED_AGAIN));
    tcp.set_keepalive_retries(Some(ASKED_TIMES));
    platform::sockets::set_user_timeout(&mut tcp, TAKEN_WITHIN);
    tcp
}

fn through<C>(connector: C, config: &Config) -> kube::Result<Session<Connections>>
where
    C: Service<Uri> + Clone + Send + Sync + 'static,
    C::Response:
        hyper_util::client::legacy::connect::Connection + hyper::rt::Read + hyper::rt::Write + Send + Unpin + 'static,
    C::Future: Send + 'static,
    C::Error: Into<BoxError> + Send + Sync + std::error::Error + 'static,
{
    let tls = config.rustls_client_config()?;
    let certificate = login::validity(&tls);
    let mut builder = HttpsConnectorBuilder::new().with_tls_config(tls).https_or_http();
    if let Some(name) = config.tls_server_name.clone() {
        let name = ServerName::try_from(name).map_err(|error| Error::Service(error.into()))?;
        builder = builder.with_server_name_resolver(FixedServerNameResolver::new(name));
    }
    let mut connector = TimeoutConnector::new(builder.enable_http1().wrap_connector(connector));
    connector.set_connect_timeout(config.connect_timeout);
    connector.set_read_timeout(config.read_timeout);
    connector.set_write_timeout(config.write_timeout);
    let connections = Builder::new(TokioExecutor::new()).http1_max_buf_size(READS).build(connector);
    let service = ServiceBuilder::new()
        .layer(config.base_uri_layer())
        .option_layer(config.auth_layer()?)
        .layer(config.extra_headers_layer()?)
        .map_err(BoxError::from)
        .service(connections);
    Ok(Session { service: BoxCloneSyncService::new(service), certificate })
}

#[cfg(test)]
mod tests {
    use rustix::net::sockopt;
    use tokio::net::TcpListener;
    use tower::ServiceExt as _;

    use super::*;

    #[tokio::test]
    async fn a_peer_that_is_gone_is_noticed_within_45_seconds() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let server: Uri = format!("http://{}", listener.local_addr().unwrap()).parse().unwrap();
        let connection = tcp().oneshot(server).await.unwrap();
        let socket = connection.inner();
        assert!(sockopt::socket_keepalive(socket).unwrap());
        let (idle, interval) = (sockopt::tcp_keepidle(socket).unwrap(), sockopt::tcp_keepintvl(socket).unwrap());
        let noticed = idle + interval * sockopt::tcp_keepcnt(socket).unwrap();
        assert!(idle > Duration::ZERO && noticed <= Duration::from_secs(45), "{noticed:?}");
        #[cfg(target_os = "linux")]
        assert_eq!(sockopt::tcp_user_timeout(socket).unwrap(), 30_000);
    }

    #[test]
    fn what_a_proxy_is_to_be_told_is_taken_out_of_its_address() {
        let proxy = |address: &str| known(&address.parse().unwrap()).unwrap();
        let http = proxy("http://user:pa%40ss@proxy:3128");
        assert_eq!(http.basic_auth().unwrap(), "Basic dXNlcjpwYUBzcw==");
        assert!(!http.uri().to_string().contains("user"), "{}", http.uri());
        assert_eq!(proxy("socks5://user:pass@proxy:1080").raw_auth(), Some(("user", "pass")));
        assert_eq!(proxy("https://proxy").basic_auth(), None);
    }
}
