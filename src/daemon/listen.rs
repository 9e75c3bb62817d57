//! What the daemon is to others: two listeners, one for the cluster's own probes and scrapes, one for people and programs
//! that read; and one webhook that is told.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context as _;
use axum::Router;
use tokio::{net::TcpListener, time::interval};

use super::workers::Workers;
use crate::{
    config::{Config, Notify},
    document::Mask,
    http::{self, Published, Reader},
    metrics::{self, Metrics},
    notify::{Notifier, Webhook},
};

/// How often recorded durations are moved into their buckets, whether or not anybody scrapes.
const UPKEEP: Duration = Duration::from_secs(10);

/// Begins to serve what `config` says.
pub(super) async fn start(config: &Config, published: &Published, workers: &mut Workers) -> anyhow::Result<()> {
    if let Some(address) = config.listen {
        let (listener, address) = bound("listen", address).await?;
        tracing::info!(%address, "serving /healthz, /readyz and /metrics");
        let metrics = metrics::install(config.metrics_by_namespace)?;
        workers.also(upkeep(metrics.clone()));
        workers.also(serve(listener, http::probes(published.clone(), metrics)));
    }
    if let Some(address) = config.api_listen {
        let (listener, address) = bound("api-listen", address).await?;
        tracing::info!(%address, "serving the API and the web page");
        let mask =
            Mask::random().context("the system gives no random numbers, without which values cannot be hidden")?;
        workers.also(serve(listener, Reader::new(published.clone(), mask).router(address)));
    }
    Ok(())
}

/// Begins to tell the webhook that `config` names.
pub(super) fn notify(config: &Config, workers: &mut Workers) -> anyhow::Result<Option<Notifier>> {
    let Some(Notify { url, format }) = &config.notify else { return Ok(None) };
    let webhook = Arc::new(Webhook::new(url, *format)?);
    let (notifier, work) = Notifier::new(move |message| {
        let webhook = webhook.clone();
        async move { webhook.send(message).await }
    });
    workers.also(work);
    Ok(Some(notifier))
}

async fn bound(setting: &'static str, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = http::bind(setting, address).await?;
    let address = listener.local_addr().context("cannot tell the address that we listen at")?;
    Ok((listener, address))
}

async fn serve(listener: TcpListener, router: Router) {
    if let Err(error) = http::serve(listener, router, std::future::pending()).await {
        tracing::error!(error = &error as &dyn std::error::Error, "the HTTP server stopped");
    }
}

async fn upkeep(metrics: Metrics) {
    let mut interval = interval(UPKEEP);
    loop {
        interval.tick().await;
        metrics.upkeep();
    }
}
