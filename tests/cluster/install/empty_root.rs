//! The binary as it is in the image: in a root with nothing in it, as nobody. `make empty-root` builds it and runs this.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::Path,
    process::{Command, Output},
};

use anyhow::{Context as _, Result, ensure};
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use crate::support::{Injector, Rights, story};

/// Says which binary.
const BINARY: &str = "SIDECAR_DRIFT_STATIC_BINARY";

/// Debian's; the image has Alpine's.
const CERTIFICATES: &str = "etc/ssl/certs/ca-certificates.crt";

#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "which binary is shown is nothing that the product is told")]
async fn a_static_binary_scans_from_an_empty_root() -> Result<()> {
    let Some(binary) = std::env::var_os(BINARY) else { return skip("there is no static binary: make empty-root") };
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("empty-root", Rights::Report, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
        injector.set_version("v2").await?;

        let root = tempfile::tempdir()?;
        let put = |from: &Path, to: &str, mode| -> Result<()> {
            let to = root.path().join(to);
            fs::create_dir_all(to.parent().context("no folder")?)?;
            fs::copy(from, &to).with_context(|| from.display().to_string())?;
            Ok(fs::set_permissions(&to, fs::Permissions::from_mode(mode))?)
        };
        put(Path::new(&binary), "sidecar-drift", 0o755)?;
        put(&Path::new("/").join(CERTIFICATES), CERTIFICATES, 0o644)?;
        put(story.kubeconfig(), "kubeconfig", 0o644)?;
        fs::set_permissions(root.path(), fs::Permissions::from_mode(0o755))?;

        let version = run(root.path(), &["version"])?;
        println!("$ sidecar-drift version\n{version}");
        ensure!(version.contains(env!("CARGO_PKG_VERSION")), "{version}");
        let quick = ["--settle=1s", "--render-spacing=1s", "--min-pod-age=1s"];
        let scan = ["scan", "--kubeconfig=/kubeconfig", "--namespace", ns.name()];
        let scanned = run(root.path(), &[&scan[..], &quick].concat())?;
        println!("$ sidecar-drift scan\n{scanned}");
        ensure!(scanned.contains("drifted") && scanned.contains("proxy image v1 → v2"), "{scanned}");
        ensure!(fs::read_to_string(story.kubeconfig())?.contains("https://"), "not over TLS");
        Ok(())
    })
    .await
}

/// Runs it there as nobody, in an environment that is as empty.
fn run(root: &Path, arguments: &[&str]) -> Result<String> {
    let mut command = Command::new("chroot");
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    command.arg("--userspec=65534:65534").arg(root).arg("/sidecar-drift").args(arguments);
    let Output { status, stdout, stderr } = command.output().context("chroot")?;
    let said = String::from_utf8(stdout)? + &String::from_utf8(stderr)?;
    ensure!(status.success(), "{arguments:?}: {status}: {said}");
    Ok(said)
}
