//! Whatever is written beside an injector, and however often: a change that is there is told. `make properties` plays 10,000 such
//! histories.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context as _, Result, ensure};
use proptest::{prelude::*, test_runner::TestCaseError};
use sidecar_drift::core::model::{Name, words::Verdict};

use super::stage::Stage;

/// Which object is written, and how many seconds after the one before.
type Write = (u8, u8);

const WORKLOADS: usize = 5;

/// What is rendered once more is believed by then, if it could be seen in two renderings.
const BOUND: Duration = Duration::from_mins(2);

/// A change of what an injector reads is found within three minutes, however late the injector sees it; what is written meanwhile
/// may make it settle for a few more.
const FOUND: Duration = Duration::from_mins(6);

struct Noise {
    stage: Stage,
    script: Vec<String>,
    seconds: u64,
    names: u32,
    /// Workloads of which it was said that they differ.
    told: BTreeSet<Name>,
}

impl Noise {
    fn new() -> Result<Self> {
        let mut noise = Self { stage: Stage::new(), script: Vec::new(), seconds: 0, names: 0, told: BTreeSet::new() };
        noise.stage.blind = true;
        for line in [
            "namespace mesh",
            "namespace shop mesh=on",
            "webhook mesh select=mesh:on service=mesh/injector",
            "service mesh/injector app=injector",
            "endpoints mesh/injector-1 of=injector ready=injector-1-a",
            "configmap mesh/config hash=0",
            "serviceaccount shop/default hash=0",
            "deployment mesh/injector bare replicas=1",
            "injects mesh/injector",
            "injects proxy=1",
            "auto renders",
        ] {
            noise.play(line)?;
        }
        for n in 0..WORKLOADS {
            noise.play(&format!("deployment shop/w{n} proxy=1"))?;
        }
        noise.play("start")?;
        Ok(noise)
    }

    fn play(&mut self, line: &str) -> Result<()> {
        let line = format!("{}s {line}", self.seconds);
        self.script.push(line.clone());
        self.stage.out.clear();
        self.stage.play(&line)
    }

    fn write(&mut self, (what, later): Write) -> Result<()> {
        self.seconds += u64::from(later % 16);
        self.names += 1;
        let number = self.names;
        match what % 8 {
            0 | 1 => self.play(&format!("configmap mesh/status hash={number}")),
            2 => self.play(&format!("configmap mesh/leader-{} hash={number}", what % 3)),
            3 => self.play(&format!("configmap mesh/job-{number} hash=1")),
            4 => self.play(&format!("namespace shop mesh=on note={number}")),
            5 => self.play(&format!("serviceaccount shop/default hash={number}")),
            6 => self.play(&format!("namespace mesh note={number}")),
            _ => self.play("wait"),
        }
    }

    /// What was rendered since the change in two renderings, a while ago, is told; and if `found`, all of it is.
    fn is_told(&mut self, since: Duration, found: bool) -> Result<()> {
        let now = self.stage.now();
        let report = self.stage.core()?.report(now);
        for w in report.workloads.iter().filter(|w| &*w.namespace == "shop") {
            if w.verdict == Verdict::Drifted {
                self.told.insert(w.name.clone());
            }
            let of = self.stage.rendered.iter().filter(|(at, key)| *at >= since && key.name == w.name);
            let second = of.map(|(at, _)| *at).nth(1);
            let must = found || second.is_some_and(|at| now.elapsed >= at + BOUND);
            ensure!(!must || self.told.contains(&w.name), "{} is {} ({:?})", w.name, w.verdict, w.reason);
        }
        Ok(())
    }

    fn run(&mut self, before: &[Write], after: &[Write], late: u8) -> Result<()> {
        before.iter().try_for_each(|write| self.write(*write))?;
        let asked = self.stage.rendered.len();
        // Each once at the start, once for what may concern all of them and once for what may concern their namespace; the rest
        // are samples.
        let most = 3 * (WORKLOADS + 1) + 60;
        ensure!(asked <= most, "{asked} renderings by noise alone");
        self.play("configmap mesh/config hash=1")?;
        let announced = Duration::from_secs(self.seconds);
        let takes_effect = self.seconds + u64::from(late % 100);
        let mut after = after.iter().cycle();
        let mut since = None;
        while Duration::from_secs(self.seconds) < announced + FOUND + Duration::from_secs(30) {
            if since.is_none() && self.seconds >= takes_effect {
                self.play("injects proxy=2")?;
                since = Some(Duration::from_secs(self.seconds));
            }
            let (what, later) = after.next().map_or((7, 10), |(what, later)| (*what, later | 1));
            // What is written makes those settle that it moves, so one looks right before.
            self.write((7, later))?;
            if let Some(since) = since {
                self.is_told(since, false)?;
            }
            self.write((what, 0))?;
            if let Some(since) = since {
                self.is_told(since, Duration::from_secs(self.seconds) >= announced + FOUND)?;
            }
        }
        Ok(())
    }
}

fn check(before: &[Write], after: &[Write], late: u8) -> Result<(), TestCaseError> {
    let failed = |error: anyhow::Error| TestCaseError::fail(format!("{error:?}"));
    let mut noise = Noise::new().map_err(failed)?;
    let played = noise.run(before, after, late);
    played.with_context(|| noise.script.join("\n")).map_err(failed)
}

fn writes(most: usize) -> impl Strategy<Value = Vec<Write>> {
    prop::collection::vec(any::<Write>(), 0..most)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    fn r8_a_change_under_any_noise_is_told(before in writes(40), after in writes(20), late in any::<u8>()) {
        check(&before, &after, late)?;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 10_000, max_shrink_time: 60_000, ..ProptestConfig::default() })]

    #[test]
    #[ignore = "takes minutes"]
    fn r8_a_change_under_any_noise_is_told_in_ten_thousand_cases(
        before in writes(40),
        after in writes(20),
        late in any::<u8>(),
    ) {
        check(&before, &after, late)?;
    }
}
