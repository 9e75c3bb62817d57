//! A plain kube-rs reflector of all Pods, as its documentation shows it.

use std::{
    io::{self, Write as _},
    path::Path,
};

use anyhow::{Context as _, Result};
use futures::StreamExt as _;
use k8s_openapi::api::core::v1::Pod;
use kube::{
    Api, Client, Config,
    config::{KubeConfigOptions, Kubeconfig},
    runtime::{WatchStreamExt as _, reflector, watcher},
};

/// Says when it has all Pods, and stays until it is killed.
pub(crate) async fn run(kubeconfig: &Path) -> Result<()> {
    let config = Kubeconfig::read_from(kubeconfig)?;
    let config = Config::from_custom_kubeconfig(config, &KubeConfigOptions::default()).await?;
    let pods: Api<Pod> = Api::all(Client::try_from(config)?);
    let (reader, writer) = reflector::store();
    let events = watcher(pods, watcher::Config::default()).default_backoff().reflect(writer).applied_objects();
    let mut events = Box::pin(events);
    let synced = async {
        reader.wait_until_ready().await.context("the reflector ended")?;
        writeln!(io::stdout(), "synced {}", reader.len())?;
        std::future::pending::<Result<()>>().await
    };
    tokio::select! {
        ended = synced => ended,
        () = async { while events.next().await.is_some() {} } => anyhow::bail!("the watch ended"),
    }
}
