//! Leader election: the task that renews the Lease, and a handle that says whether this replica leads at this moment.

use std::time::Duration;

use anyhow::Context as _;
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{sleep, timeout},
};

use crate::{
    clock::{self, ServerClock},
    cluster::lease::LeaseStore,
    core::model::{
        Name,
        lease::{Election, LeaseSpec, LeaseTimes, Reply, Request, Tenure, Turn},
    },
    http::{LeaderEndpoint, Published},
    platform,
};

/// At shutdown the process waits this long to release the Lease. If that fails, the other replicas wait until it expires.
const RELEASE_TIMEOUT: Duration = Duration::from_secs(2);

/// Of consecutive failures, the first is logged and then each of this number: about one a minute.
const LOG_EVERY: u32 = 30;

/// Says whether this replica leads. Cheap to clone.
#[derive(Clone, Debug)]
pub(super) struct Leadership {
    tenure: watch::Receiver<Option<Tenure>>,
}

impl Leadership {
    /// There is no election: this process always leads.
    pub(super) fn always() -> Self {
        let (_, tenure) = watch::channel(Some(Tenure { term: 1, until: Duration::MAX }));
        Self { tenure }
    }

    /// The term in which this replica leads at `now`. It is computed from the clock and not asked of the task that renews the
    /// Lease, because both may have been suspended together.
    pub(super) fn term(&self, now: Duration) -> Option<u64> {
        self.tenure.borrow().filter(|tenure| now < tenure.until).map(|tenure| tenure.term)
    }

    /// Whether this replica still leads in `term`, in which a decision was made.
    pub(super) fn holds_in(&self, term: Option<u64>) -> bool {
        term.is_some() && self.term(clock::elapsed()) == term
    }

    /// Waits until the term changes for another reason than time.
    pub(super) async fn changed(&mut self) {
        if self.tenure.changed().await.is_err() {
            std::future::pending::<()>().await;
        }
    }
}

/// A unique identity: the given name or the host's, and a random number for each process. A restarted container must not
/// take itself for its predecessor, which may still run.
pub(super) fn identity(given: Option<&str>) -> anyhow::Result<Name> {
    let mut random = [0; 4];
    getrandom::fill(&mut random).context("no random numbers")?;
    let host = platform::host::name();
    Ok(format!("{}_{:08x}", given.unwrap_or(&host), u32::from_be_bytes(random)).into())
}

/// Stops the task that renews the Lease, and waits until the Lease is released.
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

/// Returns a handle that says whether this replica leads, one that releases the Lease, and the task that renews it.
pub(super) fn keep_lease(
    election: Election,
    times: LeaseTimes,
    store: LeaseStore,
    published: Published,
    clock: ServerClock,
) -> (Leadership, LeaseRelease, impl Future<Output = ()> + Send) {
    let (sender, tenure) = watch::channel(None);
    let (ask, asked) = oneshot::channel();
    let (finished, done) = mpsc::channel(1);
    let request_timeout = times.renew_deadline / 2;
    let keeper = LeaseKeeper { election, store, tenure: sender, published, clock, request_timeout, failures: 0 };
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
    /// Shows readers who leads.
    published: Published,
    /// Others read what we write into the Lease.
    clock: ServerClock,
    /// A request that takes longer is aborted, so that a second attempt fits into the renew deadline.
    request_timeout: Duration,
    /// Consecutive ones.
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
        let now = self.clock.now();
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

    /// Publishes who leads. An invalid address counts as none.
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

    /// Returns whether the Lease is released.
    async fn try_release(&mut self) -> bool {
        // Twice: if a renewal was interrupted, the resourceVersion that we know is outdated.
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
