//! The binaries of the control plane: where they are, and how they are built.
//!
//! The Go modules under `tools/` pin the versions. Each is built once, into a cache outside the checkout whose folder is
//! named after everything that decides the result, so that another branch or clone finds what is already there.

use std::fs::{self, File, TryLockError};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use sha2::{Digest as _, Sha256};
use tokio::time::Instant;

use crate::environment::Environment;
use crate::progress;

/// The version that the Kubernetes binaries carry; without it clients cannot parse what the server says it is.
pub(crate) const KUBERNETES_VERSION: &str = "v1.37.2";

/// One Go module under `tools/`.
struct Module {
    name: &'static str,
    go_mod: &'static str,
    go_sum: &'static str,
    /// Sources of our own in the module; a module without any builds what others wrote.
    sources: &'static str,
    ldflags: &'static str,
}

/// One program of a module.
struct Tool {
    binary: &'static str,
    package: &'static str,
    module: &'static Module,
    /// How long a person has to wait for it the first time.
    patience: &'static str,
}

static ETCD: Module = Module {
    name: "etcd",
    go_mod: include_str!("../tools/etcd/go.mod"),
    go_sum: include_str!("../tools/etcd/go.sum"),
    sources: "",
    ldflags: "-s -w",
};

static KUBERNETES: Module = Module {
    name: "kubernetes",
    go_mod: include_str!("../tools/kubernetes/go.mod"),
    go_sum: include_str!("../tools/kubernetes/go.sum"),
    sources: "",
    ldflags: "-s -w -X k8s.io/component-base/version.gitVersion=v1.37.2 \
              -X k8s.io/component-base/version.gitMajor=1 -X k8s.io/component-base/version.gitMinor=37 \
              -X k8s.io/client-go/pkg/version.gitVersion=v1.37.2",
};

/// A module of its own, so that a change of it builds nothing of the control plane again.
static KUBELET_MODULE: Module = Module {
    name: "kubelet",
    go_mod: include_str!("../tools/kubelet/go.mod"),
    go_sum: include_str!("../tools/kubelet/go.sum"),
    sources: "",
    ldflags: KUBERNETES.ldflags,
};

/// Only `make test-node` needs it.
static KUBELET: Tool = Tool {
    binary: "kubelet",
    package: "k8s.io/kubernetes/cmd/kubelet",
    module: &KUBELET_MODULE,
    patience: "five minutes",
};

static KWOK: Module = Module {
    name: "kwok",
    go_mod: include_str!("../tools/kwok/go.mod"),
    go_sum: include_str!("../tools/kwok/go.sum"),
    sources: "",
    ldflags: "-s -w",
};

static HELM_MODULE: Module = Module {
    name: "helm",
    go_mod: include_str!("../tools/helm/go.mod"),
    go_sum: include_str!("../tools/helm/go.sum"),
    sources: "",
    ldflags: "-s -w",
};

static ARGO_ROLLOUTS: Module = Module {
    name: "argo-rollouts",
    go_mod: include_str!("../tools/argo-rollouts/go.mod"),
    go_sum: include_str!("../tools/argo-rollouts/go.sum"),
    sources: "",
    ldflags: "-s -w",
};

/// No part of the control plane, either: only tests of Rollouts need it.
static ROLLOUTS_CONTROLLER: Tool = Tool {
    binary: "rollouts-controller",
    package: "github.com/argoproj/argo-rollouts/cmd/rollouts-controller",
    module: &ARGO_ROLLOUTS,
    patience: "ten minutes",
};

static OPENKRUISE_MODULE: Module = Module {
    name: "openkruise",
    go_mod: include_str!("../tools/openkruise/go.mod"),
    go_sum: include_str!("../tools/openkruise/go.sum"),
    sources: include_str!("../tools/openkruise/main.go"),
    ldflags: "-s -w",
};

/// Only tests of CloneSets and Advanced StatefulSets need it.
static OPENKRUISE: Tool =
    Tool { binary: "openkruise", package: ".", module: &OPENKRUISE_MODULE, patience: "four minutes" };

