//! The pure core alone, in a process of its own that is built as it is released and counts its heap.

use std::{path::Path, process::Stdio};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Map, Value};
use tokio::process::Command;

use crate::{Settings, results::Results};

pub(crate) async fn measure(settings: &Settings, results: &mut Results) -> Result<()> {
    for (key, value) in run(&settings.engine, settings.scale).await? {
        results.note(&key, value.as_f64().with_context(|| format!("{key} is {value}"))?)?;
    }
    Ok(())
}

/// What it prints: a number for each key.
async fn run(program: &Path, scale: f64) -> Result<Map<String, Value>> {
    ensure!(program.is_file(), "{} is missing; `make bench` builds it", program.display());
    let mut command = Command::new(program);
    let output = command.arg(scale.to_string()).stderr(Stdio::inherit()).kill_on_drop(true).output().await?;
    ensure!(output.status.success(), "{} ended with {}", program.display(), output.status);
    serde_json::from_slice(&output.stdout).with_context(|| format!("{} printed no object", program.display()))
}
