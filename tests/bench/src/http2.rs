//! A raw HTTP/2 client: what the API server itself can do, with nothing of a Kubernetes client above it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result, ensure};
use bytes::Bytes;
use futures::{StreamExt as _, TryStreamExt as _, stream};
use http::{Method, Request, StatusCode, header};
use http_body_util::{BodyExt as _, Full};
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::{
    client::legacy::{Client, connect::HttpConnector},
    rt::TokioExecutor,
};
use kube::{
    Config,
    client::ConfigExt as _,
    config::{KubeConfigOptions, Kubeconfig},
};
use serde_json::Value;
use tokio::time::{Instant, timeout};

/// One answer, on a busy machine.
const PATIENCE: Duration = Duration::from_mins(2);

/// A connection to one API server.
#[derive(Clone, Debug)]
pub(crate) struct Http2 {
    client: Client<HttpsConnector<HttpConnector>, Full<Bytes>>,
    base: String,
}

/// One request that is ready to be sent.
#[derive(Clone, Debug)]
pub(crate) struct Ready {
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) body: Bytes,
}

impl Ready {
    pub(crate) fn post(path: impl Into<String>, body: &Value) -> Self {
        Self { method: Method::POST, path: path.into(), body: body.to_string().into() }
    }

    pub(crate) fn merge_patch(path: impl Into<String>, body: &Value) -> Self {
        Self { method: Method::PATCH, path: path.into(), body: body.to_string().into() }
    }

    fn content_type(&self) -> &'static str {
        if self.method == Method::PATCH { "application/merge-patch+json" } else { "application/json" }
    }
}

impl Http2 {
    /// A client with the rights of this kubeconfig.
    pub(crate) async fn connect(kubeconfig: &Path) -> Result<Self> {
        let kubeconfig = Kubeconfig::read_from(kubeconfig)?;
        let config = Config::from_custom_kubeconfig(kubeconfig, &KubeConfigOptions::default()).await?;
        let connector =
            HttpsConnectorBuilder::new().with_tls_config(config.rustls_client_config()?).https_only().enable_http2();
        let client = Client::builder(TokioExecutor::new()).http2_only(true).build(connector.build());
        Ok(Self { client, base: config.cluster_url.to_string().trim_end_matches('/').to_owned() })
    }

    /// Reads a body to its end without keeping it; how many bytes, and in what time.
    pub(crate) async fn drain(&self, path: &str, accept: &str) -> Result<(usize, Duration)> {
        let reading = timeout(PATIENCE, self.read(path, accept));
        reading.await.with_context(|| format!("no answer in time: {path}"))?
    }

    async fn read(&self, path: &str, accept: &str) -> Result<(usize, Duration)> {
        let began = Instant::now();
        let uri = format!("{}{path}", self.base);
        let request = Request::get(uri).header(header::ACCEPT, accept).body(Full::default())?;
        let response = self.client.request(request).await?;
        ensure!(response.status().is_success(), "{path}: {}", response.status());
        let mut body = response.into_body();
        let mut bytes = 0;
        while let Some(frame) = body.frame().await {
            bytes += frame?.data_ref().map_or(0, Bytes::len);
        }
        Ok((bytes, began.elapsed()))
    }

    /// Sends one request; the answer's body, which must be a success.
    pub(crate) async fn send(&self, ready: Ready) -> Result<Value> {
        let (status, body) = self.answer(ready.clone()).await?;
        let json: Value = serde_json::from_slice(&body).with_context(|| format!("{}: not JSON", ready.path))?;
        ensure!(status.is_success(), "{} {}: {status}: {}", ready.method, ready.path, json["message"]);
        Ok(json)
    }

    /// Sends all of them, so many in flight; in what time. What comes back is read and dropped.
    pub(crate) async fn send_all(&self, all: impl Iterator<Item = Ready>, in_flight: usize) -> Result<Duration> {
        let began = Instant::now();
        stream::iter(all)
            .map(|ready| async move {
                let path = ready.path.clone();
                let (status, body) = self.answer(ready).await?;
                ensure!(status.is_success(), "{path}: {status}: {}", String::from_utf8_lossy(&body));
                Ok(())
            })
            .buffer_unordered(in_flight)
            .try_for_each(|()| std::future::ready(Ok(())))
            .await?;
        Ok(began.elapsed())
    }

    async fn answer(&self, ready: Ready) -> Result<(StatusCode, Bytes)> {
        let content_type = ready.content_type();
        let request = Request::builder()
            .method(ready.method)
            .uri(format!("{}{}", self.base, ready.path))
            .header(header::CONTENT_TYPE, content_type)
            .header(header::ACCEPT, "application/json")
            .body(Full::new(ready.body))?;
        let answer = async {
            let response = self.client.request(request).await?;
            let status = response.status();
            anyhow::Ok((status, response.into_body().collect().await?.to_bytes()))
        };
        let answer = timeout(PATIENCE, answer).await;
        answer.map_err(anyhow::Error::from).flatten().with_context(|| ready.path.clone())
    }
}
