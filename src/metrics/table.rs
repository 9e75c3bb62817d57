//! Every metric that this program has: the one table that registration, the tests and the docs are made from.

use crate::core::model::words::{Gate, Outcome, UndeterminedReason, Verdict, Word};

/// What a metric measures over time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Type {
    /// Only grows; 0 at the start of the process.
    Counter,
    /// As things stand at the scrape.
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
            name: $name,
            kind: Type::$kind,
            labels: &[$($label),*],
            help: $help,
        };)+

        /// The table.
        pub const TABLE: &[Metric] = &[$($constant),+];
    };
}

metrics! {
    WORKLOADS = Gauge "sidecar_drift_workloads" ["namespace", "kind", "verdict"],
        "Workloads by verdict. Alert when drifted, missing or `non_convergent` stay above 0 for longer than your own \
         rollouts take.";
    SIDECARS = Gauge "sidecar_drift_sidecar_workloads" ["namespace", "sidecar", "verdict"],
        "Workloads by sidecar and verdict; one with two sidecars counts under each, so do not add them up.";
    UNDETERMINED = Gauge "sidecar_drift_undetermined_workloads" ["reason"],
        "Workloads without an honest verdict, by reason. Alert when any reason but pending, settling and rolling \
         lasts for an hour.";
    HELD = Gauge "sidecar_drift_held_workloads" ["gate"],
        "Workloads that differ and are not being rolled, by the gate that holds them. Alert in enforce mode when a \
         gate that you did not choose holds for a day.";
    PODS_DIFFERING = Gauge "sidecar_drift_differing_pods" ["namespace"],
        "Running Pods that differ from what would be injected today.";
    OLDEST_DRIFT = Gauge "sidecar_drift_oldest_drift_seconds" [],
        "How long the oldest difference has been known, 0 without one. Alert when it exceeds the time in which your \
         fleet should be up to date.";
    RENDERS = Counter "sidecar_drift_renders_total" ["result"],
        "Dry-run Pod creations by what came of them: rendered, rejected, gone, or the reason of an undetermined. \
         Alert when the share that is not rendered grows.";
    RENDER_SECONDS = Histogram "sidecar_drift_render_duration_seconds" [],
        "How long dry-run Pod creations took. Alert when the 95th percentile nears a fifth of your injectors' \
         `timeoutSeconds`.";
    QUEUE = Gauge "sidecar_drift_queued_renders" [],
        "Workloads waiting for a dry run. Alert when it does not fall for longer than the resync interval.";
    QUEUE_AGE = Gauge "sidecar_drift_oldest_queued_seconds" [],
        "How long the dry run that has waited longest is overdue. Alert when it exceeds an hour: verdicts are old.";
    RENDER_LIMIT = Gauge "sidecar_drift_render_limit" ["who"],
        "Dry runs that may be in flight at once, as was found by how they are answered: by the `api_server` in all, and through \
         the webhook configuration that takes the fewest, `injector` (absent before one takes part). Alert when it stays at 1: \
         something has no room for us.";
    ROLLOUTS = Counter "sidecar_drift_rollouts_total" ["outcome"],
        "Rollouts that ended, by outcome; a `timed_out` one may be counted again when it ends. Alert on any failed, \
         denied or `non_convergent`.";
    ROLLOUTS_IN_FLIGHT = Gauge "sidecar_drift_rollouts_in_flight" [],
        "Rollouts under way.";
    ROLLOUT_SECONDS = Histogram "sidecar_drift_rollout_duration_seconds" ["outcome"],
        "How long rollouts took until they ended, by outcome.";
    ROLLOUTS_LEFT = Gauge "sidecar_drift_rollouts_left" [],
        "Rollouts that may still be started in this hour; absent without a limit. Alert when it stays 0 for a day: the \
         limit is too low for your fleet.";
    STOPPED = Gauge "sidecar_drift_stopped" ["by"],
        "1 while something stops all rollouts: a person by `pause`, the `breaker` because too many went wrong, the \
         missing `guard`, or `alerts` of `--block-on-alerts`; only the leader knows of the last two. Alert on breaker and \
         guard: neither mends itself.";
    GUARD = Gauge "sidecar_drift_guard_in_force" [],
        "1 while the API server holds us to dry runs, 0 while it does not; absent with `--without-guard`. Alert when it stays \
         0, in report mode, too: whoever takes over the ServiceAccount could create Pods.";
    WINDOW = Gauge "sidecar_drift_window_open" [],
        "1 while a maintenance window of the configuration is open, 0 while all are closed and nothing is started; absent \
         without windows. Alert when it stays 0 for longer than you meant your windows to be apart.";
    LEADER = Gauge "sidecar_drift_leader" [],
        "1 on the replica that leads, 0 on those that follow it, which say nothing of workloads and rollouts. Alert when the \
         sum over the replicas is not 1 for some minutes.";
    CLOCK_AHEAD = Gauge "sidecar_drift_clock_ahead_seconds" [],
        "By how many seconds the clock of this machine is ahead of the API server's, negative if it is behind; every comparison \
         corrects it, to within a second. Alert beyond 5: the clock of that Node, or of the control plane, is not synchronized.";
    COMPLETE = Gauge "sidecar_drift_report_complete" [],
        "1 when all watches are synced and every workload has been asked. Alert when it stays 0 for longer than a \
         first sweep takes.";
    GENERATION_MOVES = Counter "sidecar_drift_generation_moves_total" ["scope", "cause"],
        "How often something that injection depends on moved, by scope (cluster, injector, namespace or `service_account`) and \
         by cause: the kind of object that was changed, or `other`, where none says so. Alert on a rate that nobody deploys at.";
    API_REQUESTS = Counter "sidecar_drift_api_requests_total" ["verb", "code"],
        "Requests to the API server by verb and status code; `timeout` or `error` when no answer came. Alert on code \
         403: rights are missing.";
    THROTTLED = Counter "sidecar_drift_throttled_total" ["who"],
        "How often we were asked to slow down, by who: the `api_server` with code 429, an `injector` by answering slowly. \
         Alert when it rises steadily: we are a burden.";
    OBJECTS_SKIPPED = Counter "sidecar_drift_skipped_objects_total" ["kind"],
        "Watched objects that could not be understood, by kind. Alert on any increase: verdicts may miss something.";
    WATCH_RESTARTS = Counter "sidecar_drift_watch_restarts_total" ["kind"],
        "How often a watch had to list again, by kind. Alert when it rises steadily: the API server drops us.";
    NOTIFICATIONS = Counter "sidecar_drift_notifications_total" ["fate"],
        "What became of notifications: messages that were sent, messages that failed, and events that were dropped because \
         the queue was full. Alert on any failed or dropped.";
    WATCHES_DOWN = Gauge "sidecar_drift_watches_down" ["kind"],
        "Watches without a connection, by kind: refused, not served, or failing again and again. Alert when it stays \
         above 0: what is said of these objects is old.";
    PROCESS_CPU = Counter "process_cpu_seconds_total" [],
        "CPU time that this process used. On Linux only, as all of process.";
    PROCESS_MEMORY = Gauge "process_resident_memory_bytes" [],
        "Memory that this process has resident. Alert when it nears the container's limit.";
    PROCESS_VIRTUAL = Gauge "process_virtual_memory_bytes" [],
        "Memory that this process has mapped.";
    PROCESS_FDS = Gauge "process_open_fds" [],
        "File descriptors that this process has open.";
    PROCESS_MAX_FDS = Gauge "process_max_fds" [],
        "File descriptors that this process may open.";
    PROCESS_START = Gauge "process_start_time_seconds" [],
        "When this process started, in seconds since 1970. Alert when it changes often: the process crashes.";
    CONFIG_RELOADS = Counter "sidecar_drift_config_reloads_total" ["file"],
        "How often the configuration file changed while the daemon ran: obeyed, or refused because it made no sense. \
         Alert on any that was refused: the old configuration is still in force.";
    IGNORED = Gauge "sidecar_drift_ignored_fields" ["rule"],
        "Fields that differ and are left out by a rule under `ignore`, by the rule's place in the configuration. A rule \
         that stays at 0 can go.";
    BUILD_INFO = Gauge "sidecar_drift_build_info" ["version"],
        "Always 1; the version is a label.";
}

/// The label values of a vocabulary: its words.
fn words<W: Word>() -> Vec<&'static str> {
    W::ALL.iter().map(|word| word.as_str()).collect()
}

impl Metric {
    /// The values that a label can have, where they are a closed set. Counters over such labels alone start at 0, so that
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
            "fate" => Some(vec!["sent", "failed", "dropped"]),
            "who" => Some(vec!["api_server", "injector"]),
            "by" => Some(vec!["pause", "breaker", "guard", "alerts"]),
            "file" => Some(vec!["obeyed", "refused"]),
            "scope" => Some(super::SCOPES.to_vec()),
            "cause" => Some(super::CAUSES.to_vec()),
            _ => None,
        }
    }
}
