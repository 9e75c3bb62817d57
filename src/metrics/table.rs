//! Every metric that this program has: the one table that registration, the tests and the docs are made from.

use crate::core::words::{Gate, Outcome, UndeterminedReason, Verdict, Word};

/// What a metric measures over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows; 0 at the start of the process.
    Counter,
    /// As things stand at the scrape, computed from the published report.
    Gauge,
    /// How long things took.
    Histogram,
}

/// One row of the table.
#[derive(Debug)]
pub struct Metric {
    /// The full name.
    pub name: &'static str,
    /// Its type.
    pub kind: Type,
    /// Its labels. All have a closed set of values, but `namespace`.
    pub labels: &'static [&'static str],
    /// What it says and what to alert on.
    pub help: &'static str,
}

macro_rules! metrics {
    ($($constant:ident = $kind:ident $name:literal [$($label:literal),*], $help:literal;)+) => {
        $(#[doc = $help] pub(super) const $constant: Metric = Metric {
            name: concat!("sidecar_drift_", $name),
            kind: Type::$kind,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// The table.
        pub const TABLE: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    WORKLOADS = Gauge "workloads" ["namespace", "kind", "verdict"],
        "Workloads by verdict. Alert when drifted, missing or `non_convergent` stay above 0 for longer than your own \
         rollouts take.";
    UNDETERMINED = Gauge "undetermined_workloads" ["reason"],
        "Workloads without an honest verdict, by reason. Alert when any reason but pending, settling and rolling \
         lasts for an hour.";
    HELD = Gauge "held_workloads" ["gate"],
        "Workloads that differ and are not being rolled, by the gate that holds them. Alert in enforce mode when a \
         gate that you did not choose holds for a day.";
    PODS_DIFFERING = Gauge "differing_pods" ["namespace"],
        "Running Pods that differ from what would be injected today.";
    OLDEST_DRIFT = Gauge "oldest_drift_seconds" [],
        "How long the oldest difference has been known, 0 without one. Alert when it exceeds the time in which your \
         fleet should be up to date.";
    RENDERS = Counter "renders_total" ["result"],
        "Dry-run Pod creations by what came of them: rendered, rejected, gone, or the reason of an undetermined. \
         Alert when the share that is not rendered grows.";
    RENDER_SECONDS = Histogram "render_duration_seconds" [],
        "How long dry-run Pod creations took. Alert when the 95th percentile nears a fifth of your injectors' \
         `timeoutSeconds`.";
    QUEUE = Gauge "queued_renders" [],
        "Workloads waiting for a dry run. Alert when it does not fall for longer than the resync interval.";
    ROLLOUTS = Counter "rollouts_total" ["outcome"],
        "Rollouts that ended, by outcome; a `timed_out` one may be counted again when it ends. Alert on any failed, \
         denied or `non_convergent`.";
    ROLLOUTS_IN_FLIGHT = Gauge "rollouts_in_flight" [],
        "Rollouts under way.";
    STOPPED = Gauge "stopped" ["by"],
        "1 while something stops all rollouts: a person by `pause`, the `breaker` because too many went wrong, or the \
         missing `guard`. Alert on breaker and guard: neither mends itself.";
    LEADER = Gauge "leader" [],
        "1 on the replica that leads, 0 on those that follow it, which say nothing of workloads. Alert when the sum over the \
         replicas is not 1 for some minutes.";
    COMPLETE = Gauge "report_complete" [],
        "1 when all watches are synced and every workload has been asked. Alert when it stays 0 for longer than a \
         first sweep takes.";
    GENERATION_MOVES = Counter "generation_moves_total" ["scope"],
        "How often something that injection depends on moved, by scope: cluster, injector, namespace or \
         `service_account`.";
    API_REQUESTS = Counter "api_requests_total" ["verb", "code"],
        "Requests to the API server by verb and status code; `timeout` or `error` when no answer came. Alert on code \
         403: rights are missing.";
    OBJECTS_SKIPPED = Counter "skipped_objects_total" ["kind"],
        "Watched objects that could not be understood, by kind. Alert on any increase: verdicts may miss something.";
    WATCH_RESTARTS = Counter "watch_restarts_total" ["kind"],
        "How often a watch had to list again, by kind. Alert when it rises steadily: the API server drops us.";
    CONFIG_RELOADS = Counter "config_reloads_total" ["file"],
        "How often the configuration file changed while the daemon ran: obeyed, or refused because it made no sense. \
         Alert on any that was refused: the old configuration is still in force.";
    IGNORED = Gauge "ignored_fields" ["rule"],
        "Fields that differ and are left out by a rule under `ignore`, by the rule's place in the configuration. A rule \
         that stays at 0 can go.";
    BUILD_INFO = Gauge "build_info" ["version"],
        "Always 1; the version is a label.";
}

/// The label values of a vocabulary: its words.
fn words<W: Word>() -> Vec<&'static str> {
    W::ALL.iter().map(|word| word.as_str()).collect()
}

impl Metric {
    /// The values that a label can have, where they are a closed set. Counters over one such label start at 0, so that
    /// their first increase is seen.
    pub fn values(&self, label: &str) -> Option<Vec<&'static str>> {
        match label {
            "verdict" => Some(words::<Verdict>()),
            "reason" => Some(words::<UndeterminedReason>()),
            "gate" => Some(words::<Gate>()),
            "outcome" => Some(words::<Outcome>()),
            "result" => {
                Some(["rendered", "rejected", "gone"].into_iter().chain(words::<UndeterminedReason>()).collect())
            }
            "by" => Some(vec!["pause", "breaker", "guard"]),
            "file" => Some(vec!["obeyed", "refused"]),
            "scope" => Some(super::SCOPES.to_vec()),
            _ => None,
        }
    }
}
