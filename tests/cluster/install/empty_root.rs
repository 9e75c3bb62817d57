//! The image: a root with nothing in it but its program, as its user. `make empty-root` builds it and runs this.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use super::helm;
use crate::support::{Injector, Rights, story};

/// Says where it is.
const ROOT: &str = "SIDECAR_DRIFT_IMAGE_ROOT";

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "which image is shown is nothing that the product is told")]
async fn the_image_scans_from_its_empty_root() -> Result<()> {
    let Some(root) = std::env::var_os(ROOT) else { return skip("there is no image: make empty-root") };
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("empty-root", Rights::Report, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        injector.set_version("v2").await?;

        let root = Path::new(&root);
        let kubeconfig = root.join("kubeconfig");
        fs::copy(story.kubeconfig(), &kubeconfig)?;
        fs::set_permissions(&kubeconfig, fs::Permissions::from_mode(0o644))?;

        let version = run(root, &["version"])?;
        println!("$ sidecar-drift version\n{version}");
        ensure!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        let quick = ["--settle=1s", "--render-spacing=1s", "--min-pod-age=1s"];
        let scan = ["scan", "--kubeconfig=/kubeconfig", "--namespace", ns.name()];
        let scanned = run(root, &[&scan[..], &quick].concat())?;
        println!("$ sidecar-drift scan\n{scanned}");
        ensure!(scanned.contains("drifted") && scanned.contains("proxy image v1 → v2"), "{scanned}");
        ensure!(fs::read_to_string(story.kubeconfig())?.contains("https://"), "not over TLS");
        Ok(())
    })
    .await
}

/// Runs it there, in an environment that is as empty.
fn run(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new(helm::repository(".ci/image"));
    command.arg("run").arg(root).args(arguments);
    let Output { status, stdout, stderr } = command.output().context(".ci/image")?;
    let said = String::from_utf8(stdout)? + &String::from_utf8(stderr)?;
    ensure!(status.success(), "{arguments:?}: {status}: {said}");
    Ok(said)
}
