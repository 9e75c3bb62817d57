//! Where the parts of the core leave what is to be done.

use std::collections::BTreeSet;

use super::{
    effect::Effect,
    event::{Event, EventReason, cut, event_of},
    notice::Notice,
    write::WorkloadRef,
};
use crate::core::model::{Name, WorkloadKey};

/// What one step leaves to be done, in order. Parts only add to it; it is read once, at the end of the step.
#[derive(Debug, Default)]
pub struct Outbox {
    entries: Vec<Entry>,
    invalidated: BTreeSet<WorkloadKey>,
    last_ticket: u64,
}

#[derive(Debug)]
#[expect(clippy::large_enum_variant, reason = "an entry lives for one step, and most are effects")]
enum Entry {
    Effect(Effect),
    /// An Event, for which the workload's uid is looked up when the step ends.
    Event {
        workload: WorkloadKey,
        reason: EventReason,
        note: String,
    },
}

impl Outbox {
    /// Adds an effect.
    pub fn push(&mut self, effect: Effect) {
        self.entries.push(Entry::Effect(effect));
    }

    /// Tells people, by an Event, too, if it is about a workload in a way that its owner should see.
    pub fn notify(&mut self, notice: Notice) {
        if let Some((workload, reason, note)) = event_of(&notice) {
            self.record_event(workload, reason, note);
        }
        self.push(Effect::Notify(notice));
    }

    /// Adds an Event about a workload.
    pub fn record_event(&mut self, workload: &WorkloadKey, reason: EventReason, note: String) {
        self.entries.push(Entry::Event { workload: workload.clone(), reason, note: cut(note) });
    }

    /// What readers see of this workload may be out of date.
    pub fn invalidate_report(&mut self, key: &WorkloadKey) {
        if !self.invalidated.contains(key) {
            self.invalidated.insert(key.clone());
        }
    }

    /// A number that no request has had yet.
    pub fn ticket(&mut self) -> u64 {
        self.last_ticket += 1;
        self.last_ticket
    }

    /// The workloads whose reports are out of date.
    pub fn take_invalidated(&mut self) -> BTreeSet<WorkloadKey> {
        std::mem::take(&mut self.invalidated)
    }

    /// The effects in their order. `uid_of` gives the uid of a workload that an Event may be written about; `None`: the
    /// workload is gone, or Events are not wanted.
    pub fn take_effects(&mut self, uid_of: impl Fn(&WorkloadKey) -> Option<Name>) -> Vec<Effect> {
        let effect = |entry| match entry {
            Entry::Effect(effect) => Some(effect),
            Entry::Event { workload, reason, note } => {
                let workload = WorkloadRef { uid: uid_of(&workload)?, key: workload };
                Some(Effect::WriteEvent(Event { workload, reason, note }))
            }
        };
        std::mem::take(&mut self.entries).into_iter().filter_map(effect).collect()
    }
}