static VAULT_K8S_MODULE: Module = Module {
    name: "vault-k8s",
    go_mod: include_str!("../tools/vault-k8s/go.mod"),
    go_sum: include_str!("../tools/vault-k8s/go.sum"),
    sources: "",
    ldflags: "-s -w",
};

/// Only `make test-injectors` needs it.
static VAULT_K8S: Tool = Tool {
    binary: "vault-k8s",
    package: "github.com/hashicorp/vault-k8s",
    module: &VAULT_K8S_MODULE,
    patience: "four minutes",
};

/// No part of the control plane: only tests of the chart need it.
static HELM: Tool =
    Tool { binary: "helm", package: "helm.sh/helm/v4/cmd/helm", module: &HELM_MODULE, patience: "two minutes" };

static INFORMER_MODULE: Module = Module {
    name: "informer",
    go_mod: include_str!("../tools/informer/go.mod"),
    go_sum: include_str!("../tools/informer/go.sum"),
    sources: include_str!("../tools/informer/main.go"),
    ldflags: "-s -w",
};

/// No part of the control plane: the benchmarks measure it beside sidecar-drift.
static INFORMER: Tool = Tool { binary: "informer", package: ".", module: &INFORMER_MODULE, patience: "two minutes" };

static TOOLS: [Tool; 6] = [
    Tool { binary: "etcd", package: "go.etcd.io/etcd/server/v3", module: &ETCD, patience: "a minute" },
    Tool {
        binary: "kube-apiserver",
        package: "k8s.io/kubernetes/cmd/kube-apiserver",
        module: &KUBERNETES,
        patience: "a few minutes",
    },
    Tool {
        binary: "kube-controller-manager",
        package: "k8s.io/kubernetes/cmd/kube-controller-manager",
        module: &KUBERNETES,
        patience: "a few minutes",
    },
    Tool {
        binary: "kube-scheduler",
        package: "k8s.io/kubernetes/cmd/kube-scheduler",
        module: &KUBERNETES,
        patience: "a minute",
    },
    Tool { binary: "kubectl", package: "k8s.io/kubernetes/cmd/kubectl", module: &KUBERNETES, patience: "a minute" },
    Tool { binary: "kwok", package: "sigs.k8s.io/kwok/cmd/kwok", module: &KWOK, patience: "a minute" },
];

/// Paths of the control plane's programs.
#[derive(Debug, Clone)]
pub struct Assets {
    /// `etcd`
    pub etcd: PathBuf,
    /// `kube-apiserver`
    pub kube_apiserver: PathBuf,
    /// `kube-controller-manager`
    pub kube_controller_manager: PathBuf,
    /// `kube-scheduler`
    pub kube_scheduler: PathBuf,
    /// `kubectl`, for people and the demo; the testbed itself speaks through its own client.
    pub kubectl: PathBuf,
    /// `kwok`
    pub kwok: PathBuf,
}

impl Assets {
    /// Finds every program, and builds what is missing. Blocks, for minutes the first time.
    pub fn build() -> Result<Self> {
        Self::helm()?;
        Self::locate(&Environment::read()?)
    }

    /// Finds Helm, and builds it if it is missing.
    pub fn helm() -> Result<PathBuf> {
        HELM.alone()
    }

    /// Finds the client-go informer of the benchmarks, and builds it if it is missing. It is nothing that ready-made control
    /// planes have, so it always comes from the cache.
    pub fn informer() -> Result<PathBuf> {
        INFORMER.found_or_built(INFORMER.in_cache(&Environment::read()?))
    }

    /// Finds the controller of Argo Rollouts, and builds it if it is missing.
    pub fn rollouts_controller() -> Result<PathBuf> {
        ROLLOUTS_CONTROLLER.alone()
    }

    /// The folder of Argo Rollouts' sources, in which its CRDs are, in the version that is built.
    pub fn argo_rollouts_sources() -> Result<PathBuf> {
        ARGO_ROLLOUTS.sources_of("github.com/argoproj/argo-rollouts")
    }

    /// Finds the controllers of OpenKruise, and builds them if they are missing.
    pub fn openkruise() -> Result<PathBuf> {
        OPENKRUISE.alone()
    }

