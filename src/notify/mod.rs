//! Notifications: one webhook that is told of new drift by change, of rollouts that ended, and of the breaker.
//!
//! Nothing here decides or waits for anybody: what the core tells people is put into a short queue, and what does not fit
//! is dropped and counted. What happens within some seconds becomes one message.

mod message;
mod send;
#[cfg(test)]
mod tests;

use std::{future::Future, time::Duration};

use tokio::{sync::mpsc, time};

pub use self::{
    message::{Happened, Message},
    send::Webhook,
};
use crate::{core::io::Notice, metrics};

/// Things that may wait; a mass event is a few changes, and what is beyond it would be a flood in a chat, too.
const QUEUE: usize = 256;

/// What happens within this time is one message: an injector's upgrade is found at hundreds of workloads one after another.
const WINDOW: Duration = Duration::from_secs(20);

/// Where notices go on their way to the webhook.
#[derive(Clone, Debug)]
pub struct Notifier(mpsc::Sender<Happened>);

impl Notifier {
    /// A queue, and the work that empties it into `send`, which says whether a message was taken.
    pub fn new<F: Future<Output = bool> + Send>(
        send: impl Fn(Message) -> F + Send + Sync + 'static,
    ) -> (Self, impl Future<Output = ()> + Send) {
        let (sender, queue) = mpsc::channel(QUEUE);
        (Self(sender), forward(queue, send))
    }

    /// Takes a notice, if it is one that people are notified of. Never waits.
    pub fn told(&self, notice: &Notice) {
        if let Some(happened) = Happened::of(notice)
            && self.0.try_send(happened).is_err()
        {
            metrics::notified("dropped");
        }
    }
}

async fn forward<F: Future<Output = bool>>(mut queue: mpsc::Receiver<Happened>, send: impl Fn(Message) -> F) {
    while let Some(first) = queue.recv().await {
        let mut message = Message::default();
        let mut urgent = message.add(first);
        let end = time::sleep(WINDOW);
        tokio::pin!(end);
        while !urgent {
            tokio::select! {
                more = queue.recv() => match more {
                    Some(happened) => urgent = message.add(happened),
                    None => break,
                },
                () = &mut end => break,
            }
        }
        metrics::notified(if send(message).await { "sent" } else { "failed" });
    }
}
