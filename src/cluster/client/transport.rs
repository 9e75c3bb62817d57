//! The connections to the API server: as kube makes them, but that none of them reads far ahead.

use hyper_timeout::TimeoutConnector;
use hyper_util::{
    client::legacy::{Builder, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Client, Config,
    client::{ClientBuilder, ConfigExt as _},
};
use tower::{BoxError, ServiceBuilder};

use super::layer::MeteredLayer;

/// What a connection reads at once, at most. Left alone, hyper reads up to 400 KB where a server sends as fast, and keeps that
/// room for as long as the connection lives: of fourteen watches and as many dry runs as are in flight each would have it.
const READS: usize = 32 << 10;

/// A client for the server that the configuration names.
///
/// Must be called inside a tokio runtime.
pub(super) fn client(config: Config, metered: &MeteredLayer) -> kube::Result<Client> {
    // What lies behind a proxy is for kube to reach.
    if config.proxy_url.is_some() {
        return Ok(ClientBuilder::try_from(config)?.with_layer(metered).build());
    }
    let mut tcp = HttpConnector::new();
    tcp.enforce_http(false);
    let mut connector = TimeoutConnector::new(config.rustls_https_connector_with_connector(tcp)?);
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
    Ok(ClientBuilder::new(service, config.default_namespace).with_layer(metered).build())
}
