//! The same report by the predecessor's method: every ReplicaSet and every Pod, page by page, and then every workload whose
//! Pods have the sidecar at all.

use std::{
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use anyhow::{Context as _, Result};
use testbed::{Assets, RunDirectory};

use crate::{Settings, child, cluster::Cluster, fleet::SIDECAR};

const PROGRAM: &str = include_str!("../predecessor.py");

/// The client that the predecessor is written for, of the same age as the control plane.
const CLIENT: &str = "kubernetes==36.0.0";

/// What it would restart, and how long it took to find out.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Predecessor {
    pub(crate) restarts: usize,
    pub(crate) took: Duration,
}

/// Runs the method once.
pub(crate) async fn run(settings: &Settings, cluster: &Cluster) -> Result<Predecessor> {
    let python = python(&settings.home).await?;
    let script = cluster.testbed.directory().join("predecessor.py");
    fs::write(&script, PROGRAM)?;
    let (script, kubeconfig) = (script.display().to_string(), cluster.kubeconfig().display().to_string());
    let (text, took) = child::run(&settings.home, &python, &[&script, &kubeconfig, SIDECAR]).await?;
    Ok(Predecessor { restarts: text.trim().parse()?, took })
}

/// A Python with the client in it, made once beside the other programs of the testbed.
async fn python(run: &RunDirectory) -> Result<PathBuf> {
    let informer = Assets::informer()?;
    let cache = informer.parent().and_then(|folder| folder.parent()).context("the cache has no folder")?;
    let home = cache.join(format!("python-{}", CLIENT.replace("==", "-")));
    let (python, done) = (home.join("bin/python"), home.join("complete"));
    if !done.is_file() {
        let home = home.display().to_string();
        child::run_as_here(run, Path::new("python3"), &["-m", "venv", "--clear", &home]).await?;
        child::run_as_here(run, &python, &["-m", "pip", "install", "--quiet", "--disable-pip-version-check", CLIENT])
            .await?;
        fs::write(done, "")?;
    }
    Ok(python)
}
