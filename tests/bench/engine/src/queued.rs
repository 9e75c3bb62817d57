//! The longest step while a namespace of twenty thousand workloads waits for its renderings.

use std::time::Duration;

use anyhow::{Result, ensure};
use sidecar_drift::core::{config::Policy, model::WorkloadKey};

use crate::{
    engine::{Engine, now_at},
    fleet::{self, Deployment},
    say,
};

const NAMESPACE: &str = "shop";

/// All of them wait, an injector moves, and a day passes in which nothing happens but what does every day: a Pod is not ready
/// for a while, an owner changes his template, the Namespace gets another label.
pub(crate) fn longest_step_ms(workloads: u32) -> Result<f64> {
    let fleet: Vec<_> = (0..workloads).map(|n| Deployment::new(NAMESPACE, &format!("web-{n:05}"), 1, 1)).collect();
    let keys: Vec<WorkloadKey> = fleet.iter().map(|deployment| deployment.workload.key.clone()).collect();
    let mut engine = Engine::start(Policy::default(), &[NAMESPACE], fleet);
    let (start, what) = std::mem::take(&mut engine.longest);
    engine.pass(Duration::from_millis(100));
    let queued = engine.core.report(now_at(engine.now)).queued;
    ensure!(queued > keys.len() / 2, "only {queued} of {} wait", keys.len());

    (engine.longest, engine.steps) = Default::default();
    engine.apply(fleet::injector(2));
    let moved = engine.last;
    for second in (0..24 * 3600_usize).step_by(10) {
        let key = &keys[second * 7919 % keys.len()];
        let ready = second / 10 % 2 == 1;
        if let Some(deployment) = engine.cluster.get(key) {
            engine.apply(deployment.pod(0, ready));
        }
        if second % 300 == 0 {
            let now = now_at(engine.now).wall;
            engine.roll(key, |deployment| deployment.roll(None, 1, now));
        }
        if second == 12 * 3600 {
            engine.apply(fleet::namespace(NAMESPACE, 2));
        }
        engine.pass(Duration::from_secs(10));
    }
    let report = engine.core.report(now_at(engine.now));
    say(format_args!(
        "{} workloads of a namespace: {queued} of them waited; the move took {moved:?} of {} steps, the longest {:?}, {}; before \
         that the longest of the start {start:?}, {what}; {} dry runs, {} wait at the end",
        keys.len(),
        engine.steps,
        engine.longest.0,
        engine.longest.1,
        engine.answered,
        report.queued,
    ));
    Ok(engine.longest.0.as_secs_f64() * 1000.0)
}