    /// The folder of OpenKruise's sources, in which its CRDs are, in the version that is built.
    pub fn openkruise_sources() -> Result<PathBuf> {
        OPENKRUISE_MODULE.sources_of("github.com/openkruise/kruise")
    }

    /// Finds the kubelet, and builds it if it is missing.
    pub fn kubelet() -> Result<PathBuf> {
        KUBELET.alone()
    }

    /// Finds the Vault Agent Injector, and builds it if it is missing.
    pub fn vault_k8s() -> Result<PathBuf> {
        VAULT_K8S.alone()
    }

    /// The folder of its sources, in which its manifests are, in the version that is built.
    pub fn vault_k8s_sources() -> Result<PathBuf> {
        VAULT_K8S_MODULE.sources_of("github.com/hashicorp/vault-k8s")
    }

    pub(crate) fn locate(environment: &Environment) -> Result<Self> {
        let paths = TOOLS.iter().map(|tool| tool.place(environment)).collect::<Result<Vec<_>>>()?;
        let missing: Vec<_> = TOOLS.iter().zip(&paths).filter(|(_, path)| !path.is_file()).collect();
        for (number, (tool, path)) in missing.iter().enumerate() {
            tool.build(path, number + 1, missing.len())?;
        }
        let [etcd, kube_apiserver, kube_controller_manager, kube_scheduler, kubectl, kwok] =
            <[PathBuf; 6]>::try_from(paths).map_err(|paths| anyhow::anyhow!("{} programs, not six", paths.len()))?;
        Ok(Self { etcd, kube_apiserver, kube_controller_manager, kube_scheduler, kubectl, kwok })
    }
}

impl Tool {
    /// Finds it, and builds it if it is missing.
    fn alone(&self) -> Result<PathBuf> {
        self.found_or_built(self.place(&Environment::read()?)?)
    }

    /// Where the program is, or is going to be.
    fn place(&self, environment: &Environment) -> Result<PathBuf> {
        if let Some(assets) = &environment.assets {
            let path = assets.join(self.binary);
            ensure!(path.is_file(), "TESTBED_ASSETS is {}, but there is no {} in it", assets.display(), self.binary);
            return Ok(path);
        }
        let ready_made = environment.kubebuilder_assets.as_ref().map(|assets| assets.join(self.binary));
        Ok(ready_made.filter(|path| path.is_file()).unwrap_or_else(|| self.in_cache(environment)))
    }

    fn in_cache(&self, environment: &Environment) -> PathBuf {
        environment.cache.join(self.module.cache_folder()).join(self.binary)
    }

    fn found_or_built(&self, path: PathBuf) -> Result<PathBuf> {
        if !path.is_file() {
            self.build(&path, 1, 1)?;
        }
        Ok(path)
    }

