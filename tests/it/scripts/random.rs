//! Scripts that nobody wrote: inputs in random order, and then quiet.
//!
//! While they play [`super::rules`] must hold. When all is well again every workload has a verdict, and each that differs
//! is either rolled out or held by a gate that time alone does not lift. A failing case prints the script that it played;
//! put it beside the others.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use proptest::{prelude::*, test_runner::TestCaseError};
use sidecar_drift::core::model::{
    rollout_status::{self, Progress},
    words::{Gate, UndeterminedReason},
};

use super::{rules::Rules, stage::Stage};

/// One random choice: what, of whom, how, and how many seconds later.
type Choice = (u8, u8, u8, u8);

const WORKLOADS: [(&str, &str); 4] =
    [("deployment", "shop/a"), ("deployment", "shop/b"), ("statefulset", "bank/c"), ("daemonset", "bank/d")];

/// Gates that end by themselves, if nothing else happens.
const TRANSIENT: [Gate; 8] = [
    Gate::Rolling,
    Gate::RateLimit,
    Gate::Concurrency,
    Gate::NamespaceConcurrency,
    Gate::Canary,
    Gate::NotLeader,
    Gate::BackingOff,
    Gate::FirstSweep,
];

struct Random {
    stage: Stage,
    script: Vec<String>,
    seconds: u64,
    /// What is injected: its version.
    version: u32,
    running: bool,
    lagging: bool,
}

impl Random {
    fn new(cooldown: &str) -> Result<Self> {
        let (stage, script) = (Stage::new(), Vec::new());
        let mut random = Self { stage, script, seconds: 0, version: 1, running: false, lagging: false };
        random
            .play(&format!("policy mode=enforce per_hour=unlimited canary=1 soak=5s timeout=1m cooldown={cooldown}"))?;
        random.play("policy daily_cap=99 parallel=2 per_namespace=1 renders_in_flight=2")?;
        random.play("namespace shop")?;
        random.play("namespace bank")?;
        for (kind, path) in WORKLOADS {
            random.play(&format!("{kind} {path} proxy=0"))?;
        }
        random.play("injects proxy=1")?;
        random.start(true)?;
        Ok(random)
    }

    fn play(&mut self, line: &str) -> Result<()> {
        let line = format!("{}s {line}", self.seconds);
        self.script.push(line.clone());
        self.stage.out.clear();
        self.stage.play(&line)?;
        let rolling = self.stage.cluster.rolling();
        ensure!(rolling <= self.stage.policy.parallel_rollouts, "{rolling} workloads are rolled at once");
        Ok(())
    }

    fn start(&mut self, leader: bool) -> Result<()> {
        self.running = true;
        self.play(if leader { "start" } else { "start follower" })
    }

    /// Makes a random choice, as far as it is possible now.
    fn choose(&mut self, (what, whom, how, later): Choice) -> Result<()> {
        self.seconds += u64::from(later % 16);
        let path = WORKLOADS[usize::from(whom) % WORKLOADS.len()].1;
        let there = self.stage.cluster.find(path).is_ok();
        match what % 20 {
            0..=4 => self.answer_render(how),
            5 | 6 => self.answer_patch(how),
            7 | 8 if there => self.play(&format!("rolled {path}")),
            9 => {
                self.version += u32::from(how % 2);
                self.play(&format!("injects proxy={}", self.version))?;
                self.play(&format!("namespace shop x={}", how % 4))?;
                self.play(&format!("namespace bank x={}", how % 4))
            }
            10 if there => self.play(&format!("delete {path}")),
            10 | 11 if !there => {
                let kind = WORKLOADS[usize::from(whom) % WORKLOADS.len()].0;
                self.play(&format!("{kind} {path} proxy=0"))
            }
            11 => self.play(&format!("update {path} template={how}")),
            12 if there && how % 2 == 0 => self.play(&format!("strip {path}")),
            12 if there => self.play(&format!("status {path} deadline_exceeded")),
            13 if self.running && how % 3 == 0 => {
                self.running = false;
                self.play("crash")?;
                self.start(how % 2 == 0)
            }
            14 if self.running => self.play(if how % 3 == 0 { "follower" } else { "leader" }),
            15 => {
                self.play(["state paused later", "state resumed", "state missing", "state empty"][usize::from(how % 4)])
            }
            16 => {
                self.lagging = how % 2 == 0;
                self.play(["watches lag", "watches deliver", "watches lag", "watches relist"][usize::from(how % 4)])
            }
            17 if there => self.play(&format!("spec {path} @mode={}", if how % 3 == 0 { "report" } else { "enforce" })),
            18 if there && how % 2 == 0 => self.play(&format!("born {path} proxy={}", self.version)),
            _ => self.play("wait"),
        }
    }

