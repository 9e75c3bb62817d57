//! Notifications: one webhook that is told of new drift by change, of rollouts that ended, and of the breaker.
//!
//! Nothing here decides or waits for anybody: what the core tells people is put into a short queue, and what does not fit
//! is dropped and counted. What happens within some seconds becomes one message.

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

/// Things that may wait; a mass event is a few changes, and what is beyond it would be a flood in a chat, too.
const QUEUE_LENGTH: usize = 256;

/// What happens within this time is one message: an injector's upgrade is found at hundreds of workloads one after another.
const WINDOW: Duration = Duration::from_secs(20);

/// Where notices go on their way to the webhook.
#[derive(Clone, Debug)]
pub struct Notifier {
    queue: mpsc::Sender<Occurrence>,
    /// What each workload that differs was known for last: that its verdict was in doubt meanwhile makes it no news.
    known: Arc<Mutex<BTreeMap<WorkloadKey, (Verdict, String)>>>,
}

impl Notifier {
    /// A queue, and the work that empties it into `send`, which says whether a message was taken.
    pub fn new<F: Future<Output = bool> + Send>(
        send: impl Fn(Message) -> F + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, queue) = mpsc::channel(QUEUE_LENGTH);
        (Self { queue: sender, known: Arc::default() }, forward(queue, send))
    }

    /// Takes a notice, if it is one that people are notified of. Never waits. While somebody who has just begun looks at
    /// everything for the first time, what differs is no news: [`first_scan`](Self::first_scan) sums it up.
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

    /// The first look is complete: what differs already is one line.
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
