//! The way from the API server to webhooks behind Services.
//!
//! The API server resolves a webhook's Service to its cluster address and asks this proxy for a tunnel there
//! (`CONNECT 10.96.0.17:443` over a unix socket). The proxy knows which of our servers stands for which Service.

use std::collections::{HashMap, VecDeque};
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context as _, Result};
use tokio::io::{AsyncBufReadExt as _, AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpStream, UnixListener, UnixStream};
use tokio::task::JoinSet;

use crate::background::{self, Task};

/// A proxy with a table of routes.
#[derive(Debug)]
pub(crate) struct EgressProxy {
    routes: Routes,
    _server: Task,
}

/// From `address:port` of a Service to what is behind it.
#[derive(Debug, Clone, Default)]
pub(crate) struct Routes(Arc<Mutex<HashMap<String, Backend>>>);

/// Our servers behind a Service. As in a real cluster a new connection goes to the next one, and stays there.
#[derive(Debug, Default)]
struct Backend {
    servers: VecDeque<SocketAddr>,
    /// How much later each answer comes.
    delay: Duration,
}

impl Routes {
    /// Removes the route when the guard is dropped.
    #[must_use]
    pub(crate) fn add(&self, service: String, server: SocketAddr) -> Route {
        self.table().entry(service.clone()).or_default().servers.push_back(server);
        Route { routes: self.clone(), service, server }
    }

    fn find(&self, service: &str) -> Option<SocketAddr> {
        let mut table = self.table();
        let servers = &mut table.get_mut(service)?.servers;
        servers.rotate_left(usize::from(!servers.is_empty()));
        servers.back().copied()
    }

    /// Lets whatever the Service answers come that much later, on connections that exist, too.
    pub(crate) fn slow_down(&self, service: &str, delay: Duration) {
        self.table().entry(service.to_owned()).or_default().delay = delay;
    }

    fn delay(&self, service: &str) -> Duration {
        self.table().get(service).map_or(Duration::ZERO, |backend| backend.delay)
    }

    fn table(&self) -> MutexGuard<'_, HashMap<String, Backend>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// One Service's route.
#[derive(Debug)]
pub(crate) struct Route {
    routes: Routes,
    service: String,
    server: SocketAddr,
}

impl Drop for Route {
    fn drop(&mut self) {
        if let Some(backend) = self.routes.table().get_mut(&self.service) {
            backend.servers.retain(|server| *server != self.server);
        }
    }
}

impl EgressProxy {
    /// Listens on `socket`.
    pub(crate) fn start(socket: &Path) -> Result<Self> {
        let _background = background::enter()?;
        let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
        let routes = Routes::default();
        let server = Task::spawn(serve(listener, routes.clone()))?;
        Ok(Self { routes, _server: server })
    }

    pub(crate) fn routes(&self) -> &Routes {
        &self.routes
    }
}

async fn serve(listener: UnixListener, routes: Routes) {
    let mut tunnels = JoinSet::new();
    loop {
        tokio::select! {
            accepted = listener.accept() => {
                let Ok((stream, _)) = accepted else { continue };
                let routes = routes.clone();
                tunnels.spawn(async move {
                    // A broken tunnel is the API server's to notice and to report.
                    let _ = tunnel(stream, &routes).await;
                });
            }
            Some(_) = tunnels.join_next() => {}
        }
    }
}

async fn tunnel(stream: UnixStream, routes: &Routes) -> Result<()> {
    let mut stream = BufReader::new(stream);
    let Some(target) = read_connect(&mut stream).await? else {
        stream.write_all(b"HTTP/1.1 405 Method Not Allowed\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(());
    };
    let server = match routes.find(&target) {
        Some(address) => TcpStream::connect(address).await.ok(),
        None => None,
    };
    let Some(server) = server else {
        stream.write_all(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n").await?;
        return Ok(());
    };
    stream.write_all(b"HTTP/1.1 200 Connection established\r\n\r\n").await?;
    let (from_client, mut to_client) = tokio::io::split(stream);
    let (from_server, mut to_server) = server.into_split();
    tokio::try_join!(
        relay(from_client, &mut to_server, || Duration::ZERO),
        relay(from_server, &mut to_client, || routes.delay(&target)),
    )?;
    Ok(())
}

/// Passes on what comes, each piece as late as it is to be then.
async fn relay(
    mut from: impl AsyncRead + Unpin,
    to: &mut (impl AsyncWrite + Unpin),
    delay: impl Fn() -> Duration,
) -> Result<()> {
    let mut buffer = vec![0; 16 * 1024];
    loop {
        let length = from.read(&mut buffer).await?;
        let Some(piece) = buffer.get(..length).filter(|piece| !piece.is_empty()) else {
            return Ok(to.shutdown().await?);
        };
        let delay = delay();
        if !delay.is_zero() {
            tokio::time::sleep(delay).await;
        }
        to.write_all(piece).await?;
    }
}

/// Reads the request's head; the target if it is a CONNECT.
async fn read_connect(stream: &mut BufReader<UnixStream>) -> Result<Option<String>> {
    let mut request = String::new();
    stream.read_line(&mut request).await?;
    let mut header = String::new();
    loop {
        header.clear();
        if stream.read_line(&mut header).await? == 0 || header.trim_end().is_empty() {
            break;
        }
    }
    let mut words = request.split_ascii_whitespace();
    Ok(words.next().filter(|method| *method == "CONNECT").and_then(|_| words.next()).map(ToOwned::to_owned))
}
