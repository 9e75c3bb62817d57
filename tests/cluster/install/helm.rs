//! Helm, for what needs no cluster: rendering.

use std::{
    path::{Path, PathBuf},
    process::{Command, Output},
};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;
use testbed::Assets;

/// Where the chart is.
pub(crate) const CHART: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/charts/sidecar-drift");

/// Runs Helm with nobody's settings.
pub(crate) fn helm(arguments: &[&str], values: &Value) -> Result<Output> {
    let home = tempfile::tempdir()?;
    let file = home.path().join("values.json");
    std::fs::write(&file, values.to_string())?;
    let mut command = Command::new(program()?);
    command.env_clear().env("HOME", home.path()).env("HELM_NO_PLUGINS", "1").args(arguments);
    command.arg("--values").arg(file).output().context("cannot run helm")
}

fn program() -> Result<PathBuf> {
    Assets::helm()
}

/// What the chart renders.
pub(crate) fn template(release: &str, namespace: &str, values: &Value) -> Result<String> {
    let rendered = helm(&["template", release, CHART, "--namespace", namespace], values)?;
    let err = String::from_utf8(rendered.stderr)?;
    ensure!(rendered.status.success(), "{err}");
    // Helm warns here of what it takes for a mistake.
    ensure!(err.is_empty(), "helm template is not silent: {err}");
    Ok(String::from_utf8(rendered.stdout)?)
}

/// Why the chart does not render.
pub(crate) fn refusal(values: &Value) -> Result<String> {
    let rendered = helm(&["template", "drift", CHART, "--namespace", "drift"], values)?;
    ensure!(!rendered.status.success(), "rendered: {values}");
    Ok(String::from_utf8(rendered.stderr)?)
}

/// The objects in a file of several documents.
pub(crate) fn objects(text: &str) -> Result<Vec<Value>> {
    let mut objects = Vec::new();
    for document in text.split("\n---").map(|document| document.trim_start_matches("---")) {
        match serde_saphyr::from_str::<Value>(document).with_context(|| document.to_owned())? {
            Value::Null => {}
            object @ Value::Object(_) => objects.push(object),
            other => bail!("not an object: {other}"),
        }
    }
    Ok(objects)
}

/// A path below the repository.
pub(crate) fn repository(path: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(path)
}
