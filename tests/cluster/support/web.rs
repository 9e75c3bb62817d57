//! A request over HTTP, as plain as can be.

use anyhow::{Context as _, Result};
use tokio::{
    io::{AsyncReadExt as _, AsyncWriteExt as _},
    net::TcpStream,
};

/// What is served there, head and body.
pub(crate) async fn get(address: &str, path: &str) -> Result<String> {
    let mut stream = TcpStream::connect(address).await.with_context(|| format!("nobody listens at {address}"))?;
    stream.write_all(format!("GET {path} HTTP/1.0\r\n\r\n").as_bytes()).await?;
    let mut text = String::new();
    stream.read_to_string(&mut text).await?;
    Ok(text)
}

/// The body alone.
pub(crate) async fn body(address: &str, path: &str) -> Result<String> {
    let whole = get(address, path).await?;
    let (_, body) = whole.split_once("\r\n\r\n").with_context(|| format!("no HTTP: {whole}"))?;
    Ok(body.to_owned())
}
