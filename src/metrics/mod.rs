//! Metrics: one table ([`TABLE`]), functions that count, and the text of a scrape.
//!
//! Counters and histograms are global and recorded where things happen. Gauges are not kept (but that of the watches, which
//! no report knows): each scrape computes them from the published report into a recorder of its own, so that a gauge cannot
//! go stale and the series of a namespace that vanished are gone at the next scrape.

mod gauges;
mod process;
mod table;
#[cfg(test)]
mod tests;

use std::{
    collections::BTreeMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use metrics_exporter_prometheus::{Matcher, PrometheusBuilder, PrometheusHandle, PrometheusRecorder};
use tokio::time::Instant;

pub use self::table::{Metric, TABLE, Type};
use crate::core::{
    io::{Notice, RenderOutcome, WatchKind},
    model::words::{Outcome, Word},
    report::Report,
};

/// The first words of a scope's name.
const SCOPES: &[&str] = &["cluster", "injector", "namespace", "service_account", "other"];

/// The first words of a cause: the kinds of objects that are looked at for it. A custom resource that a trigger names is among
/// the others.
const CAUSES: &[&str] = &[
    "MutatingWebhookConfiguration",
    "MutatingAdmissionPolicy",
    "MutatingAdmissionPolicyBinding",
    "ConfigMap",
    "Secret",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "Service",
    "Namespace",
    "ServiceAccount",
    "LimitRange",
    "other",
];

/// What a request to the API server may be for.
pub const PURPOSES: &[&str] = &["watch", "template", "dry_run", "rollout", "state", "lease", "event", "other"];

/// Seconds. A webhook on the same cluster answers within 10 ms; the server gives up on all of them after 34 s.
const RENDER_BUCKETS: &[f64] = &[0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 35.0];

/// Seconds. Three replicas take half a minute; a large StatefulSet takes hours.
const ROLLOUT_BUCKETS: &[f64] = &[10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 10800.0];

/// What is needed to answer a scrape.
#[derive(Clone)]
pub struct Metrics {
    counters: PrometheusHandle,
    /// Metrics of workloads have the label `namespace`.
    by_namespace: bool,
}

impl std::fmt::Debug for Metrics {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Metrics").finish_non_exhaustive()
    }
}

/// Metrics were installed before; a process can do so once.
#[derive(Debug, thiserror::Error)]
#[error("metrics are installed already")]
pub struct AlreadyInstalled;

/// Starts counting, for the whole process. `by_namespace`: metrics of workloads have the label `namespace`.
pub fn install(by_namespace: bool) -> Result<Metrics, AlreadyInstalled> {
    let recorder = recorder();
    let counters = recorder.handle();
    ::metrics::set_global_recorder(recorder).map_err(|_| AlreadyInstalled)?;
    start_at_zero();
    Ok(Metrics { counters, by_namespace })
}

impl Metrics {
    /// Counts nothing; for servers in tests.
    #[cfg(test)]
    pub(crate) fn detached() -> Self {
        Self { counters: recorder().handle(), by_namespace: true }
    }

    /// The text of a scrape: what was counted so far, and the gauges of `report`.
    #[must_use]
    pub fn render(&self, report: Option<&Report>) -> String {
        let mut text = self.counters.render();
        text.push_str(&gauges::render(report, self.by_namespace));
        text.push_str(&process::render());
        text
    }

    /// Moves recorded durations into their buckets. To be called now and then: without it they are kept one by one
    /// until the next scrape, and nobody may ever scrape.
    pub fn upkeep(&self) {
        self.counters.run_upkeep();
    }
}

/// Counts a dry run.
pub fn rendered(outcome: &RenderOutcome, took: Duration) {
    let result = match outcome {
        RenderOutcome::Rendered(_) => "rendered",
        RenderOutcome::Rejected { .. } => "rejected",
        RenderOutcome::Undetermined { reason, .. } => reason.as_str(),
        RenderOutcome::Gone => "gone",
    };
    ::metrics::counter!(table::RENDERS.name, "result" => result).increment(1);
    ::metrics::histogram!(table::RENDER_SECONDS.name).record(took.as_secs_f64());
}

