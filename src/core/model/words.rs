//! The closed vocabularies: every word that the tables, the JSON, the metrics, the Events and the logs use.
//!
//! One thing has one word, and the same word everywhere. A word that no code reaches yet carries the work that will
//! reach it ([`Word::arrives_with`]); `tests/it/vocabulary.rs` fails when a word is neither reached nor marked.

use serde::{Deserialize, Serialize};

/// What all vocabularies share, so that tables and tests can walk them.
pub trait Word: Copy + Eq + Ord + Sized + 'static {
    /// The vocabulary's name in the singular, as a table heading or a metric label: `verdict`.
    const VOCABULARY: &'static str;
    /// Every word, in the order that decides where several apply: the first one wins.
    const ALL: &'static [Self];
    /// The word as it is written everywhere.
    fn as_str(self) -> &'static str;
    /// What the word means, in one sentence.
    fn meaning(self) -> &'static str;
    /// The work that will reach this word; `None` when the code reaches it today.
    fn arrives_with(self) -> Option<&'static str>;
}

macro_rules! vocabulary {
    ($(#[$doc:meta])* $name:ident as $label:literal {
        $($variant:ident = $word:literal, $meaning:literal $(, later $work:literal)?;)+
    }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
        pub enum $name {
            $(#[doc = $meaning] #[serde(rename = $word)] $variant,)+
        }

        impl Word for $name {
            const VOCABULARY: &'static str = $label;
            const ALL: &'static [Self] = &[$(Self::$variant),+];

            fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $word),+ }
            }

            fn meaning(self) -> &'static str {
                match self { $(Self::$variant => $meaning),+ }
            }

            fn arrives_with(self) -> Option<&'static str> {
                match self { $(Self::$variant => vocabulary!(@later $($work)?)),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }
    };
    (@later) => { None };
    (@later $work:literal) => { Some($work) };
}

vocabulary! {
    /// How one sidecar of one Pod differs from its rendering.
    Difference as "difference" {
        Changed = "changed", "a compared field of the sidecar has another value in the rendering";
        Missing = "missing", "rendered, but not running: the Pod was born before its injector, or while it was down";
        Removed = "removed", "running, but no longer rendered";
        Placement = "placement", "the sidecar moves between `containers` and `initContainers`";
        MutatedLive = "mutated_live", "somebody patched the image of the live Pod; its managedFields say so";
    }
}

vocabulary! {
    /// What is known of a workload. Where several apply the first one is given.
    Verdict as "verdict" {
        Rejected = "rejected", "its Pod would be refused if it were created again now";
        Undetermined = "undetermined", "no honest statement can be made now; the reason says why";
        NoPods = "no_pods", "it wants no Pods, and none of it runs";
        NonConvergent = "non_convergent", "it still differs after our own rollout";
        Removed = "removed", "a running sidecar is no longer rendered";
        Missing = "missing", "a rendered sidecar is not running";
        Drifted = "drifted", "a running sidecar is not the one that would be injected today";
        InSync = "in_sync", "every running sidecar is the one that would be injected today";
        NotInjected = "not_injected", "nothing is injected into its Pods";
    }
}

vocabulary! {
    /// Why a verdict is `undetermined`. The first that applies.
    UndeterminedReason as "reason" {
        Pending = "pending", "not asked yet";
        InjectorUnavailable = "injector_unavailable", "something that runs was not rendered, a sidecar or a field of one, and its injector may be down";
        DryRunUnsupported = "dry_run_unsupported", "a matching webhook does not support dry runs";
        DryRunSensitive = "dry_run_sensitive", "admission treats our request differently: because it is a dry run, or because of who asks";
        UnstableRendering = "unstable_rendering", "two renderings of the same template differ in the image";
        Settling = "settling", "something that injection depends on moved a moment ago";
        Rolling = "rolling", "the workload's own rollout is under way and moves on";
        PodsMissing = "pods_missing", "it wants Pods and has none, though they would be admitted";
        QuotaFull = "quota_full", "the namespace's quota is used up by the running Pods";
        Throttled = "throttled", "the API server asked us to slow down, or our own render budget is spent";
        Forbidden = "forbidden", "our ServiceAccount may not read or render it";
        UnsupportedOwner = "unsupported_owner", "its Pods have no owner whose template we can render: a bare Pod, a Job, an unknown kind";
        ApiError = "api_error", "any other failure of the API server or of the way to it";
    }
}

