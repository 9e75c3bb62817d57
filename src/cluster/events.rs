//! Writes Events (`events.k8s.io/v1`) about workloads.
//!
//! An Event's name is made from what it is about and what it says, so the same thing said again, also by the next process,
//! is a series: one object that counts.

use std::{collections::HashMap, fmt::Write as _};

use jiff::Timestamp;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::{
    client::{Call, Cluster, FIELD_MANAGER},
    paths,
};
use crate::core::{io::Event, model::quoted};

/// Of so many Events it is remembered how often they were written. The rest begins to count again at two.
const MAX_REMEMBERED: usize = 2048;

/// The longest note that the API server takes, in bytes.
const LONGEST_NOTE: usize = 1024;

/// The longest beginning of an Event's name that comes from its workload.
const LONGEST_PREFIX: usize = 200;

/// The writer of one process.
#[derive(Debug)]
pub struct EventWriter {
    cluster: Cluster,
    /// Who writes, for those who read.
    instance: String,
    /// How often each was written, by namespace and name.
    written: HashMap<(String, String), u64>,
}

impl EventWriter {
    /// `instance` is this replica's name.
    pub fn new(cluster: Cluster, instance: &str) -> Self {
        // The API server takes no longer one.
        let instance = instance.chars().take(120).collect();
        Self { cluster, instance, written: HashMap::new() }
    }

    /// Carry out [`Effect::WriteEvent`](crate::core::io::Effect::WriteEvent); the error is one sentence. An Event that cannot
    /// be written is not tried again.
    pub async fn write(&mut self, event: &Event, at: Timestamp) -> Result<(), String> {
        let (namespace, name, object) = self.object(event, at);
        let id = (namespace.clone(), name.clone());
        let create = || Call::create_event(&namespace, &object);
        let before = self.written.get(&id).copied().unwrap_or_default();
        if before == 0 && self.carried_out(create(), 409).await? {
            self.remember(id, 1);
            return Ok(());
        }
        // Of one that the process before us wrote it is not known how often.
        let count = before.max(1) + 1;
        let series = json!({ "series": { "count": count, "lastObservedTime": micro_time(at) } });
        let path = format!("{}?fieldManager={FIELD_MANAGER}", paths::event(&namespace, &name));
        if self.carried_out(Call::merge_patch(path, &series), 404).await? {
            self.remember(id, count);
        } else if self.carried_out(create(), 409).await? {
            // Events live for an hour, and that one was over.
            self.remember(id, 1);
        }
        Ok(())
    }

    /// Whether it was carried out; not, if the answer is this one. Every other one is an error.
    async fn carried_out(&self, call: Call, unless: u16) -> Result<bool, String> {
        let answer = self.cluster.call(call).await.map_err(|error| error.sentence())?;
        match answer.status.as_u16() {
            200 | 201 => Ok(true),
            code if code == unless => Ok(false),
            _ => Err(answer.message()),
        }
    }

    fn remember(&mut self, id: (String, String), count: u64) {
        if self.written.len() >= MAX_REMEMBERED {
            self.written.clear();
        }
        self.written.insert(id, count);
    }

    /// Namespace, name and the whole of it.
    fn object(&self, event: &Event, at: Timestamp) -> (String, String, Value) {
        let key = &event.workload.key;
        let regarding = json!({
            "apiVersion": key.kind.api_version(),
            "kind": key.kind.row().kind,
            "namespace": &*key.namespace,
            "name": &*key.name,
            "uid": &*event.workload.uid,
        });
        let namespace = key.namespace.to_string();
        let prefix: String = key.name.chars().take(LONGEST_PREFIX).collect();
        // Cut there it would be no name.
        let mut name = prefix.trim_end_matches(['-', '.']).to_owned();
        name.push('.');
        let said = [key.kind.as_str(), &event.workload.uid, event.reason.as_str(), &event.note].join("\n");
        for byte in &Sha256::digest(said)[..8] {
            _ = write!(name, "{byte:02x}");
        }
        let object = json!({
            "apiVersion": "events.k8s.io/v1",
            "kind": "Event",
            "metadata": { "namespace": namespace, "name": name },
            "eventTime": micro_time(at),
            "type": event.reason.kind(),
            "reason": event.reason.as_str(),
            "action": event.reason.action(),
            "note": quoted::cut(event.note.clone(), LONGEST_NOTE),
            "regarding": regarding,
            "reportingController": FIELD_MANAGER,
            "reportingInstance": self.instance,
        });
        (namespace, name, object)
    }
}

fn micro_time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string()
}
