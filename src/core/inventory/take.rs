//! Taking in what watches say.

use std::collections::BTreeSet;

use super::{
    index::{Change, Index},
    params::params,
};
use crate::core::{
    io::{Effect, Notice, Outbox, WatchEvent, WatchSource},
    model::{InjectorSnapshot, Name, WorkloadSnapshot, resource_version::is_older},
};

/// What one input changed in the inventory.
#[derive(Debug, Default)]
pub struct Changes {
    /// The objects that changed.
    pub list: Vec<Change>,
    /// They come from the first list of a watch: they say how things are, not that anything moved.
    pub initial: bool,
    /// A watch can be relied upon from now on, or cannot any more.
    pub visibility: bool,
}

impl Index {
    /// Takes in what a watch says, and asks for the watches that follow from it.
    pub fn take(&mut self, source: &WatchSource, event: WatchEvent, out: &mut Outbox) -> Changes {
        let visibility = self.note_connection(source, &event);
        let was_unavailable = self.unavailable().any(|(s, _)| s == source);
        if let WatchEvent::Unavailable { message, .. } = &event
            && !was_unavailable
        {
            out.notify(Notice::WatchUnavailable { source: source.clone(), message: message.clone() });
        }
        let unavailable = matches!(event, WatchEvent::Unavailable { .. });
        let relisted = matches!(event, WatchEvent::ResetDone) || unavailable;
        let initial = !self.source_synced(source);
        let list = self.apply(source, event);
        if relisted || list.iter().any(|change| matches!(change, Change::Injector { .. })) {
            self.update_backends(out);
        }
        Changes { list, initial, visibility: visibility || relisted && (initial || was_unavailable != unavailable) }
    }

    /// Notes whether a watch has a connection. Returns whether that is news.
    fn note_connection(&mut self, source: &WatchSource, event: &WatchEvent) -> bool {
        let Some(state) = self.sources.get_mut(source) else { return false };
        let down = match event {
            WatchEvent::Interrupted => true,
            WatchEvent::Resumed | WatchEvent::ResetDone => false,
            _ => return false,
        };
        std::mem::replace(&mut state.interrupted, down) != down
    }

    /// Takes in a workload as it was just read: a watch may be behind. So may the answer, and no later event would put right
    /// what an old answer undid.
    pub fn take_read(&mut self, workload: WorkloadSnapshot) -> Option<Change> {
        let key = workload.key.clone();
        let known = self.workload(&key).filter(|known| known.uid == workload.uid);
        if known.is_some_and(|known| is_older(&workload.resource_version, &known.resource_version)) {
            return None;
        }
        self.put_workload(Box::new(workload)).map(|old| Change::Workload { old, key })
    }

    /// Whether an injector has a Service in this namespace.
    pub fn backs_injectors(&self, namespace: &Name) -> bool {
        self.backends.contains(namespace)
    }

    /// Asks for watches in the namespaces that back injectors, and of the params that policies read.
    fn update_backends(&mut self, out: &mut Outbox) {
        if self.expect_params(params(self).into_keys().collect::<Vec<_>>()) {
            out.push(Effect::WatchTriggers(self.triggers().all().to_vec()));
        }
        let services = self.injectors().flat_map(InjectorSnapshot::services);
        let namespaces: BTreeSet<_> = services.map(|service| service.namespace.clone()).collect();
        if namespaces == self.backends {
            return;
        }
        self.set_backends(&namespaces);
        self.backends.clone_from(&namespaces);
        out.push(Effect::WatchBackends(namespaces));
    }
}
