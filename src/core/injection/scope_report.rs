//! What moved, for readers.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

/// A scope whose version moved.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GenerationReport {
    /// `injector MutatingWebhookConfiguration/istio-sidecar-injector`
    pub scope: String,
    /// Its version; starts at 1 when we do.
    pub generation: u64,
    /// What moved it, by whom, when.
    pub cause: String,
    /// When we noticed.
    pub at: Timestamp,
}
