//! The queue of Events to write. It is short and rate-limited: Events are best effort, and the log has what is dropped.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{sync::mpsc, time::sleep};

use super::leadership::Leadership;
use crate::{cluster::events::EventWriter, core::io::Event};

/// Capacity: what can be written in a minute.
const QUEUE_LENGTH: usize = 300;

/// Time between two Events, so that a mass event does not load etcd.
const INTERVAL: Duration = Duration::from_millis(200);

/// Of dropped Events, the first is logged and then each of this number.
const LOG_EVERY: u64 = 100;

/// The sending end of the queue.
#[derive(Debug)]
pub(super) struct Events {
    queue: mpsc::Sender<Queued>,
    lost: u64,
}

#[derive(Debug)]
struct Queued {
    event: Event,
    at: Timestamp,
    /// The term in which the core decided it.
    term: Option<u64>,
}

/// Returns the sending end of the queue, and the task that writes.
pub(super) fn start(writer: EventWriter, leading: Leadership) -> (Events, impl Future<Output = ()> + Send) {
    let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
    (Events { queue, lost: 0 }, write(writer, leading, waiting))
}

impl Events {
    /// Queues an Event. It is written if this replica still leads in `term` by then, and dropped if the queue is full.
    pub(super) fn write(&mut self, event: Event, at: Timestamp, term: Option<u64>) {
        if self.queue.try_send(Queued { event, at, term }).is_ok() {
            return;
        }
        if self.lost.is_multiple_of(LOG_EVERY) {
            tracing::warn!(lost = self.lost + 1, "more Events than can be written in time; some are lost");
        }
        self.lost += 1;
    }
}

async fn write(mut writer: EventWriter, leading: Leadership, mut queue: mpsc::Receiver<Queued>) {
    let mut failing = false;
    while let Some(Queued { event, at, term }) = queue.recv().await {
        if !leading.holds_in(term) {
            continue;
        }
        let written = writer.write(&event, at).await;
        if let Err(reason) = &written
            && !failing
        {
            tracing::warn!(reason, "an Event could not be written");
        }
        failing = written.is_err();
        sleep(INTERVAL).await;
    }
}
