//! What was read of workloads right before their patches, so that a patch need not read it again.
//!
//! It is a cache: a patch holds for one version of its workload, and an object of that version is that version, however long ago
//! it was read. What is not here is read.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use serde_json::Value;

use crate::core::model::Name;

/// Workloads that are kept: each patch takes its own out, and those that are given up are pushed out.
const KEPT: usize = 32;

/// Whole workloads by their uids. Cheap to clone; all clones are one.
#[derive(Clone, Default)]
pub struct LastRead(Arc<Mutex<VecDeque<(Name, Value)>>>);

impl LastRead {
    /// Keeps this of the workload of that uid.
    pub(super) fn keep(&self, uid: &Name, object: Value) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        kept.retain(|(known, _)| known != uid);
        kept.push_back((uid.clone(), object));
        if kept.len() > KEPT {
            kept.pop_front();
        }
    }

    /// Takes the workload of this uid out, if it was read at this version.
    pub(super) fn take(&self, uid: &Name, version: &str) -> Option<Value> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let at = kept.iter().position(|(known, _)| known == uid)?;
        let (_, object) = kept.remove(at)?;
        let is = |pointer, wanted| object.pointer(pointer).and_then(Value::as_str) == Some(wanted);
        (is("/metadata/uid", &**uid) && is("/metadata/resourceVersion", version)).then_some(object)
    }
}

impl fmt::Debug for LastRead {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LastRead").finish_non_exhaustive()
    }
}
