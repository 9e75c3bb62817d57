//! What may go wrong, or only happen, in a history.

use std::time::Duration;

use sidecar_drift::core::{
    io::WatchKind,
    model::{InjectorKind, Strategy, WorkloadKey, owner::Kind, words::UndeterminedReason},
};

use super::{
    injection::TROUBLES,
    random::Random,
    scenario::{self, NAMESPACES},
};

/// How an injector's change becomes known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Notice {
    /// A ConfigMap behind it moves, and it reads that later.
    ConfigMap,
    /// Its configuration moves.
    Configuration,
    /// The labels of one namespace choose another revision of it.
    Labels,
    /// Nobody says anything.
    None,
}

/// One thing that happens, and is undone after a while where that makes sense.
#[derive(Clone, Debug)]
pub(super) enum Fault {
    // The injector
    InjectorMoves(Notice),
    InjectorGoesBack,
    InjectorIgnoresFailures,
    InjectorFails,
    InjectorIsExchanged,
    PlacementMoves,
    DigestMoves,
    SwitchedOff(usize),
    Wavers,
    Nonce,
    Period,
    DryRunsDiffer,
    DryRunsUnsupported,
    PodsRefused(usize),
    RenderTrouble(usize, UndeterminedReason),
    // Owners
    OwnerUpdates(usize),
    OwnerScales(usize, u32),
    OwnerPauses(usize),
    OwnerDeletes(usize),
    OwnerChangesStrategy(usize, Strategy),
    OwnerSays(usize, &'static str, &'static str),
    NamespaceSays(usize, &'static str, &'static str),
    StampStripped(usize),
    /// A tool that puts the template back again and again.
    StampFought(usize),
    PodPatchedByHand(usize),
    StrayPod,
    // The platform
    PodsCrash(usize),
    PodsStuck(usize),
    PodsWithheld(usize),
    PodEvicted(usize),
    NodesDown,
    BudgetShort(usize),
    // The API server, and the way to it
    ApiSlow,
    ApiDown,
    PatchesFail,
    PatchesDenied,
    PatchesConflict,
    RepliesLost,
    GuardGone,
    AlertFires,
    PrometheusDown,
    StateMissing,
    StateUnwritable,
    // Ourselves
    Crash(usize),
    Terminated(usize),
    Suspended(usize),
    Partitioned(usize),
    ClockJumps(usize, i64),
    WatchLost(usize, WatchKind),
    WatchLags(usize, WatchKind),
    WatchForbidden(usize, WatchKind),
    WatchDown(usize, WatchKind),
    // People
    PersonPauses,
    PersonResumes,
    PersonRetries(usize),
}

impl Fault {
    /// Its name in the table of what was reached.
    pub(super) fn name(&self) -> String {
        let text = format!("{self:?}");
        let name: String = text.chars().take_while(|c| c.is_alphanumeric()).collect();
        match self {
            Self::InjectorMoves(notice) => format!("{name}{notice:?}"),
            Self::OwnerSays(_, key, _) | Self::NamespaceSays(_, key, _) => format!("{name} {key}"),
            _ => name,
        }
    }
}

/// Every name that [`Fault::name`] may give.
pub(super) const NAMES: &[&str] = &[
    "InjectorMovesConfigMap",
    "InjectorMovesConfiguration",
    "InjectorMovesLabels",
    "InjectorMovesNone",
    "InjectorGoesBack",
    "InjectorIgnoresFailures",
    "InjectorFails",
    "InjectorIsExchanged",
    "PlacementMoves",
    "DigestMoves",
    "SwitchedOff",
    "Wavers",
    "Nonce",
    "Period",
    "DryRunsDiffer",
    "DryRunsUnsupported",
    "PodsRefused",
    "RenderTrouble",
    "OwnerUpdates",
    "OwnerScales",
    "OwnerPauses",
    "OwnerDeletes",
    "OwnerChangesStrategy",
    "OwnerSays mode",
    "OwnerSays paused",
    "OwnerSays accept-until",
    "OwnerSays window",
    "NamespaceSays mode",
    "NamespaceSays paused",
    "NamespaceSays window",
    "StampStripped",
    "StampFought",
    "PodPatchedByHand",
    "StrayPod",
    "PodsCrash",
    "PodsStuck",
    "PodsWithheld",
    "PodEvicted",
    "NodesDown",
    "BudgetShort",
    "ApiSlow",
    "ApiDown",
    "PatchesFail",
    "PatchesDenied",
    "PatchesConflict",
    "RepliesLost",
    "GuardGone",
    "AlertFires",
    "PrometheusDown",
    "StateMissing",
    "StateUnwritable",
    "Crash",
    "Terminated",
    "Suspended",
    "Partitioned",
    "ClockJumps",
    "WatchLost",
    "WatchLags",
    "WatchForbidden",
    "WatchDown",
    "PersonPauses",
    "PersonResumes",
    "PersonRetries",
];

const SAYS: [(&str, &str); 8] = [
    ("mode", "report"),
    ("mode", "ignore"),
    ("paused", "true"),
    ("accept-until", "2026-12-31"),
    ("accept-until", "soon"),
    ("window", "never"),
    ("window", WINDOWS[0].0),
    ("window", WINDOWS[1].0),
];

/// Maintenance windows, and when they are open, in seconds of a history.
pub(super) const WINDOWS: [(&str, &[(u64, u64)]); 4] = [
    ("Mon 10:06-10:12 UTC; Mon 11:10-11:30 UTC", &[(360, 720), (4200, 5400)]),
    ("02:30-06:00 America/New_York", &[(0, 3600)]),
    ("Mon-Wed 11:12-11:30 Europe/Berlin; 10:50-11:20 UTC", &[(720, 1800), (3000, 4800)]),
    ("Sun 00:00-24:00 UTC", &[]),
];