/// Counts a request to the API server, by the API's verb (`get`, `list`, `watch`, `create`, `update`, `patch`, `delete`),
/// by what it is for, one of [`PURPOSES`], and by the HTTP status; `timeout` or `error` when no answer came.
pub fn api_request(verb: &'static str, purpose: &'static str, code: &str) {
    let name = table::API_REQUESTS.name;
    ::metrics::counter!(name, "verb" => verb, "for" => purpose, "code" => code.to_owned()).increment(1);
    if code == "429" {
        ::metrics::counter!(table::THROTTLED.name, "who" => "api_server").increment(1);
    }
}

/// Counts a watched object that could not be understood.
pub fn object_skipped(kind: WatchKind) {
    ::metrics::counter!(table::OBJECTS_SKIPPED.name, "kind" => kind.plural()).increment(1);
}

/// Counts a watch that has to list again.
pub fn watch_restarted(kind: WatchKind) {
    ::metrics::counter!(table::WATCH_RESTARTS.name, "kind" => kind.plural()).increment(1);
}

/// Counts a change of the configuration file.
pub fn reloaded(obeyed: bool) {
    let how = if obeyed { "obeyed" } else { "refused" };
    ::metrics::counter!(table::CONFIG_RELOADS.name, "file" => how).increment(1);
}

/// Counts a notification that was `sent`, `failed`, or was `dropped` before it became one.
pub fn notified(fate: &'static str) {
    ::metrics::counter!(table::NOTIFICATIONS.name, "fate" => fate).increment(1);
}

/// The watches of one process that are down, and since when. Cheap to clone; all clones are one.
#[derive(Clone, Debug, Default)]
pub struct Watches(Arc<Mutex<BTreeMap<u64, Down>>>);

/// A watch that is down.
#[derive(Clone, Copy, Debug)]
struct Down {
    kind: &'static str,
    since: Instant,
    /// The API server refuses it, which the report tells.
    refused: bool,
}

impl Watches {
    /// A new watch, of which nothing bad is known.
    #[must_use]
    pub fn health(&self, kind: &'static str) -> WatchHealth {
        /// Tells one watch from another.
        static NEXT: AtomicU64 = AtomicU64::new(0);
        // So that the series is there before it is needed.
        ::metrics::gauge!(table::WATCHES_DOWN.name, "kind" => kind).increment(0.0);
        WatchHealth { kind, number: NEXT.fetch_add(1, Ordering::Relaxed), watches: self.clone() }
    }

    /// The kinds of those that have been without a connection for so long, and for how long at most. What the API server
    /// refuses or does not serve is not among them.
    #[must_use]
    pub fn down_for(&self, at_least: Duration) -> BTreeMap<&'static str, Duration> {
        let mut kinds = BTreeMap::new();
        for Down { kind, since, .. } in self.all().values().filter(|down| !down.refused) {
            let down = since.elapsed();
            if down >= at_least {
                let longest: &mut Duration = kinds.entry(*kind).or_default();
                *longest = down.max(*longest);
            }
        }
        kinds
    }

    fn all(&self) -> MutexGuard<'_, BTreeMap<u64, Down>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether one watch has a connection: counted as long as it lives.
#[derive(Debug)]
pub struct WatchHealth {
    kind: &'static str,
    number: u64,
    watches: Watches,
}

impl WatchHealth {
    /// It is down from now on, or up.
    pub fn set(&mut self, down: bool) {
        self.put(down.then(|| Down { kind: self.kind, since: Instant::now(), refused: false }));
    }

    /// It is down from now on, because the API server refuses it.
    pub fn refused(&mut self) {
        self.put(Some(Down { kind: self.kind, since: Instant::now(), refused: true }));
    }

    fn put(&mut self, down: Option<Down>) {
        let mut all = self.watches.all();
        let is_down = down.is_some();
        let was = all.remove(&self.number);
        if let Some(down) = down {
            let since = was.filter(|was| was.refused == down.refused).map_or(down.since, |was| was.since);
            all.insert(self.number, Down { since, ..down });
        }
        drop(all);
        if was.is_some() != is_down {
            let gauge = ::metrics::gauge!(table::WATCHES_DOWN.name, "kind" => self.kind);
            gauge.increment(if is_down { 1.0 } else { -1.0 });
        }
    }
}

