//! The injector that a cluster can have: a policy where there are policies, else a webhook.

use anyhow::Result;
use testbed::{
    TestNamespace, Testbed,
    injector::{PolicyInjector, Sidecar, WebhookInjector},
};

/// An injector that tells of its changes: by its own object, or by its ConfigMap.
#[derive(Debug)]
pub(crate) enum Injector<'t> {
    Policy(Box<PolicyInjector<'t>>),
    Webhook(Box<WebhookInjector<'t>>),
}

impl<'t> Injector<'t> {
    /// Whether this cluster can have one at all.
    pub(crate) fn supported(testbed: &Testbed) -> bool {
        testbed.supports_mutating_admission_policy() || testbed.supports_webhook_injectors()
    }

    pub(crate) async fn install(ns: &TestNamespace<'t>, sidecar: Sidecar) -> Result<Self> {
        Ok(if ns.testbed().supports_mutating_admission_policy() {
            Self::Policy(Box::new(PolicyInjector::install(ns, sidecar).await?))
        } else {
            Self::Webhook(Box::new(WebhookInjector::install(ns, sidecar).await?))
        })
    }

    /// The label that asks for its sidecar.
    pub(crate) fn label(&self) -> (&'static str, String) {
        match self {
            Self::Policy(injector) => injector.label(),
            Self::Webhook(injector) => injector.label(),
        }
    }

    /// The namespace in which a change of its configuration can be seen; `None`: it is to be seen by everybody.
    pub(crate) fn home(&self) -> Option<&str> {
        match self {
            Self::Policy(_) => None,
            Self::Webhook(injector) => injector.home().map(TestNamespace::name),
        }
    }

    /// Injects another version from now on.
    pub(crate) async fn set_version(&mut self, version: &str) -> Result<()> {
        self.change(|sidecar| version.clone_into(&mut sidecar.version)).await
    }

    /// Injects something else from now on.
    pub(crate) async fn change(&mut self, change: impl FnOnce(&mut Sidecar)) -> Result<()> {
        match self {
            Self::Policy(injector) => injector.update(change).await,
            Self::Webhook(injector) => {
                injector.set(|knobs| change(&mut knobs.sidecar));
                injector.reconfigure(&injector.sidecar().version).await
            }
        }
    }
}
