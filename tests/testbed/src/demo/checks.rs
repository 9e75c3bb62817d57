//! What must hold for the demo to have shown anything.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::{Context as _, Result, bail};
use jiff::SignedDuration;
use serde_json::Value;

use crate::demo::enforce::Rollout;
use crate::demo::fleet::{By, Fate, Fleet, MEMBERS, Member, Snapshot};
use crate::demo::screen::Screen;

/// The annotations of a rollout on a Pod template.
const STAMP: [&str; 3] =
    ["sidecarRollout.rollout.timestamp", "sidecarRollout.rollout.reason", "sidecarRollout.rollout.fingerprint"];

/// On a busy machine a line is in the log a moment after what it tells of, and the pause between two lines seems shorter.
const LOG_DELAY: SignedDuration = SignedDuration::from_secs(1);

/// The checks, with those that failed.
#[derive(Debug, Default)]
pub(super) struct Checks {
    made: usize,
    failed: usize,
}

/// What is wrong, in sentences; nothing: all is well.
pub(super) type Wrong = Vec<String>;

impl Checks {
    /// Says that something holds, or everything that is wrong with it.
    pub(super) fn check(&mut self, screen: &Screen, holds: &str, wrong: &[String]) {
        self.made += 1;
        screen.result(wrong.is_empty(), holds);
        for what in wrong {
            screen.say(format_args!("    {what}"));
        }
        self.failed += usize::from(!wrong.is_empty());
    }

    /// The end: says that all held, or fails.
    pub(super) fn verdict(&self, screen: &Screen) -> Result<()> {
        let Self { made, failed } = self;
        if *failed > 0 {
            bail!("{failed} of {made} checks of the demo failed; see \"FAILED\" above");
        }
        screen.gap();
        screen.title(format_args!("All {made} checks held. The whole demo took {:.0} s.", screen.seconds()));
        Ok(())
    }
}

/// The workloads with such a fate.
pub(super) fn with(fate: impl Fn(Fate) -> bool) -> impl Iterator<Item = &'static Member> {
    MEMBERS.iter().filter(move |member| fate(member.fate))
}

/// How many workloads will be rolled.
pub(super) fn to_roll() -> usize {
    with(|fate| fate == Fate::Rolled).count()
}

/// Whether a scan (its JSON) has found exactly what is there: each workload with the verdict that it should have.
pub(super) fn verdicts(scan: &str, rolled: bool) -> Result<Wrong> {
    let scan: Value = serde_json::from_str(scan).context("the JSON of a scan cannot be read")?;
    let mut found = BTreeMap::new();
    for workload in scan["workloads"].as_array().context("the JSON of a scan has no workloads")? {
        let text = |key: &str| workload[key].as_str().unwrap_or_default();
        let reason = if text("reason").is_empty() { String::new() } else { format!(" ({})", text("reason")) };
        let name = format!("{}/{}/{}", text("kind"), text("namespace"), text("name"));
        found.insert(name, format!("{}{reason}", text("verdict")));
    }
    let mut wrong = Wrong::new();
    for member in &MEMBERS {
        let expected = match member.fate {
            Fate::Rolled if rolled => "in_sync",
            Fate::Rolled | Fate::OptedOut => "drifted",
            Fate::InSync => "in_sync",
            Fate::Unsupported => "undetermined (unsupported_owner)",
        };
        let verdict = found.remove(&member.to_string()).unwrap_or_else(|| "not listed".to_owned());
        if verdict != expected {
            wrong.push(format!("{member} is {verdict} and should be {expected}"));
        }
    }
    wrong.extend(found.into_iter().map(|(name, verdict)| format!("{name} is {verdict} and nobody deployed it")));
    Ok(wrong)
}

/// Each drifted workload was rolled once: one more revision than before, which alone carries the stamp.
pub(super) async fn rolled_once(fleet: &Fleet<'_>, before: &BTreeMap<String, usize>) -> Result<Wrong> {
    let mut wrong = Wrong::new();
    for member in with(|fate| fate == Fate::Rolled) {
        let revisions = fleet.namespace(member)?.revisions_of(member.kind, member.name).await?;
        let new = revisions.len().saturating_sub(before.get(&member.to_string()).copied().unwrap_or_default());
        if new != 1 {
            wrong.push(format!("{member} has {new} new revisions and should have 1"));
        }
        let stamped = |annotations: &BTreeMap<String, String>| STAMP.iter().all(|key| annotations.contains_key(*key));
        let stamps = revisions.iter().filter(|revision| stamped(&revision.annotations)).count();
        if stamps != 1 || !revisions.last().is_some_and(|newest| stamped(&newest.annotations)) {
            wrong.push(format!("{member} has {stamps} stamped revisions; the newest one, and no other, should be"));
        }
    }
    Ok(wrong)
}

