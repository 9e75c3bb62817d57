//! How a control plane ends, and how it does not.

use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use testbed::{Options, Testbed, eventually, skip};
use tokio::io::{AsyncBufReadExt as _, BufReader};
use tokio::process::Command;

const DEADLINE: Duration = Duration::from_mins(1);

/// The process ids of a control plane's programs.
fn pids(directory: &Path) -> Result<Vec<String>> {
    let entries = std::fs::read_dir(directory.join("pids"))?;
    entries.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned())).collect()
}

async fn is_alive(pid: &str) -> Result<bool> {
    Ok(Command::new("kill").args(["-0", pid]).stderr(Stdio::null()).status().await?.success())
}

#[tokio::test]
async fn everything_dies_with_a_parent_that_is_killed() -> Result<()> {
    let mut parent = Command::new(env!("CARGO_BIN_EXE_testbed"))
        .arg("up")
        .env_remove("USE_EXISTING_CLUSTER")
        .env_remove("TESTBED_KEEP")
        .stdout(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let mut lines = BufReader::new(parent.stdout.take().context("no output")?).lines();
    let mut directory = None;
    while let Some(line) = lines.next_line().await? {
        if let Some(path) = line.strip_prefix("Directory:") {
            directory = Some(path.trim().to_owned());
        } else if line.starts_with("Ctrl-C") {
            break;
        }
    }
    let directory = directory.context("the testbed did not come up")?;
    let pids = pids(Path::new(&directory))?;
    ensure!(pids.len() == 5, "etcd and four others, not {pids:?}");
    for pid in &pids {
        ensure!(is_alive(pid).await?, "{pid} is not alive");
    }

    // SIGKILL: nothing in the parent can do anything about it.
    parent.kill().await?;
    eventually("every child is gone", DEADLINE, async || {
        for pid in &pids {
            if is_alive(pid).await? {
                anyhow::bail!("{pid} is alive");
            }
        }
        Ok(Some(()))
    })
    .await?;
    eventually("the directory is gone", DEADLINE, async || Ok((!Path::new(&directory).exists()).then_some(()))).await
}

#[tokio::test]
async fn an_api_server_comes_back_with_what_it_had() -> Result<()> {
    if Testbed::shared().await?.audit().is_none() {
        return skip("no control plane of our own");
    }
    let testbed = Testbed::start(Options { nodes: 1, ..Options::default() }).await?;
    let directory = testbed.directory().to_owned();
    testbed.create_namespace_named("survivor").await?;
    testbed.kill_api_server().await?;
    ensure!(testbed.client().await?.apiserver_version().await.is_err());
    testbed.restart_api_server().await?;
    let namespaces: kube::Api<k8s_openapi::api::core::v1::Namespace> = kube::Api::all(testbed.client().await?);
    ensure!(namespaces.get_opt("survivor").await?.is_some());

    testbed.stop().await?;
    ensure!(!directory.exists());
    Ok(())
}
