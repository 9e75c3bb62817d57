//! What injectors made of the workloads, kept for tests that need no cluster: `tests/it/fixtures/pods`.

use std::{fs, path::Path};

use anyhow::{Context as _, Result};
use serde_json::{Value, json};

use super::trial::Trial;

/// Of each workload.
const PODS: usize = 2;

impl Trial<'_> {
    /// Writes each workload's template with Pods of it into a folder of this name, unless there is one: what is drawn at random is
    /// other in each run, and means nothing.
    pub(super) async fn keep(&self, name: &str) -> Result<()> {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/pods").join(name);
        if folder.exists() {
            return Ok(());
        }
        fs::create_dir_all(&folder)?;
        let ns = &self.story.ns;
        for workload in self.workloads {
            let (kind, name) = workload.split_once('/').context("a workload is named KIND/NAME")?;
            let template = ns.workloads(kind)?.get(name).await?.data["spec"]["template"].clone();
            let pods = ns.pods_of(kind, name).await?;
            let pods = pods.iter().take(PODS).map(|pod| Ok(created(serde_json::to_value(pod)?)));
            let pods = pods.collect::<Result<Vec<_>>>()?;
            let file = folder.join(format!("{}-{name}.json", kind.to_lowercase()));
            fs::write(file, serde_json::to_string_pretty(&json!({"template": template, "pods": pods}))? + "\n")?;
        }
        Ok(())
    }
}

/// A Pod as it was created: without what came later.
fn created(mut pod: Value) -> Value {
    if let Some(pod) = pod.as_object_mut() {
        pod.remove("status");
    }
    if let Some(metadata) = pod["metadata"].as_object_mut() {
        metadata.remove("managedFields");
    }
    pod
}
