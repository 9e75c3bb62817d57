//! What the daemon is to others: two listeners, one for the cluster's own probes and scrapes, one for people and programs
//! that read; and one webhook that is told.

use std::{future::pending, net::SocketAddr, sync::Arc, thread, time::Duration};

use anyhow::Context as _;
use tokio::{
    net::TcpListener,
    runtime::{Builder, Handle},
    sync::oneshot,
    time::interval,
};

use super::workers::Workers;
use crate::{
    config::{Config, Notify},
    document::Redaction,
    http::{self, Published, Reader},
    metrics::{self, Metrics},
    notify::{Notifier, Webhook},
};

/// How often recorded durations are moved into their buckets, whether or not anybody scrapes.
const UPKEEP: Duration = Duration::from_secs(10);

/// Begins to serve what `config` says.
pub(super) async fn start(config: &Config, published: &Published, workers: &mut Workers) -> anyhow::Result<()> {
    if config.listen.is_none() && config.api_listen.is_none() {
        return Ok(());
    }
    let readers = readers(workers)?;
    if let Some(address) = config.listen {
        let (listener, address) = bound("listen", address).await?;
        tracing::info!(%address, "serving /healthz, /readyz and /metrics");
        let metrics = metrics::install(config.metrics_by_namespace)?;
        workers.spawn_for_life(upkeep(metrics.clone()));
        let probes = http::probes(published.clone(), metrics, readers.clone(), address);
        workers.spawn_for_life(http::serve(listener, probes, pending()));
    }
    if let Some(address) = config.api_listen {
        let redaction =
            Redaction::random().context("the system gives no random numbers, without which values cannot be hidden")?;
        let (listener, address) = readers.spawn(bound("api-listen", address)).await??;
        tracing::info!(%address, "serving the API and the web page");
        let serving =
            readers.spawn(http::serve(listener, Reader::new(published.clone(), redaction).router(address), pending()));
        workers.spawn_for_life(async {
            if let Err(error) = serving.await
                && error.is_panic()
            {
                std::panic::resume_unwind(error.into_panic());
            }
        });
    }
    Ok(())
}

/// A thread that does nothing but make pages and answers for those who read. A page of ten thousand workloads takes
/// milliseconds, in which no event would be taken in and no answer of the API server read, were it made where those are. What
/// the kubelet asks is not answered there: it must not wait for pages.
fn readers(workers: &mut Workers) -> anyhow::Result<Handle> {
    let runtime = Builder::new_current_thread().enable_all().build().context("cannot start a runtime for readers")?;
    let handle = runtime.handle().clone();
    let (until, ended) = oneshot::channel::<()>();
    thread::Builder::new()
        .name("readers".to_owned())
        .spawn(move || _ = runtime.block_on(ended))
        .context("cannot start a thread for readers")?;
    // It ends with the workers.
    workers.spawn_for_life(async move {
        pending::<()>().await;
        drop(until);
    });
    Ok(handle)
}

/// Begins to tell the webhook that `config` names.
pub(super) fn notify(config: &Config, workers: &mut Workers) -> anyhow::Result<Option<Notifier>> {
    let Some(Notify { url, format }) = &config.notify else { return Ok(None) };
    let webhook = Arc::new(Webhook::new(url, *format, &config.outbound)?);
    let (notifier, work) = Notifier::new(move |message| {
        let webhook = webhook.clone();
        async move { webhook.send(message).await }
    });
    workers.spawn_for_life(work);
    Ok(Some(notifier))
}

async fn bound(setting: &'static str, address: SocketAddr) -> anyhow::Result<(TcpListener, SocketAddr)> {
    let listener = http::bind(setting, address).await?;
    let address = listener.local_addr().context("cannot tell the address that we listen at")?;
    Ok((listener, address))
}

async fn upkeep(metrics: Metrics) {
    let mut interval = interval(UPKEEP);
    loop {
        interval.tick().await;
        metrics.upkeep();
    }
}
