//! What moved, for readers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A scope that moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ScopeMove {
    /// `injector MutatingWebhookConfiguration/istio-sidecar-injector`
    pub scope: String,
    /// Its version; starts at 1 when we do.
    #[serde(rename = "generation")]
    pub version: u64,
    /// What moved it, by whom, when.
    pub cause: String,
    /// When we noticed.
    pub at: Timestamp,
}
