//! What the engine publishes to readers.

use std::{
    fmt,
    net::SocketAddr,
    sync::{
        Arc, Mutex, OnceLock, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::sync::watch;

use crate::{
    core::{model::Name, report::Report},
    metrics::Watches,
};

/// What is said of a kind is old once its watch has had no connection for this long. An API server that is restarted, and a
/// connection that is made anew, take less.
const STALE: Duration = Duration::from_secs(30);

/// The replica that holds the Lease.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaderEndpoint {
    /// Its identity in the Lease: its Pod's name, and a number.
    pub name: Name,
    /// Where its API listens; `None`: on loopback only.
    pub api: Option<SocketAddr>,
}

/// The handle between the engine, which writes, and every reader: the newest report, and when the engine ticked last.
/// Cheap to clone; all clones are one.
#[derive(Clone)]
pub struct Published(Arc<Shared>);

struct Shared {
    report: watch::Sender<Option<Arc<Report>>>,
    leader: Mutex<Option<LeaderEndpoint>>,
    watches: OnceLock<Watches>,
    /// Milliseconds of `elapsed` at the engine's last tick.
    ticked: AtomicU64,
    elapsed: Box<dyn Fn() -> Duration + Send + Sync>,
}

impl Published {
    /// Nothing is published yet. `elapsed` reads a clock that is never set back; creation counts as the first tick.
    pub fn new(elapsed: impl Fn() -> Duration + Send + Sync + 'static) -> Self {
        let ticked = AtomicU64::new(millis(elapsed()));
        Self(Arc::new(Shared {
            report: watch::Sender::new(None),
            leader: Mutex::default(),
            watches: OnceLock::new(),
            ticked,
            elapsed: Box::new(elapsed),
        }))
    }

    /// The engine is alive. To be called each time round its loop.
    pub fn tick(&self) {
        self.0.ticked.store(millis((self.0.elapsed)()), Ordering::Relaxed);
    }

    /// Replaces what readers see.
    pub fn publish(&self, mut report: Arc<Report>) {
        let name = self.leader().map(|leader| leader.name);
        if report.led_by != name {
            Arc::make_mut(&mut report).led_by = name;
        }
        self.0.report.send_replace(Some(report));
    }

    /// From now on it is told which of these watches have no connection. Of several calls the first one counts.
    pub fn watching(&self, watches: Watches) {
        _ = self.0.watches.set(watches);
    }

    /// Of which kinds nothing is heard any more, a sentence each.
    pub fn stale(&self) -> Vec<String> {
        let down = self.0.watches.get().map(|watches| watches.down_for(STALE)).unwrap_or_default();
        let sentence = |(kind, since): (&str, Duration)| {
            format!("nothing is heard of {kind} since {} s: the watch has no connection", since.as_secs())
        };
        down.into_iter().map(sentence).collect()
    }

    /// The newest report, and what of it is old.
    pub fn report(&self) -> Option<Arc<Report>> {
        let mut report = self.0.report.borrow().clone()?;
        let stale = self.stale();
        if !stale.is_empty() {
            Arc::make_mut(&mut report).unavailable.extend(stale);
        }
        Some(report)
    }

    /// Sets who leads, in the report that is published already, too. `None`: unknown.
    pub fn set_leader(&self, leader: Option<LeaderEndpoint>) {
        let name = leader.as_ref().map(|leader| leader.name.clone());
        *self.0.leader.lock().unwrap_or_else(PoisonError::into_inner) = leader;
        self.0.report.send_if_modified(|report| {
            let Some(report) = report.as_mut().filter(|report| report.led_by != name) else { return false };
            Arc::make_mut(report).led_by = name;
            true
        });
    }

    /// Who leads; `None`: nobody, or there is no election.
    pub fn leader(&self) -> Option<LeaderEndpoint> {
        self.0.leader.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// For readers that wait for the next report.
    pub fn subscribe(&self) -> watch::Receiver<Option<Arc<Report>>> {
        self.0.report.subscribe()
    }

    /// How long ago the engine ticked.
    pub fn since_tick(&self) -> Duration {
        let ticked = Duration::from_millis(self.0.ticked.load(Ordering::Relaxed));
        (self.0.elapsed)().saturating_sub(ticked)
    }
}

impl fmt::Debug for Published {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Published").field("since_tick", &self.since_tick()).finish_non_exhaustive()
    }
}

fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}
