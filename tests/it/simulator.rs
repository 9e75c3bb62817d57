//! Whole histories from a seed: a cluster with its controllers and an injector, and one or two processes of ours in it, to
//! which everything happens that may. After every step [`rules`] must hold of each process, and [`truth`] of the cluster;
//! when all has been well for a while, [`settled`] says how everything must have ended.
//!
//! `make simulate SEEDS=10000` plays many; `make simulate SEED=17` plays one and prints all of it.

mod agenda;
mod cluster;
mod controllers;
mod coverage;
mod evictions;
mod fault;
mod feeds;
mod forbids;
mod history;
pub(crate) mod injection;
mod inspect;
mod order;
mod process;
mod quiet;
mod random;
pub(crate) mod recordings;
mod relief;
mod rules;
mod scenario;
mod server;
mod settled;
mod tamper;
mod theme;
mod trouble;
mod truth;
mod waiting;
mod weather;
mod world;

use std::{
    collections::BTreeMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    thread,
};

use anyhow::{Context as _, Result, anyhow, bail, ensure};

use self::{coverage::Coverage, scenario::Scenario, tamper::Tamper, world::World};

/// Plays one history; its words, and how many writes and steps there were.
fn play(scenario: Scenario, tamper: Tamper, written_down: bool) -> (World, Result<()>) {
    let mut world = World::new(scenario, tamper, written_down);
    // A panic of the core is a finding like any other.
    let played = catch_unwind(AssertUnwindSafe(|| world.play()));
    let played = played.unwrap_or_else(|panic| {
        let text = panic.downcast_ref::<String>().cloned();
        let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
        Err(anyhow!("the core panicked: {}", text.unwrap_or_default()))
    });
    (world, played)
}

/// Which rule it is that is broken: what it says, without numbers and names.
fn rule_of(scenario: &Scenario, tamper: Tamper) -> Option<String> {
    let why = format!("{:#}", play(scenario.clone(), tamper, false).1.err()?);
    let is_word = |word: &&str| word.chars().all(|c| c.is_ascii_lowercase());
    Some(why.split_whitespace().filter(is_word).collect::<Vec<_>>().join(" "))
}

/// The same history with fewer faults, as long as it breaks the same rule.
fn shrunk(scenario: Scenario, tamper: Tamper) -> Scenario {
    let mut least = scenario;
    let rule = rule_of(&least, tamper);
    loop {
        let without = |at: usize| {
            let mut fewer = least.clone();
            match at.checked_sub(least.faults.len()) {
                Some(at) => drop(fewer.weather.remove(at)),
                None => drop(fewer.faults.remove(at)),
            }
            fewer
        };
        let mut fewer = (0..least.faults.len() + least.weather.len()).rev().map(without);
        let Some(found) = fewer.find(|fewer| rule_of(fewer, tamper) == rule) else { return least };
        least = found;
    }
}

/// What went wrong, and the whole history of it.
fn story(scenario: Scenario, tamper: Tamper) -> String {
    let seed = scenario.seed;
    let least = shrunk(scenario, tamper);
    let (world, played) = play(least, tamper, true);
    let lines = world.transcript.unwrap_or_default().join("\n");
    let why = played.err().map(|error| format!("{error:#}")).unwrap_or_default();
    let policy = format!("{:?}", world.scenario.policy);
    let Scenario { weather, faults, .. } = &world.scenario;
    format!("{policy}\n{lines}\nseed {seed}, in the weather {weather:?}, with the faults {faults:?}: {why}")
}

/// So many seeds that fail are enough to look at.
const ENOUGH: usize = 20;