    /// Builds into a temporary folder and renames, under a lock: a second process waits and then finds the result, and an
    /// interrupted build leaves nothing that looks finished.
    fn build(&self, target: &Path, number: usize, of: usize) -> Result<()> {
        let folder = target.parent().context("the cache has no folder")?;
        fs::create_dir_all(folder).with_context(|| format!("cannot create the cache {}", folder.display()))?;
        let lock = File::create(folder.join(".lock")).context("cannot create the lock of the cache")?;
        match lock.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                progress::say(format_args!("waiting for another process that builds into {}", folder.display()));
                lock.lock().context("cannot lock the cache")?;
            }
            Err(TryLockError::Error(error)) => return Err(error).context("cannot lock the cache"),
        }
        if target.is_file() {
            return Ok(());
        }

        // Under the lock, whatever an interrupted build has left is nobody's.
        for entry in fs::read_dir(folder)?.flatten() {
            if entry.file_name().to_string_lossy().starts_with(BUILDING) {
                let _ = fs::remove_dir_all(entry.path());
            }
        }
        let temporary = tempfile::Builder::new().prefix(BUILDING).tempdir_in(folder)?;
        let output = temporary.path().join(self.binary);
        progress::begin(format_args!("building {} ({number} of {of}, {} the first time)", self.binary, self.patience));
        let start = Instant::now();
        let result = self.go_build(&output);
        match &result {
            Ok(()) => progress::end(format_args!("{:.0} s", start.elapsed().as_secs_f64())),
            Err(_) => progress::end("failed"),
        }
        result?;
        fs::rename(&output, target).with_context(|| format!("cannot move the build to {}", target.display()))
    }

    fn go_build(&self, output: &Path) -> Result<()> {
        let sources = self.module.folder();
        let built = Command::new("go")
            .current_dir(&sources)
            .args(BUILD_FLAGS)
            .args(["-ldflags", self.module.ldflags, "-o"])
            .arg(output)
            .arg(self.package)
            // A person's workspace file or flags must not change what is built under this cache key.
            .env("GOWORK", "off")
            .env_remove("GOFLAGS")
            .stdin(Stdio::null())
            .output();
        let built = match built {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!(
                "Go is needed once to build the test control plane and is not in PATH: install Go 1.26 or newer \
                 (https://go.dev/dl), or point TESTBED_ASSETS to a directory with {}",
                TOOLS.each_ref().map(|tool| tool.binary).join(", ")
            ),
            other => other.context("cannot run go")?,
        };
        ensure!(
            built.status.success(),
            "go build {} in {} failed:\n{}",
            self.package,
            sources.display(),
            lossy(&built.stderr)
        );
        Ok(())
    }
}

fn lossy(output: &[u8]) -> String {
    String::from_utf8_lossy(output).into_owned()
}

/// What the name of a folder begins with in which a build is under way.
const BUILDING: &str = ".building-";

const BUILD_FLAGS: [&str; 4] = ["build", "-trimpath", "-buildvcs=false", "-mod=readonly"];

impl Module {
    fn folder(&self) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tools").join(self.name)
    }

    /// The folder of the sources of a module that this one is built from, fetched if Go no longer has them.
    fn sources_of(&self, path: &str) -> Result<PathBuf> {
        let output = Command::new("go")
            .current_dir(self.folder())
            .args(["mod", "download", "-json", path])
            .env("GOWORK", "off")
            .env_remove("GOFLAGS")
            .stdin(Stdio::null())
            .output()
            .context("cannot run go, which knows where the CRDs are")?;
        let found: Value = serde_json::from_slice(&output.stdout).unwrap_or_default();
        let folder = found["Dir"].as_str().filter(|_| output.status.success());
        let complaint = || found["Error"].as_str().map_or_else(|| lossy(&output.stderr), ToOwned::to_owned);
        Ok(folder.with_context(|| format!("cannot fetch the sources of {path}: {}", complaint()))?.into())
    }

    /// `<module>-<hash of what decides the result>`.
    fn cache_folder(&self) -> String {
        let mut hash = Sha256::new();
        // A module without sources keeps the key that it had before any had some.
        let sources = Some(self.sources).filter(|sources| !sources.is_empty());
        for part in [self.go_mod, self.go_sum, self.ldflags, &BUILD_FLAGS.join(" ")].into_iter().chain(sources) {
            hash.update(part);
            hash.update([0]);
        }
        hash.update(std::env::consts::OS);
        hash.update(std::env::consts::ARCH);
        let digest = hash.finalize();
        let digest = digest.first_chunk().copied().map_or(0, u64::from_be_bytes);
        format!("{}-{digest:016x}", self.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_version_that_is_built_is_the_version_that_is_stamped() {
        assert!(KUBERNETES.go_mod.contains(&format!("k8s.io/kubernetes {KUBERNETES_VERSION}")));
        assert!(KUBERNETES.ldflags.contains(&format!("component-base/version.gitVersion={KUBERNETES_VERSION}")));
    }

    #[test]
    fn every_tool_is_pinned_by_its_module() {
        for tool in TOOLS.iter().chain([&HELM, &ROLLOUTS_CONTROLLER, &VAULT_K8S, &KUBELET]) {
            assert!(tool.module.go_mod.contains(tool.package), "{}", tool.package);
        }
    }
}
