//! Whether we lead, at this very moment: the task that keeps the lease, and those who ask it.

use std::time::Duration;

use anyhow::Context as _;
use rustix::rand::GetRandomFlags;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

use super::clock;
use crate::{
    cluster::lease::LeaseStore,
    core::model::{
        Name,
        lease::{Election, LeaseSpec, LeaseTimes, Reply, Request, Tenure, Turn},
    },
    http::{LeaderEndpoint, Published},
};

/// The end of the process waits this long for the lease to be given back; if it cannot be, others wait for it to run out.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Of failures in a row, the first is told and then every thirtieth, which is one a minute.
const LOG_EVERY: u32 = 30;

/// Says whether we lead. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Leadership {
    tenure: watch::Receiver<Option<Tenure>>,
}

impl Leadership {
    /// Nobody else is there, so we lead for ever.
    pub(super) fn always() -> Self {
        let (_, tenure) = watch::channel(Some(Tenure { term: 1, until: Duration::MAX }));
        Self { tenure }
    }

    /// The term in which we lead at this moment. It is the clock that answers, not the task that keeps the lease: both may
    /// have been frozen together.
    pub(super) fn term(&self, now: Duration) -> Option<u64> {
        self.tenure.borrow().filter(|tenure| now < tenure.until).map(|tenure| tenure.term)
    }

    /// Whether that term, in which something was decided, lasts at this moment.
    pub(super) fn holds_in(&self, term: Option<u64>) -> bool {
        term.is_some() && self.term(clock::elapsed()) == term
    }

    /// Waits until there is something to look at again, besides the time.
    pub(super) async fn changed(&mut self) {
        if self.tenure.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// What nobody else calls themselves: the host's name, if no other is given, and a number that is new in each process. A
/// container that was restarted is not the one that held the lease, which may not have noticed, yet.
pub(super) fn identity(given: Option<&str>) -> anyhow::Result<Name> {
    let mut random = [0; 4];
    // Few bytes are always given whole.
    rustix::rand::getrandom(&mut random[..], GetRandomFlags::empty()).context("no random numbers")?;
    let host = rustix::system::uname();
    let host = host.nodename().to_string_lossy();
    Ok(format!("{}_{:08x}", given.unwrap_or(&host), u32::from_be_bytes(random)).into())
}

/// Ends the task that keeps the lease, and waits until it is given back.
#[derive(Debug)]
pub(super) struct LeaseRelease {
    ask: oneshot::Sender<()>,
    done: mpsc::Receiver<()>,
}

impl LeaseRelease {
    pub(super) async fn now(mut self) {
        // Fails only if the task has ended.
        _ = self.ask.send(());
        _ = self.done.recv().await;
    }
}

/// What to ask whether we lead, how to stop leading, and the task that keeps the lease.
pub(super) fn keep_lease(
    election: Election,
    times: LeaseTimes,
    store: LeaseStore,
    published: Published,
) -> (Leadership, LeaseRelease, impl Future<Output = ()> + Send) {
    let (sender, tenure) = watch::channel(None);
    let (ask, asked) = oneshot::channel();
    let (finished, done) = mpsc::channel(1);
    let request_timeout = times.renew_deadline / 2;
    let keeper = LeaseKeeper { election, store, tenure: sender, published, request_timeout, failures: 0 };
    let task = async move {
        keeper.work(asked).await;
        drop(finished);
    };
    (Leadership { tenure }, LeaseRelease { ask, done }, task)
}

struct LeaseKeeper {
    election: Election,
    store: LeaseStore,
    tenure: watch::Sender<Option<Tenure>>,
    /// Is told who leads: readers want to know.
    published: Published,
    /// A request that takes longer is given up, so that another fits into the rest of the renew deadline.
    request_timeout: Duration,
    /// In a row.
    failures: u32,
}

impl LeaseKeeper {
    async fn work(mut self, mut asked: oneshot::Receiver<()>) {
        loop {
            tokio::select! {
                biased;
                _ = &mut asked => break,
                () = self.turn() => {}
            }
        }
        self.release().await;
    }

    async fn turn(&mut self) {
        let now = clock::now();
        match self.election.turn(now) {
            Turn::Wait(until) => sleep(until.saturating_sub(now.elapsed)).await,
            Turn::Ask(request) => {
                let reply = timeout(self.request_timeout, self.store.ask(&request)).await.unwrap_or_else(|_| {
                    Reply::Failed { message: format!("no answer within {} s", self.request_timeout.as_secs_f32()) }
                });
                let holder = self.election.holder().cloned();
                self.log_failure(&reply);
                self.election.answered(&request, now.elapsed, reply, clock::elapsed());
                self.tenure.send_replace(self.election.tenure(clock::elapsed()));
                if let Some(new) = self.election.holder().filter(|new| holder.as_ref() != Some(*new)) {
                    tracing::info!(holder = &**new, "the lease has a new holder");
                }
                self.publish();
            }
        }
    }

    /// Says who leads. An address that makes no sense is none.
    fn publish(&self) {
        let leader = |spec: &LeaseSpec| LeaderEndpoint { name: spec.holder.clone(), api: spec.api.parse().ok() };
        let leader = self.election.held().map(leader);
        if self.published.leader() != leader {
            self.published.set_leader(leader);
        }
    }

    fn log_failure(&mut self, reply: &Reply) {
        let Reply::Failed { message } = reply else {
            self.failures = 0;
            return;
        };
        if self.failures.is_multiple_of(LOG_EVERY) {
            tracing::warn!(reason = message, "the lease cannot be read or written; trying again");
        }
        self.failures = self.failures.saturating_add(1);
    }

    async fn release(&mut self) {
        self.tenure.send_replace(None);
        if self.election.release(clock::elapsed()).is_none() {
            return;
        }
        if timeout(RELEASE_TIMEOUT, self.try_release()).await.unwrap_or(false) {
            tracing::info!("the lease is given back");
        } else {
            tracing::warn!("the lease could not be given back; others wait until it runs out");
        }
    }

    /// Whether it is not ours any more.
    async fn try_release(&mut self) -> bool {
        // Twice, because we may have been stopped in the middle of a renewal, and then know a version that is gone.
        for _ in 0..2 {
            let Some(request) = self.election.release(clock::elapsed()) else { return true };
            if matches!(self.store.ask(&request).await, Reply::Is(_)) {
                return true;
            }
            let sent = clock::elapsed();
            let reply = self.store.ask(&Request::Read).await;
            self.election.answered(&Request::Read, sent, reply, clock::elapsed());
        }
        false
    }
}
