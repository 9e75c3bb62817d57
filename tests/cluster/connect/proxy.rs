//! A proxy that speaks `CONNECT` and SOCKS 5, leads to the API server whatever name it is asked for, and counts.

use std::{
    net::SocketAddr,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use anyhow::{Context as _, Result, ensure};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinSet,
};

pub(super) struct Proxy {
    pub(super) address: SocketAddr,
    passed: Arc<AtomicUsize>,
    _serving: JoinSet<()>,
}

impl Proxy {
    pub(super) async fn before(api_server: SocketAddr) -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let passed = Arc::new(AtomicUsize::new(0));
        let count = Arc::clone(&passed);
        let mut serving = JoinSet::new();
        serving.spawn(async move {
            let mut connections = JoinSet::new();
            while let Ok((client, _)) = listener.accept().await {
                let count = Arc::clone(&count);
                connections.spawn(async move { pass(client, api_server, &count).await });
            }
        });
        Ok(Self { address, passed, _serving: serving })
    }

    /// How many connections went through it until now.
    pub(super) fn passed(&self) -> usize {
        self.passed.load(Ordering::Relaxed)
    }
}

async fn pass(mut client: TcpStream, api_server: SocketAddr, count: &AtomicUsize) -> Result<()> {
    let first = client.read_u8().await?;
    if first == 5 {
        socks(&mut client).await?;
    } else {
        let mut head = vec![first];
        while !head.ends_with(b"\r\n\r\n") {
            head.push(client.read_u8().await?);
        }
        ensure!(head.starts_with(b"CONNECT "), "a request that is no tunnel");
        client.write_all(b"HTTP/1.1 200 OK\r\n\r\n").await?;
    }
    count.fetch_add(1, Ordering::Relaxed);
    let mut server = TcpStream::connect(api_server).await?;
    copy_bidirectional(&mut client, &mut server).await?;
    Ok(())
}

/// After the version: the ways to log in, then where to go.
async fn socks(client: &mut TcpStream) -> Result<()> {
    let ways = client.read_u8().await?;
    client.read_exact(&mut vec![0; usize::from(ways)]).await?;
    client.write_all(&[5, 0]).await?;
    let mut request = [0; 4];
    client.read_exact(&mut request).await?;
    let address = match request[3] {
        1 => 4,
        3 => usize::from(client.read_u8().await?),
        4 => 16,
        _ => return Err(anyhow::anyhow!("no such kind of address")),
    };
    client.read_exact(&mut vec![0; address + 2]).await?;
    client.write_all(&[5, 0, 0, 1, 0, 0, 0, 0, 0, 0]).await.context("the client is gone")
}
