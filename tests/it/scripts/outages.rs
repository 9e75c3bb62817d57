//! Outages of what fails open, in any interleaving (rule R7): nothing is rolled while something that runs is not rendered.
//!
//! A policy adds the agent; of two webhooks that fail open one gives it a variable and one adds a container of its own. They go down
//! and come back at random, while namespaces and the agent's version move. `make properties` plays 10,000 such histories.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result, ensure};
use proptest::{prelude::*, test_runner::TestCaseError};

use sidecar_drift::core::model::PodSnapshot;

use super::stage::Stage;

const WORKLOADS: [&str; 3] = ["shop/a", "shop/b", "bank/c"];

/// How many seconds after the one before, and what happens then.
type Event = (u16, u8);

struct Outages {
    stage: Stage,
    script: Vec<String>,
    seconds: u64,
    identity: bool,
    mesh: bool,
    version: u32,
    moves: u32,
    /// Which workloads have the variable, and the container, in some Pod of theirs, as it was before the last line.
    had: BTreeMap<&'static str, (bool, bool)>,
}

impl Outages {
    fn new(act_on: &str) -> Result<Self> {
        let (stage, script) = (Stage::new(), Vec::new());
        let mut outages =
            Self { stage, script, seconds: 0, identity: true, mesh: true, version: 1, moves: 0, had: BTreeMap::new() };
        let policy = format!("policy mode=enforce act_on={act_on} canary=0 per_hour=unlimited without_guard=yes");
        outages.play(&policy)?;
        // The shorter the absence, the easier it is to take an outage for a loss.
        outages.play("policy absence=1m cooldown=1m daily_cap=99 timeout=1m")?;
        for line in ["namespace shop", "namespace bank", "mutating_policy agent", "binding agent of=agent"] {
            outages.play(line)?;
        }
        for line in ["webhook identity ignores_failure", "webhook mesh ignores_failure"] {
            outages.play(line)?;
        }
        for path in WORKLOADS {
            outages.play(&format!("deployment {path} agent=1,ROLE=x proxy=1"))?;
        }
        outages.inject()?;
        outages.play("auto renders patches rolls 5s")?;
        outages.play("start")?;
        Ok(outages)
    }

    fn play(&mut self, line: &str) -> Result<()> {
        let line = format!("{}s {line}", self.seconds);
        self.script.push(line.clone());
        self.stage.out.clear();
        self.had = WORKLOADS.iter().filter_map(|path| Some((*path, self.has(path)?))).collect();
        self.stage.play(&line)
    }

    fn inject(&mut self) -> Result<()> {
        let role = if self.identity { ",ROLE=x" } else { "" };
        let proxy = if self.mesh { " proxy=1" } else { "" };
        let line = format!("injects agent={}{role}{proxy}", self.version);
        self.play(&line)
    }

    /// Time passes with everything as it is.
    fn pass(&mut self, seconds: u64) -> Result<usize> {
        self.seconds += seconds;
        self.play("wait")?;
        self.rolled()
    }

    fn has(&self, path: &str) -> Option<(bool, bool)> {
        let pods = self.stage.cluster.pods_of(&self.stage.cluster.find(path).ok()?);
        let role = |pod: &PodSnapshot| {
            pod.shape.container("agent").is_some_and(|c| !c.projection.value()["env"]["ROLE"].is_null())
        };
        let proxy = |pod: &PodSnapshot| pod.shape.container("proxy").is_some();
        Some((pods.iter().any(role), pods.iter().any(proxy)))
    }

    /// How many rollouts that line began. None may take away what is only missing. Pods that were born during an outage lack it
    /// already.
    fn rolled(&self) -> Result<usize> {
        let patches = self.stage.out.iter().filter_map(|line| line.strip_prefix("> patch Deployment/"));
        let patches: Vec<_> = patches.filter_map(|line| line.split(' ').next()).collect();
        for path in &patches {
            let (role, proxy) = self.had.get(path).copied().unwrap_or_default();
            let taken = (role && !self.identity) || (proxy && !self.mesh);
            ensure!(!taken, "{path} was rolled while something was missing:\n{}", self.stage.out.join("\n"));
        }
        Ok(patches.len())
    }

    fn happen(&mut self, (later, what): Event) -> Result<usize> {
        let mut rolled = self.pass(u64::from(later))?;
        match what % 8 {
            0..=2 => self.identity = !self.identity,
            3 | 4 => self.mesh = !self.mesh,
            5 => self.version += 1,
            _ => {}
        }
        self.inject()?;
        rolled += self.rolled()?;
        self.moves += 1;
        let moves = self.moves;
        match what % 8 {
            5 => self.play(&format!("mutating_policy agent hash={moves}"))?,
            6 => self.play(&format!("namespace shop team={moves}"))?,
            7 => self.play(&format!("namespace bank team={moves}"))?,
            _ => return Ok(rolled),
        }
        Ok(rolled + self.rolled()?)
    }
}

fn run(events: &[Event], act_on: &str) -> Result<usize> {
    let mut outages = Outages::new(act_on)?;
    let played = events.iter().try_fold(0, |rolled, event| Ok::<_, anyhow::Error>(rolled + outages.happen(*event)?));
    played.with_context(|| outages.script.join("\n"))
}

fn events() -> impl Strategy<Value = Vec<Event>> {
    let later = prop_oneof![4 => 0_u16..30, 3 => 30_u16..120, 2 => 120_u16..900];
    prop::collection::vec((later, any::<u8>()), 1..24)
}

fn check(events: &[Event]) -> Result<(), TestCaseError> {
    let rolled = run(events, "changed,removed,missing,placement");
    rolled.map(drop).map_err(|error| TestCaseError::fail(format!("{error:?}")))
}

proptest! {
    #![proptest_config(ProptestConfig {
        cases: ProptestConfig::default().cases / 4,
        max_shrink_time: 60_000,
        ..ProptestConfig::default()
    })]

    #[test]
    fn no_interleaving_of_outages_makes_a_rollout(events in events()) {
        check(&events)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "takes minutes"]
    fn no_interleaving_of_outages_makes_a_rollout_in_ten_thousand_cases(events in events()) {
        check(&events)?;
    }
}

#[test]
fn what_differs_while_all_is_up_is_rolled() -> Result<()> {
    // Namespaces move while the webhook is down; it comes back; the agent moves.
    let rolled = run(&[(10, 0), (10, 6), (200, 0), (400, 5), (600, 255)], "changed")?;
    ensure!(rolled == 3, "{rolled} were rolled");
    Ok(())
}
