//! The testbed's own runtime.
//!
//! Each `#[tokio::test]` has a runtime that ends with the test, while the control plane, the webhook servers and the
//! proxies serve every test of the binary. So they live here, on a runtime that ends with the process.

use std::future::Future;
use std::sync::LazyLock;

use anyhow::{Result, anyhow};
use tokio::runtime::{Builder, EnterGuard, Runtime};
use tokio::task::JoinHandle;

static RUNTIME: LazyLock<std::io::Result<Runtime>> =
    LazyLock::new(|| Builder::new_multi_thread().worker_threads(2).thread_name("testbed").enable_all().build());

fn runtime() -> Result<&'static Runtime> {
    RUNTIME.as_ref().map_err(|error| anyhow!("the testbed's runtime does not start: {error}"))
}

/// While the guard lives, new sockets and children belong to this runtime.
pub(crate) fn enter() -> Result<EnterGuard<'static>> {
    Ok(runtime()?.enter())
}

/// Starts a task that outlives the test that asked for it.
pub(crate) fn spawn<F>(task: F) -> Result<JoinHandle<F::Output>>
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    Ok(runtime()?.spawn(task))
}

/// A background task that ends when its owner is dropped.
#[derive(Debug)]
pub(crate) struct Task(JoinHandle<()>);

impl Task {
    pub(crate) fn spawn(task: impl Future<Output = ()> + Send + 'static) -> Result<Self> {
        Ok(Self(spawn(task)?))
    }
}

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}