impl Drop for WatchHealth {
    /// What is not watched any more, on purpose, is not down.
    fn drop(&mut self) {
        self.set(false);
    }
}

/// Counts what people are told, where it is counted at all.
pub fn notice(notice: &Notice) {
    match notice {
        Notice::ScopeMoved { scope, cause, .. } => {
            let first = |text: &str, known: &[&'static str]| {
                let word = text.split_whitespace().next().unwrap_or_default();
                known.iter().find(|known| **known == word).copied().unwrap_or("other")
            };
            let (scope, cause) = (first(scope, SCOPES), first(cause, CAUSES));
            ::metrics::counter!(table::GENERATION_MOVES.name, "scope" => scope, "cause" => cause).increment(1);
        }
        Notice::RolloutEnded { outcome, seconds, .. } => {
            ::metrics::counter!(table::ROLLOUTS.name, "outcome" => outcome.as_str()).increment(1);
            // One that is late has not ended yet.
            if *outcome != Outcome::TimedOut {
                #[expect(clippy::cast_precision_loss, reason = "no rollout takes 2^52 seconds")]
                ::metrics::histogram!(table::ROLLOUT_SECONDS.name, "outcome" => outcome.as_str())
                    .record(*seconds as f64);
            }
        }
        Notice::InjectorSlow { .. } => {
            ::metrics::counter!(table::THROTTLED.name, "who" => "injector").increment(1);
        }
        Notice::VerdictChanged { .. }
        | Notice::RenderLimit { .. }
        | Notice::RolloutStarted { .. }
        | Notice::RolloutProgress { .. }
        | Notice::PodEvicted { .. }
        | Notice::RolloutHeld { .. }
        | Notice::Stopping { .. }
        | Notice::BreakerOpened { .. }
        | Notice::Guard { .. }
        | Notice::Alerts { .. }
        | Notice::WatchUnavailable { .. }
        | Notice::BadAnnotation { .. } => {}
    }
}

/// A recorder with our buckets that knows every metric's help.
fn recorder() -> PrometheusRecorder {
    let builder = PrometheusBuilder::new();
    let buckets = |builder: PrometheusBuilder, name: &str, buckets| {
        // Only an empty list of buckets is refused.
        let with = builder.set_buckets_for_metric(Matcher::Full(name.to_owned()), buckets);
        with.unwrap_or_else(|_| PrometheusBuilder::new())
    };
    let builder = buckets(builder, table::RENDER_SECONDS.name, RENDER_BUCKETS);
    let builder = buckets(builder, table::ROLLOUT_SECONDS.name, ROLLOUT_BUCKETS);
    let recorder = builder.build_recorder();
    ::metrics::with_local_recorder(&recorder, || {
        for metric in TABLE {
            match metric.kind {
                Type::Counter => ::metrics::describe_counter!(metric.name, metric.help),
                Type::Gauge => ::metrics::describe_gauge!(metric.name, metric.help),
                Type::Histogram => ::metrics::describe_histogram!(metric.name, metric.help),
            }
        }
    });
    recorder
}

/// A counter that appears with its first increase hides that increase from `rate()`.
fn start_at_zero() {
    for metric in TABLE.iter().filter(|metric| metric.kind == Type::Counter) {
        let closed: Option<Vec<_>> = metric.labels.iter().map(|label| Some((*label, metric.values(label)?))).collect();
        match closed.as_deref() {
            Some([(label, values)]) => {
                for value in values {
                    ::metrics::counter!(metric.name, *label => *value).absolute(0);
                }
            }
            Some([(one, ones), (other, others)]) => {
                for (value, another) in ones.iter().flat_map(|value| others.iter().map(move |another| (value, another)))
                {
                    ::metrics::counter!(metric.name, *one => *value, *other => *another).absolute(0);
                }
            }
            _ => {}
        }
    }
}