    fn answer_render(&mut self, how: u8) -> Result<()> {
        let Some(request) = self.stage.renders.get(usize::from(how / 16) % self.stage.renders.len().max(1)) else {
            return self.play("wait");
        };
        let path = format!("{}/{}", request.workload.key.namespace, request.workload.key.name);
        if self.stage.cluster.find(&path).is_err() {
            return self.play(&format!("render_gone {path}"));
        }
        let answer = match how % 16 {
            0 => "-> api_error broken",
            1 => "-> rejected no",
            2 => "-> throttled slowly retry=20s",
            3 => "unread",
            4 => "-> nothing",
            5 => "-> proxy=77",
            _ => "",
        };
        self.play(&format!("render {path} {answer}"))
    }

    fn answer_patch(&mut self, how: u8) -> Result<()> {
        let Some(request) = self.stage.patches.first() else { return self.play("wait") };
        let path = format!("{}/{}", request.workload.key.namespace, request.workload.key.name);
        if self.stage.cluster.find(&path).is_err() {
            return self.play(&format!("patch_gone {path}"));
        }
        let answer = ["ok", "ok", "ok", "ok", "conflict", "lost", "unknown", "failed", "denied", "not_leader"];
        self.play(&format!("patch {path} {}", answer[usize::from(how) % answer.len()]))
    }

    /// All is well from here on, and time passes.
    fn heal(&mut self) -> Result<()> {
        self.play("watches relist")?;
        self.play("state resumed")?;
        self.play("leader")?;
        while !self.stage.renders.is_empty() {
            self.answer_render(15)?;
        }
        self.play("auto renders patches rolls 7s")?;
        while !self.stage.patches.is_empty() {
            self.answer_patch(0)?;
        }
        for (_, path) in WORKLOADS {
            let unfinished =
                |key| self.stage.cluster.workload(&key).is_some_and(|w| rollout_status::progress(w) != Progress::Done);
            if self.stage.cluster.find(path).is_ok_and(unfinished) {
                self.play(&format!("rolled {path}"))?;
            }
        }
        self.seconds += 60;
        self.play("state resumed")?;
        self.seconds += 1200;
        self.play("wait")
    }

    fn all_is_settled(&self) -> Result<()> {
        let report = self.stage.core()?.report(self.stage.now());
        Rules::nothing_pending(&report)?;
        ensure!(self.stage.idle(), "somebody waits for an answer that was given");
        for w in &report.workloads {
            let transient = w.gate.is_some_and(|gate| TRANSIENT.contains(&gate));
            // A breaker that opened after a person resumed is a matter for that person; so is what its canary waits for.
            let stopped = report.breaker.is_some() || report.breakers.contains_key(&w.namespace);
            ensure!(!transient || stopped, "{}/{} is still held by {:?}", w.namespace, w.name, w.gate);
            let rolling = w.reason == Some(UndeterminedReason::Rolling);
            ensure!(!rolling, "{}/{} is still rolling", w.namespace, w.name);
        }
        let open = report.rollouts.iter().filter(|r| r.outcome.is_none()).count();
        ensure!(open == 0, "{open} rollouts are still open");
        Ok(())
    }
}

fn run(choices: &[Choice], long_cooldown: bool) -> Result<()> {
    let mut random = Random::new(if long_cooldown { "24h" } else { "10s" })?;
    let played = choices.iter().try_for_each(|choice| random.choose(*choice));
    let played = played.and_then(|()| random.heal()).and_then(|()| random.all_is_settled());
    let twice = random.stage.cluster.most_stamps();
    let played = played.and_then(|()| {
        ensure!(!long_cooldown || twice <= 1, "a workload was rolled {twice} times within its cool-down");
        Ok(())
    });
    played.with_context(|| random.script.join("\n"))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_it_ends_with_a_verdict_for_each_and_nothing_left_open(
        choices in prop::collection::vec(any::<Choice>(), 0..80),
        long_cooldown in any::<bool>(),
    ) {
        run(&choices, long_cooldown).map_err(|error| TestCaseError::fail(format!("{error:?}")))?;
    }
}

#[test]
fn a_quiet_run_rolls_everything_once() -> Result<()> {
    let mut random = Random::new("24h")?;
    random.heal()?;
    random.all_is_settled()?;
    ensure!(random.stage.cluster.most_stamps() == 1, "nothing was rolled");
    ensure!(random.stage.now().elapsed > Duration::from_mins(20), "no time has passed");
    Ok(())
}
