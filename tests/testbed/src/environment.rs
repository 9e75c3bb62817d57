//! The testbed's environment variables, all read here.
#![expect(clippy::disallowed_methods, reason = "the one place of the testbed that reads the environment")]

use std::env;
use std::path::PathBuf;

use anyhow::{Context as _, Result};

/// What a person can change from outside; the names are in the README.
#[derive(Debug, Clone)]
pub(crate) struct Environment {
    /// `TESTBED_ASSETS`: ready-made binaries, all of them.
    pub(crate) assets: Option<PathBuf>,
    /// `KUBEBUILDER_ASSETS`: ready-made binaries, as far as they go.
    pub(crate) kubebuilder_assets: Option<PathBuf>,
    /// `SIDECAR_DRIFT_TESTBED_CACHE`, or where caches belong: what the testbed has built.
    pub(crate) cache: PathBuf,
    /// `TESTBED_KEEP`: leave namespaces and the run directory for a look afterwards.
    pub(crate) keep: bool,
    /// `USE_EXISTING_CLUSTER`: start nothing, use the current kubeconfig.
    pub(crate) use_existing_cluster: bool,
    /// `TESTBED_EMULATED_VERSION`: the version that the shared control plane speaks.
    pub(crate) emulated_version: Option<String>,
}

impl Environment {
    pub(crate) fn read() -> Result<Self> {
        Ok(Self {
            assets: path("TESTBED_ASSETS"),
            kubebuilder_assets: path("KUBEBUILDER_ASSETS"),
            cache: cache()?,
            keep: switch("TESTBED_KEEP"),
            use_existing_cluster: switch("USE_EXISTING_CLUSTER"),
            emulated_version: env::var("TESTBED_EMULATED_VERSION").ok().filter(|version| !version.is_empty()),
        })
    }
}

/// `NO_COLOR`, which is about what a person sees and not about the testbed: whoever sets it wants no colours.
pub fn no_color() -> bool {
    env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
}

fn cache() -> Result<PathBuf> {
    if let Some(directory) = path("SIDECAR_DRIFT_TESTBED_CACHE") {
        return Ok(directory);
    }
    let base = path("XDG_CACHE_HOME")
        .or_else(|| path("HOME").map(|home| home.join(".cache")))
        .context("neither HOME nor SIDECAR_DRIFT_TESTBED_CACHE is set: nowhere to keep the built control plane")?;
    Ok(base.join("sidecar-drift/testbed"))
}

fn path(name: &str) -> Option<PathBuf> {
    env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from)
}

/// On for anything but nothing, `0` and `false`.
fn switch(name: &str) -> bool {
    env::var(name).is_ok_and(|value| !matches!(value.as_str(), "" | "0" | "false"))
}
