//! Notifications: one webhook that receives new drift by change, rollouts that ended, and the breaker.
//!
//! Nothing here decides or blocks: notices of the core go into a short queue, and what does not fit is dropped and counted.
//! What happens within some seconds becomes one message.

mod message;
mod send;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    future::Future,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use tokio::{sync::mpsc, time};

pub use self::{
    message::{Message, Occurrence},
    send::Webhook,
};
use crate::{
    core::{
        io::Notice,
        model::{WorkloadKey, words::Verdict},
        report::Report,
    },
    metrics,
};

/// Capacity of the queue. A mass event is a few changes; more would flood a chat.
const QUEUE_LENGTH: usize = 256;

/// What happens within this time becomes one message: an upgrade of an injector shows at hundreds of workloads in turn.
const WINDOW: Duration = Duration::from_secs(20);

/// Takes notices and queues them for the webhook.
#[derive(Clone, Debug)]
pub struct Notifier {
    queue: mpsc::Sender<Occurrence>,
    /// The last verdict and change of each workload that differs. One that was undetermined meanwhile is not notified again.
    known: Arc<Mutex<BTreeMap<WorkloadKey, (Verdict, String)>>>,
}

impl Notifier {
    /// Returns a notifier, and the task that passes its messages to `send`, which returns whether one was delivered.
    pub fn new<F: Future<Output = bool> + Send>(
        send: impl Fn(Message) -> F + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, queue) = mpsc::channel(QUEUE_LENGTH);
        (Self { queue: sender, known: Arc::default() }, forward(queue, send))
    }

    /// Queues a notice, if people are notified of its kind. Never blocks. During the first scan differences are not queued:
    /// [`first_scan`](Self::first_scan) sums them up.
    pub fn notice(&self, notice: &Notice, during_first_scan: bool) {
        if let Notice::VerdictChanged { workload, to, change, .. } = notice {
            let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
            let news = if message::is_reported(*to) {
                let now = (*to, change.clone());
                known.insert(workload.clone(), now.clone()) != Some(now) && !during_first_scan
            } else {
                if *to != Verdict::Undetermined {
                    known.remove(workload);
                }
                false
            };
            if !news {
                return;
            }
        }
        if let Some(occurrence) = Occurrence::of(notice) {
            self.send(occurrence);
        }
    }

    /// Sums up what differs already, once the first scan is complete.
    pub fn first_scan(&self, report: &Report) {
        let standing: BTreeMap<_, _> =
            report.totals().into_iter().filter(|(verdict, _)| message::is_reported(*verdict)).collect();
        if !standing.is_empty() {
            self.send(Occurrence::Standing(standing));
        }
    }

    fn send(&self, occurrence: Occurrence) {
        if self.queue.try_send(occurrence).is_err() {
            metrics::notified("dropped");
        }
    }
}

async fn forward<F: Future<Output = bool>>(mut queue: mpsc::Receiver<Occurrence>, send: impl Fn(Message) -> F) {
    while let Some(first) = queue.recv().await {
        let mut message = Message::default();
        let mut urgent = message.add(first);
        let end = time::sleep(WINDOW);
        tokio::pin!(end);
        while !urgent {
            tokio::select! {
                more = queue.recv() => match more {
                    Some(occurrence) => urgent = message.add(occurrence),
                    None => break,
                },
                () = &mut end => break,
            }
        }
        metrics::notified(if send(message).await { "sent" } else { "failed" });
    }
}
