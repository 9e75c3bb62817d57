//! What strangers at a port take: half-open connections, and heads of requests that do not end.

use std::{io::Write as _, net::TcpStream, time::Duration};

use anyhow::{Result, anyhow};
use tokio::time::Instant;

use crate::{
    Settings,
    daemon::{self, Daemon},
    fleet::Fleet,
    growth::IN_FLIGHT,
    results::{Results, ms},
    say,
    stub::Stub,
};

/// Connections with the beginning of a request.
const HALF_OPEN: usize = 1_000;

/// Connections with a head that has no end, and how much of it is sent.
const HEADS: (usize, usize) = (800, 400 << 10);

/// What one of them may wait to be read.
const PATIENCE: Duration = Duration::from_secs(1);

/// What strangers do at both listeners, and what that costs and keeps others from.
pub(crate) async fn measure(settings: &Settings, results: &mut Results) -> Result<()> {
    let fleet = Fleet { deployments: settings.scaled(50), replicas: 1 };
    let stub = Stub::new(fleet);
    let kubeconfig = settings.home.join("stub.kubeconfig");
    let _server = stub.serve(&kubeconfig)?;
    let daemon = Daemon::start(settings, &kubeconfig, IN_FLIGHT).await?;
    daemon.until_complete(fleet.deployments).await?;
    let before = daemon.process.memory_at_rest().await?.mib();
    let mut slowest = Duration::ZERO;
    for address in [&daemon.probes, &daemon.api] {
        let mut open = Vec::new();
        for _ in 0..HALF_OPEN {
            open.push(begins(address, b"GET / HTTP/1.1\r\nhost")?);
        }
        slowest = slowest.max(healthz(&daemon).await?);
        for _ in 0..HEADS.0 {
            let head = [b"GET / HTTP/1.1\r\nhost: localhost\r\nx: ".to_vec(), vec![b'x'; HEADS.1]].concat();
            open.push(begins(address, &head)?);
        }
        slowest = slowest.max(healthz(&daemon).await?);
        say(format_args!(
            "{} connections to {address}: {:.1} MiB more",
            open.len(),
            daemon.process.memory()?.mib() - before
        ));
    }
    results.note("hostile_mib_more", daemon.process.memory()?.mib() - before)?;
    results.note("hostile_healthz_ms", ms(slowest))?;
    daemon.process.end().await
}

/// A connection that was told this much, as far as it was read.
fn begins(address: &str, text: &[u8]) -> Result<TcpStream> {
    let address = address.trim_start_matches("http://").trim_end_matches('/');
    let mut socket = TcpStream::connect(address).map_err(|error| anyhow!("{address}: {error}"))?;
    socket.set_write_timeout(Some(PATIENCE))?;
    // Whoever is turned away may notice while writing, and that is what is wanted.
    _ = socket.write_all(text);
    Ok(socket)
}

async fn healthz(daemon: &Daemon) -> Result<Duration> {
    let began = Instant::now();
    daemon::get(&daemon.probes, "/healthz").await?;
    Ok(began.elapsed())
}
