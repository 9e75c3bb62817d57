//! Injectors: what puts a sidecar into the Pods of a test, and can be told to put another one.

mod policy;
mod real;
mod sidecar;
mod webhook;

use std::time::Duration;

use anyhow::{Context as _, Result};
use serde_json::Value;

use crate::eventually::eventually;
use crate::namespace::TestNamespace;
use crate::workload::bare_pod;

pub use policy::PolicyInjector;
pub use real::{Product, RealInjector, VAULT};
pub use sidecar::{Placement, Selection, Sidecar};
pub use webhook::{Failure, Knobs, Reach, Review, WebhookInjector, WebhookOptions};

/// A changed policy takes up to 0.8 s to be in force, more on a busy machine.
const IN_FORCE_DEADLINE: Duration = Duration::from_mins(2);

/// Waits until a Pod that is created now, asking for this injector's sidecar, comes out as it should.
async fn until_a_pod(
    what: &str,
    namespace: &TestNamespace<'_>,
    injector: &str,
    as_it_should: impl Fn(&Value) -> bool,
) -> Result<()> {
    eventually(format_args!("{injector} {what}"), IN_FORCE_DEADLINE, async || {
        let probe = bare_pod("testbed-probe").pod_label(Selection::label(injector));
        let pod = namespace.dry_run(probe).await.context("the API server refuses the probe")?;
        Ok(as_it_should(&pod).then_some(()))
    })
    .await
}
