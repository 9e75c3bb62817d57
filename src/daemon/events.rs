//! The queue before the writer of Events. It is short, and slow: an Event is a courtesy, and what is lost here is in the log.

use std::time::Duration;

use jiff::Timestamp;
use tokio::{sync::mpsc, time::sleep};

use super::leadership::Leadership;
use crate::{cluster::events::EventWriter, core::io::Event};

/// Events that may wait to be written: a minute's worth.
const QUEUE_LENGTH: usize = 300;

/// Between two of them, so that a mass event is no burden on etcd.
const INTERVAL: Duration = Duration::from_millis(200);

/// Of those that are lost, the first is told and then each of this number.
const LOG_EVERY: u64 = 100;

/// The beginning of the queue.
#[derive(Debug)]
pub(super) struct Events {
    queue: mpsc::Sender<Queued>,
    lost: u64,
}

#[derive(Debug)]
struct Queued {
    event: Event,
    at: Timestamp,
    /// In which it was decided.
    term: Option<u64>,
}

/// The beginning of the queue, and the task at its end.
pub(super) fn start(writer: EventWriter, leading: Leadership) -> (Events, impl Future<Output = ()> + Send) {
    let (queue, waiting) = mpsc::channel(QUEUE_LENGTH);
    (Events { queue, lost: 0 }, write(writer, leading, waiting))
}

impl Events {
    /// Writes an Event when its turn comes, if we still lead then. If too many wait, it is lost.
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