vocabulary! {
    /// Why a workload that differs is not being rolled now. The first that applies, in this order.
    Gate as "gate" {
        ReportOnly = "report_only", "the mode is `report`";
        DifferenceNotEnabled = "difference_not_enabled", "`--act-on` does not name this kind of difference";
        PatchedLive = "patched_live", "somebody patched the image of one of its running Pods by hand, and a rollout would undo that; `sidecar-drift retry` lets it";
        LossUnproven = "loss_unproven", "a rollout would take away something that runs and was not rendered, and that may only be missing because an injector is down; `sidecar-drift retry` lets it";
        OptedOut = "opted_out", "its owner said `ignore` or `report` by annotation, or may have: its Namespace cannot be read";
        Accepted = "accepted", "its owner accepted this drift until a date";
        Excluded = "excluded", "left out by a flag: its kind, or its Pods that differ are younger than the time given";
        ExcludedSystem = "excluded_system", "a system namespace, the namespace of an injector, or our own workload";
        BadAnnotation = "bad_annotation", "one of its sidecar-drift annotations has a value that means nothing";
        Unseen = "unseen", "something that decides about it cannot be seen: it may not be listed, or its watch has had no connection for a minute";
        Paused = "paused", "a person paused all rollouts, or this workload's, or the state ConfigMap cannot be read";
        WorkloadPaused = "workload_paused", "the workload's own rollouts are paused";
        Rolling = "rolling", "a rollout of the workload is under way";
        Unhealthy = "unhealthy", "some of its Pods are not available, or its last rollout failed, ours included";
        ClusterBusy = "cluster_busy", "too many Nodes are not ready";
        Cooldown = "cooldown", "we rolled it a short time ago";
        DailyCap = "daily_cap", "we rolled it as often as we may in 24 hours";
        OutsideWindow = "outside_window", "no maintenance window is open for it";
        PdbConflict = "pdb_conflict", "more than one PodDisruptionBudget selects its Pods, and the API server evicts no such Pod";
        PdbHeadroom = "pdb_headroom", "its PodDisruptionBudgets leave less room than the rollout takes beside those under way";
        SingleReplica = "single_replica", "its only replica would be down during the rollout";
        SurgeQuota = "surge_quota", "the quota of its namespace is full: not even one Pod more fits, as a rollout would need";
        RecreateStrategy = "recreate_strategy", "its strategy takes all Pods down at once";
        OnDelete = "on_delete", "its strategy replaces Pods only when somebody deletes them";
        UnsupportedOwner = "unsupported_owner", "nothing that we know how to roll owns its Pods";
        SelfRolling = "self_rolling", "an operator owns it, and decides about its Pods by itself";
        CollateralChange = "collateral_change", "a rollout would also change an app container";
        RateLimit = "rate_limit", "as many rollouts as allowed were started in the last 60 minutes";
        Concurrency = "concurrency", "as many rollouts as allowed are under way";
        NamespaceConcurrency = "namespace_concurrency", "a rollout is under way in its namespace";
        Canary = "canary", "the first rollout for this change has not proven itself yet, or failed: then a person must `resume` or `retry`";
        BreakerOpen = "breaker_open", "too many rollouts went wrong, in its namespace or in several; a person must resume";
        GuardMissing = "guard_missing", "the API server does not hold us to dry runs";
        InjectorUnhealthy = "injector_unhealthy", "the Deployment behind its injector is rolling or not ready";
        AlertFiring = "alert_firing", "an alert that blocks rollouts is firing, or was a moment ago, or it is not known";
        NotLeader = "not_leader", "another replica leads";
        AlreadyTried = "already_tried", "a rollout for this very rendering was made before";
        Reverted = "reverted", "somebody took the stamp of our last rollout away, as `kubectl rollout undo` does; `sidecar-drift retry` lets it be rolled again, for new drift, too";
        Rejected = "rejected", "its new Pods would be refused";
        BackingOff = "backing_off", "its last rollout has just ended or could not be started; it is tried again later";
        FirstSweep = "first_sweep", "not every workload has had its first verdict; of all that drifted the one with the least risk goes first";
    }
}

vocabulary! {
    /// How one rollout ended.
    Outcome as "outcome" {
        Converged = "converged", "finished, the new Pods are as rendered, and stayed ready";
        TimedOut = "timed_out", "not finished in time; it may still succeed and keeps its slot";
        Stalled = "stalled", "not finished in time, and will not by itself: a Node takes no Pod, new Pods are not scheduled, a quota is full, or it is paused; others may go on";
        Failed = "failed", "progress deadline exceeded, or the new Pods crash";
        NonConvergent = "non_convergent", "finished, but the new Pods still differ";
        Reverted = "reverted", "somebody removed the stamp";
        Superseded = "superseded", "the owner changed the template meanwhile, scaled it to zero or leaves it out, or its injector moved";
        Conflict = "conflict", "the workload changed between our reading and our patch, three times";
        Denied = "denied", "our patch was refused, or admission altered it";
    }
}

vocabulary! {
    /// Where a sidecar stands in its Pod.
    Placement as "placement" {
        Ordinary = "ordinary", "in `containers`";
        Native = "native", "in `initContainers` with `restartPolicy: Always`";
        Init = "init", "in `initContainers`, runs to completion before the Pod starts";
    }
}
