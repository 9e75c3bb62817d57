//! Images that nobody has to pull: one static binary, busybox, and what it does.

use std::fmt::Write as _;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

/// An image and what runs in a container of it.
#[derive(Debug, Clone, Copy)]
pub struct Image {
    /// `registry.test/proxy:v1`
    pub name: &'static str,
    /// A line of shell.
    pub script: &'static str,
}

/// An image with another root than busybox.
#[derive(Debug, Clone)]
pub struct ImageRoot {
    /// `registry.test/product:1`
    pub name: &'static str,
    /// The folder that becomes its root.
    pub folder: PathBuf,
    /// What runs in a container of it.
    pub entrypoint: Vec<&'static str>,
    /// As whom.
    pub user: &'static str,
}

/// Serves until it is told to stop.
pub const SERVES: &str = "trap 'exit 0' TERM; while :; do /busybox sleep 0.1; done";

/// Writes an archive that containerd imports.
pub(super) fn write(image: Image, busybox: &Path, archive: &Path) -> Result<()> {
    let root = tempfile::tempdir()?;
    fs::copy(busybox, root.path().join("busybox")).context("no busybox")?;
    let folder = root.path().to_owned();
    let entrypoint = vec!["/busybox", "sh", "-c", image.script];
    write_root(&ImageRoot { name: image.name, folder, entrypoint, user: "" }, archive)
}

/// The same of an image with a root of its own.
pub(super) fn write_root(image: &ImageRoot, archive: &Path) -> Result<()> {
    let work = tempfile::tempdir()?;
    let blobs = work.path().join("blobs/sha256");
    fs::create_dir_all(&blobs)?;
    let layer = work.path().join("layer");
    pack(&image.folder, &["."], &layer)?;
    let keep = |content: &[u8], media_type: &str| -> Result<Value> {
        let digest = Sha256::digest(content).iter().fold(String::new(), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        });
        fs::write(blobs.join(&digest), content)?;
        Ok(json!({"mediaType": media_type, "digest": format!("sha256:{digest}"), "size": content.len()}))
    };
    let layer = keep(&fs::read(&layer)?, "application/vnd.oci.image.layer.v1.tar")?;
    let configuration = json!({
        "architecture": if cfg!(target_arch = "aarch64") { "arm64" } else { "amd64" },
        "os": "linux",
        "config": {"Entrypoint": image.entrypoint, "User": image.user},
        "rootfs": {"type": "layers", "diff_ids": [layer["digest"]]},
    });
    let configuration = keep(&serde_json::to_vec(&configuration)?, "application/vnd.oci.image.config.v1+json")?;
    let kind = "application/vnd.oci.image.manifest.v1+json";
    let manifest = json!({"schemaVersion": 2, "mediaType": kind, "config": configuration, "layers": [layer]});
    let mut manifest = keep(&serde_json::to_vec(&manifest)?, kind)?;
    manifest["annotations"] = json!({"io.containerd.image.name": image.name});
    let index = json!({"schemaVersion": 2, "manifests": [manifest]});
    fs::write(work.path().join("index.json"), serde_json::to_vec(&index)?)?;
    fs::write(work.path().join("oci-layout"), r#"{"imageLayoutVersion":"1.0.0"}"#)?;
    pack(work.path(), &["oci-layout", "index.json", "blobs"], archive)
}

fn pack(folder: &Path, what: &[&str], archive: &Path) -> Result<()> {
    let mut tar = Command::new("tar");
    tar.arg("-C").arg(folder).arg("-cf").arg(archive).args(what).stdin(Stdio::null());
    let packed = tar.output().context("cannot run tar")?;
    ensure!(packed.status.success(), "{}", String::from_utf8_lossy(&packed.stderr));
    Ok(())
}
