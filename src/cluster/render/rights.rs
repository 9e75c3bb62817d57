//! Whether we may say `blockOwnerDeletion`, as controllers do (rule R2).
//!
//! With the admission plugin `OwnerReferencesPermissionEnforcement` it takes the right to update the owner's finalizers.
//! Controllers have it; we hardly ever do, and then leave the field out.

use std::collections::BTreeMap;

use serde_json::json;
use tokio::sync::Mutex;

use crate::cluster::client::{Answer, Call, Cluster};

/// What the API server said of our rights, by the owner's resource. Asked once; a right that is taken back shows in a
/// refusal and is then forgotten.
#[derive(Debug, Default)]
pub(super) struct Rights(Mutex<BTreeMap<Resource, bool>>);

/// Group and plural of a kind.
pub(super) type Resource = (&'static str, &'static str);

impl Rights {
    /// Whether we may update the finalizers of these owners in all namespaces. No answer means no, for now.
    pub(super) async fn may_block_deletion(&self, cluster: &Cluster, owner: Resource) -> bool {
        let mut known = self.0.lock().await;
        if let Some(&allowed) = known.get(&owner) {
            return allowed;
        }
        let (group, plural) = owner;
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1",
            "kind": "SelfSubjectAccessReview",
            "spec": { "resourceAttributes": {
                "group": group, "resource": plural, "subresource": "finalizers", "verb": "update",
            } },
        });
        let Ok(answer) = cluster.call(Call::access_review(&review)).await else { return false };
        let allowed = match answer.status.as_u16() {
            // Whoever may not even ask has no such right.
            401 | 403 => Some(false),
            _ => answer.json().ok().and_then(|json| json.pointer("/status/allowed")?.as_bool()),
        };
        let Some(allowed) = allowed else { return false };
        known.insert(owner, allowed);
        allowed
    }

    /// From now on: no.
    pub(super) async fn forget(&self, owner: Resource) {
        self.0.lock().await.insert(owner, false);
    }
}

/// Whether an answer is the refusal of that admission plugin.
pub(super) fn is_about_blocking(answer: &Answer) -> bool {
    answer.status.as_u16() == 403 && answer.says("cannot set blockOwnerDeletion")
}