/// The revisions of each workload that will be rolled.
pub(super) async fn revisions(fleet: &Fleet<'_>) -> Result<BTreeMap<String, usize>> {
    let mut revisions = BTreeMap::new();
    for member in with(|fate| fate == Fate::Rolled) {
        let found = fleet.namespace(member)?.revisions_of(member.kind, member.name).await?;
        revisions.insert(member.to_string(), found.len());
    }
    Ok(revisions)
}

/// Every Pod of a rolled workload is a new one with the sidecar that is injected now; returns how many there are, too.
pub(super) fn up_to_date(fleet: &Fleet<'_>, before: &Snapshot, after: &Snapshot) -> (usize, Wrong) {
    let mut wrong = Wrong::new();
    let mut pods = 0;
    for member in with(|fate| fate == Fate::Rolled) {
        let (old, new) = (before.get(&member.to_string()), after.get(&member.to_string()));
        let wanted = fleet.image(member);
        for (uid, image) in new.into_iter().flatten() {
            pods += 1;
            if *image != wanted {
                wrong.push(format!("a Pod of {member} runs {image} and should run {wanted}"));
            }
            if old.is_some_and(|old| old.contains_key(uid)) {
                wrong.push(format!("a Pod of {member} was not replaced"));
            }
        }
    }
    (pods, wrong)
}

/// Nobody touched the Pods of the workloads with this fate; returns how many Pods there are, too.
pub(super) fn untouched(before: &Snapshot, after: &Snapshot, fate: Fate) -> (usize, Wrong) {
    let mut wrong = Wrong::new();
    let mut pods = 0;
    for member in with(|one| one == fate) {
        let uids = |snapshot: &Snapshot| {
            let pods = snapshot.get(&member.to_string()).into_iter().flatten();
            pods.map(|(uid, _)| uid.clone()).collect::<BTreeSet<_>>()
        };
        let (old, new) = (uids(before), uids(after));
        let lost = old.difference(&new).count();
        pods += new.len();
        if lost > 0 || new.len() != old.len() {
            wrong.push(format!("{lost} of {} Pods of {member} were replaced", old.len()));
        }
    }
    (pods, wrong)
}

/// A rollout that has ended was watched for so long before (`--min-ready`). Its Pods were ready by then, so it was in nobody's way.
const WATCHED: SignedDuration = SignedDuration::from_secs(5);

/// The order and number of rollouts: each workload once, one canary for a change and then a pause, no more at once than
/// allowed. Says what was measured, too.
pub(super) fn paced(rollouts: &[Rollout], parallel: usize, soak: SignedDuration) -> (String, Wrong) {
    let mut wrong = Wrong::new();
    let expected: BTreeSet<_> = with(|fate| fate == Fate::Rolled).map(Member::to_string).collect();
    let mut names: Vec<_> = rollouts.iter().map(|rollout| rollout.workload.clone()).collect();
    names.sort();
    if !names.iter().eq(&expected) {
        wrong.push(format!("the log tells of rollouts of {}", names.join(", ")));
    }
    let mut most = 0;
    for (number, rollout) in rollouts.iter().enumerate() {
        let under_way: Vec<_> =
            rollouts.iter().take(number).filter(|other| other.ended - WATCHED > rollout.started).collect();
        most = most.max(under_way.len() + 1);
        let namespace = |rollout: &Rollout| rollout.workload.split('/').nth(1).map(str::to_owned);
        if under_way.iter().any(|other| namespace(other) == namespace(rollout)) {
            wrong.push(format!("{} began while another of its namespace was under way", rollout.workload));
        }
    }
    if most > parallel {
        wrong.push(format!("{most} were under way at once, although {parallel} are allowed"));
    }
    // Each injector that changed is proven by a canary of its own.
    let mut of_injector: BTreeMap<By, Vec<&Rollout>> = BTreeMap::new();
    for rollout in rollouts {
        if let Some(member) = MEMBERS.iter().find(|member| member.to_string() == rollout.workload) {
            of_injector.entry(member.by).or_default().push(rollout);
        }
    }
    let pauses = of_injector.values().filter_map(|rollouts| match rollouts[..] {
        [canary, next, ..] => Some(next.started.duration_since(canary.ended)),
        _ => None,
    });
    let pause = pauses.min().unwrap_or_default();
    if pause + LOG_DELAY < soak {
        wrong.push(format!("one began before the first of its injector had been watched for {} s", soak.as_secs()));
    }
    let pause = pause.as_secs_f64();
    (format!("each other {pause:.1} s or more after the first of its injector, at most {most} at once"), wrong)
}
