//! How many rollouts are in flight, from a watch of all workloads, whose events come in the order in which things happened.

use std::{
    collections::BTreeSet,
    pin::pin,
    sync::{Mutex, MutexGuard, PoisonError},
};

use anyhow::Result;
use futures::StreamExt as _;
use kube::{
    api::DynamicObject,
    runtime::watcher::{self, Event},
};
use serde_json::Value;
use testbed::TestNamespace;

use super::FINGERPRINT;

#[derive(Debug, Default)]
pub(super) struct Ledger(Mutex<Book>);

#[derive(Debug, Default)]
struct Book {
    in_flight: BTreeSet<String>,
    done: BTreeSet<String>,
    most: usize,
}

impl Ledger {
    /// Keeps it for ever.
    pub(super) async fn keep(&self, ns: &TestNamespace<'_>) -> Result<()> {
        let mut events = pin!(watcher::watcher(ns.workloads("Deployment")?, watcher::Config::default()));
        while let Some(event) = events.next().await {
            match event {
                Ok(Event::Apply(workload) | Event::InitApply(workload)) => self.saw(&workload),
                Ok(Event::Init | Event::InitDone | Event::Delete(_)) => {}
                // The API server is gone for a while.
                Err(_) => tokio::time::sleep(std::time::Duration::from_millis(100)).await,
            }
        }
        Ok(())
    }

    pub(super) fn most_in_flight(&self) -> usize {
        self.book().most
    }

    /// How many have been rolled.
    pub(super) fn done(&self) -> usize {
        self.book().done.len()
    }

    fn saw(&self, workload: &DynamicObject) {
        let Some(name) = workload.metadata.name.clone() else { return };
        let stamp = format!("/spec/template/metadata/annotations/{FINGERPRINT}");
        if workload.data.pointer(&stamp).is_none() {
            return;
        }
        let mut book = self.book();
        if is_finished(workload) {
            book.in_flight.remove(&name);
            book.done.insert(name);
        } else {
            book.in_flight.insert(name);
            book.most = book.most.max(book.in_flight.len());
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// As `kubectl rollout status` has it.
fn is_finished(deployment: &DynamicObject) -> bool {
    let number = |pointer: &str| deployment.data.pointer(pointer).and_then(Value::as_i64).unwrap_or_default();
    let wanted = number("/spec/replicas");
    let counts = ["updatedReplicas", "replicas", "availableReplicas"];
    number("/status/observedGeneration") >= deployment.metadata.generation.unwrap_or_default()
        && counts.iter().all(|count| number(&format!("/status/{count}")) == wanted)
}