/// Whether one of these windows is open at this time of a history, give or take the slack. Others are none of ours.
pub(super) fn is_open(window: &str, at: Duration, slack: Duration) -> bool {
    let slack = slack.as_secs();
    let within = |(from, to): &(u64, u64)| at.as_secs() + slack >= *from && at.as_secs() < *to + slack;
    WINDOWS.iter().find(|(text, _)| *text == window).is_none_or(|(_, open)| open.iter().any(within))
}

/// One of all, the likely ones more often.
pub(super) fn any(random: &mut Random, fleet: &[(WorkloadKey, u32, Strategy)]) -> Fault {
    let at = usize::try_from(random.below(fleet.len() as u64)).unwrap_or(0);
    let namespace = usize::try_from(random.below(2)).unwrap_or(0);
    let process = usize::try_from(random.below(2)).unwrap_or(0);
    let watch = watch(random);
    match random.below(82) {
        0..=2 => Fault::InjectorMoves(Notice::ConfigMap),
        3..=5 => Fault::InjectorMoves(Notice::Configuration),
        6 => Fault::InjectorMoves(Notice::Labels),
        7 => Fault::InjectorMoves(Notice::None),
        8 => Fault::InjectorGoesBack,
        9 => Fault::InjectorIgnoresFailures,
        10 => Fault::InjectorFails,
        11 | 74 => Fault::InjectorIsExchanged,
        12 => Fault::PlacementMoves,
        13 => Fault::DigestMoves,
        14 => Fault::SwitchedOff(namespace),
        15 => Fault::Wavers,
        16 => Fault::Nonce,
        17 => Fault::Period,
        18 => Fault::DryRunsDiffer,
        19 => Fault::DryRunsUnsupported,
        20 => Fault::PodsRefused(namespace),
        21..=23 => Fault::RenderTrouble(namespace, random.one_of(&TROUBLES)),
        24 | 25 => Fault::OwnerUpdates(at),
        26 => Fault::OwnerScales(at, u32::try_from(random.below(4)).unwrap_or(0)),
        27 => Fault::OwnerPauses(at),
        28 => Fault::OwnerDeletes(at),
        29 => Fault::OwnerChangesStrategy(at, scenario::strategy(random, fleet[at].0.kind)),
        30..=32 => {
            let (key, value) = random.one_of(&SAYS);
            Fault::OwnerSays(at, key, value)
        }
        33 => {
            let (key, value) = random.one_of(&[SAYS[0], SAYS[1], SAYS[2], SAYS[6]]);
            Fault::NamespaceSays(namespace, key, value)
        }
        34 | 35 => Fault::StampStripped(at),
        36 | 75 => Fault::StampFought(at),
        37 => Fault::PodPatchedByHand(at),
        38 => Fault::StrayPod,
        39 | 40 => Fault::PodsCrash(at),
        41 | 42 => Fault::PodsStuck(at),
        43 => Fault::PodEvicted(at),
        44 => Fault::NodesDown,
        45 => Fault::BudgetShort(at),
        46 => Fault::ApiSlow,
        47 => Fault::ApiDown,
        48 => Fault::PatchesFail,
        49 => Fault::PatchesDenied,
        50 | 51 => Fault::RepliesLost,
        52 => Fault::GuardGone,
        53 => Fault::StateMissing,
        54 => Fault::StateUnwritable,
        55..=57 => Fault::Crash(process),
        58 => Fault::Terminated(process),
        59 => Fault::Suspended(process),
        60 => Fault::Partitioned(process),
        61 => Fault::ClockJumps(process, random.one_of(&[-600, -60, 60, 600])),
        62 => Fault::WatchLost(process, watch),
        63 | 64 => Fault::WatchLags(process, watch),
        65 => Fault::WatchForbidden(process, watch),
        66 => Fault::PersonPauses,
        67 => Fault::AlertFires,
        68 => Fault::PrometheusDown,
        69..=71 => Fault::PersonRetries(at),
        72 | 73 => Fault::PatchesConflict,
        76 => Fault::NamespaceSays(namespace, SAYS[6].0, SAYS[6].1),
        77 | 78 => Fault::PodsWithheld(at),
        79 | 80 => Fault::WatchDown(process, watch),
        _ => Fault::PersonResumes,
    }
}

fn watch(random: &mut Random) -> WatchKind {
    random.one_of(&[
        WatchKind::Pods,
        WatchKind::Workloads(Kind::DEPLOYMENT),
        WatchKind::Workloads(Kind::STATEFUL_SET),
        WatchKind::Workloads(Kind::DAEMON_SET),
        WatchKind::ReplicaSets,
        WatchKind::Namespaces,
        WatchKind::Nodes,
        WatchKind::DisruptionBudgets,
        WatchKind::Injectors(InjectorKind::MutatingWebhookConfiguration),
    ])
}

/// The most that all jumps of all clocks of a history may come to.
pub(super) fn jumps<'a>(faults: impl Iterator<Item = &'a Fault>) -> Duration {
    let jump = |fault: &Fault| match fault {
        Fault::ClockJumps(_, seconds) => seconds.unsigned_abs(),
        _ => 0,
    };
    Duration::from_secs(faults.map(jump).sum())
}

pub(super) fn namespace(at: usize) -> &'static str {
    NAMESPACES[at]
}
