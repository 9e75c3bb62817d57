//! Recordings of real injectors on a real control plane, kept beside the repository: `../shared/fixtures`.
//!
//! Where they are not there, these tests say so and pass; the same rules are tested on our own fixtures in any case.

use std::path::{Path, PathBuf};

use super::fixtures::{Folder, everything_is_removed, nothing_drifts, the_body_is_the_controllers};

fn recording(name: &str) -> Option<Folder> {
    recording_path(name).map(Folder::open)
}

/// Where the recording of an injector is; that it is not there is said.
pub(super) fn recording_path(name: &str) -> Option<PathBuf> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    // A checkout of its own, or a worktree one level deeper.
    let folders = [root.join("../shared/fixtures"), root.join("../../shared/fixtures")];
    let found = folders.iter().map(|folder| folder.join(name)).find(|folder| folder.is_dir());
    if found.is_none() {
        println!("skipped: no recording of {name} in ../shared/fixtures");
    }
    found
}

#[test]
fn linkerd_is_in_sync_while_nothing_changes() {
    let Some(linkerd) = recording("linkerd") else { return };
    nothing_drifts(&linkerd, &["linkerd-init", "linkerd-proxy"]);
}

#[test]
fn r2_the_body_is_the_one_that_the_controller_sent() {
    for folder in ["linkerd", "vault"].into_iter().filter_map(recording) {
        the_body_is_the_controllers(&folder);
    }
}

#[test]
fn linkerd_upgraded_gives_exactly_the_expected_differences() {
    let Some(linkerd) = recording("linkerd") else { return };
    let (title, fields) = linkerd.differences(&linkerd.rendering("upgraded"));
    assert_eq!(fields, ["linkerd-init/image", "linkerd-proxy/env/LINKERD2_PROXY_LOG/value", "linkerd-proxy/image"]);
    let images = "image edge-26.8.1 → edge-26.8.2";
    assert_eq!(title, format!("linkerd-init {images} + linkerd-proxy {images}, env LINKERD2_PROXY_LOG"));
}

#[test]
fn c5_vault_is_in_sync_in_every_order_of_its_secrets() {
    let Some(vault) = recording("vault") else { return };
    nothing_drifts(&vault, &["vault-agent", "vault-agent-init"]);
}

#[test]
fn c5_vault_upgraded_gives_exactly_the_expected_differences() {
    let Some(vault) = recording("vault") else { return };
    let (title, fields) = vault.differences(&vault.rendering("upgraded"));
    let address = "env/VAULT_CONFIG/value/#e6f/#d80";
    assert_eq!(
        fields,
        [
            format!("vault-agent-init/{address}"),
            "vault-agent-init/image".to_owned(),
            format!("vault-agent/{address}"),
            "vault-agent/image".to_owned(),
        ]
    );
    assert_eq!(title, "vault-agent + vault-agent-init image 1.20.0 → 1.20.1, env VAULT_CONFIG");
}

#[test]
fn vault_down_looks_like_a_removal() {
    let Some(vault) = recording("vault") else { return };
    everything_is_removed(&vault, &vault.rendering("injector-down"));
}