/// Plays these seeds on so many cores of the machine, all of them if nobody says otherwise.
fn play_all(seeds: std::ops::Range<u64>, tamper: Tamper, cores: Option<u64>) -> Result<(Coverage, u64)> {
    let (next, steps) = (AtomicU64::new(seeds.start), AtomicU64::new(0));
    let failed = Mutex::new(BTreeMap::new());
    let work = || {
        let mut coverage = Coverage::new();
        loop {
            let seed = next.fetch_add(1, Ordering::Relaxed);
            if seed >= seeds.end {
                return coverage;
            }
            let (world, played) = play(Scenario::new(seed), tamper, false);
            if let Err(error) = played {
                let mut failed = failed.lock().unwrap_or_else(PoisonError::into_inner);
                failed.insert(seed, format!("{error:#}"));
                if failed.len() >= ENOUGH {
                    next.store(seeds.end, Ordering::Relaxed);
                }
            }
            steps.fetch_add(world.steps, Ordering::Relaxed);
            coverage.add(&world.reached);
        }
    };
    let mut all = Coverage::new();
    thread::scope(|scope| {
        let there = thread::available_parallelism().map_or(1, std::num::NonZero::get);
        let cores = cores.and_then(|cores| usize::try_from(cores).ok()).unwrap_or(there);
        let hands: Vec<_> = (0..cores).map(|_| scope.spawn(work)).collect();
        hands.into_iter().filter_map(|hand| hand.join().ok()).for_each(|coverage| all.merge(coverage));
    });
    let failed = failed.into_inner().unwrap_or_else(PoisonError::into_inner);
    let Some(first) = failed.keys().next() else { return Ok((all, steps.into_inner())) };
    let why = failed.iter().map(|(seed, why)| format!("seed {seed}: {why}")).collect::<Vec<_>>().join("\n");
    bail!("{}\n\n{why}", story(Scenario::new(*first), tamper))
}

/// A variable of `make simulate`.
#[expect(clippy::disallowed_methods, reason = "the switches of make simulate")]
fn variable(name: &str) -> Result<Option<u64>> {
    let Ok(text) = std::env::var(name) else { return Ok(None) };
    text.parse().map(Some).with_context(|| format!("{name}={text} is no number"))
}

#[test]
#[ignore = "for make simulate"]
#[expect(clippy::disallowed_methods, reason = "how fast it is is part of the answer")]
fn many_histories() -> Result<()> {
    if let Some(seed) = variable("SEED")? {
        let (world, played) = play(Scenario::new(seed), Tamper::Nothing, true);
        println!("{}", world.transcript.unwrap_or_default().join("\n"));
        return played;
    }
    let (seeds, from) = (variable("SEEDS")?.unwrap_or(1000), variable("FROM")?.unwrap_or(1));
    let began = std::time::Instant::now();
    let (coverage, steps) = play_all(from..from + seeds, Tamper::Nothing, variable("CORES")?)?;
    let seconds = began.elapsed().as_secs_f64();
    #[expect(clippy::cast_precision_loss, reason = "for people")]
    let (rate, each) = (seeds as f64 / seconds, steps as f64 / seeds as f64);
    println!("{}", coverage.table());
    println!("{seeds} histories in {seconds:.1} s: {rate:.0} a second, {each:.0} steps each, no rule broken");
    let missed = coverage.missed();
    ensure!(missed.is_empty() || seeds < 500, "too few histories know of: {missed:#?}");
    Ok(())
}

#[test]
fn a_few_histories_break_no_rule() -> Result<()> {
    play_all(1..30, Tamper::Nothing, None).map(drop)
}

#[test]
#[ignore = "for make simulate: it takes minutes"]
fn each_fault_of_the_planner_is_caught_by_its_rule() -> Result<()> {
    for (tamper, says) in Tamper::ALL {
        let mut others = Vec::new();
        let caught = (1..=60).find_map(|seed| {
            let mut scenario = Scenario::new(seed);
            tamper.provoke(&mut scenario);
            let why = format!("{:#}", play(scenario, tamper, false).1.err()?);
            let by_its_own = says.iter().any(|text| why.contains(text));
            if !by_its_own {
                others.push(format!("seed {seed}: {why}"));
            }
            by_its_own.then_some((seed, why))
        });
        let (seed, why) = caught
            .with_context(|| format!("that the planner {tamper:?} was noticed by others at most: {others:#?}"))?;
        println!("{tamper:?} is caught in history {seed}: {why}");
    }
    Ok(())
}
