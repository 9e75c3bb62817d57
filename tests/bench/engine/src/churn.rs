//! What is left of workloads that came and went.

use std::time::Duration;

use anyhow::{Result, ensure};
use sidecar_drift::core::{
    config::{Mode, Policy},
    model::WorkloadKey,
};

use crate::{
    engine::Engine,
    fleet::{self, Deployment},
    heap, say,
};

/// So many are there at once, in a Namespace that comes and goes with them.
const WAVE: u32 = 500;

/// Every fifth has a sidecar of yesterday, and is rolled.
const OUTDATED: u32 = 5;

/// Every twentieth goes while it is asked about.
const SHORT: u32 = 20;

/// The heap after them, less the heap before.
pub(crate) fn leftover_bytes(workloads: u32) -> Result<f64> {
    let policy = Policy {
        mode: Mode::Enforce,
        renders_per_second: 1000.0,
        render_burst: 1000,
        renders_in_flight: 8,
        parallel_rollouts: 50,
        parallel_per_namespace: 50,
        max_rollouts_per_hour: None,
        canary: 0,
        without_guard: true,
        ..Policy::default()
    };
    let mut engine = Engine::start(policy, &[], Vec::new());
    engine.proxy = 2;
    engine.pass(Duration::from_mins(10));
    let (before, mut most) = (heap(), 0);
    for wave in 0..workloads.div_ceil(WAVE) {
        let name = format!("wave-{wave}");
        engine.apply(fleet::namespace(&name, 1));
        let keys: Vec<WorkloadKey> = (0..WAVE)
            .map(|number| {
                let proxy = if number % OUTDATED == 0 { 1 } else { 2 };
                let deployment = Deployment::new(&name, &format!("web-{wave}-{number}"), proxy, 2);
                let key = deployment.workload.key.clone();
                engine.create(deployment);
                key
            })
            .collect();
        engine.pass(Duration::from_millis(100));
        for key in keys.iter().step_by(usize::try_from(SHORT)?) {
            engine.delete(key);
        }
        engine.pass(Duration::from_mins(10));
        most = most.max(heap().saturating_sub(before));
        for key in &keys {
            engine.delete(key);
        }
        engine.watch_gone(&fleet::namespace(&name, 1));
        engine.pass(Duration::from_mins(1));
    }
    let rolled = engine.patched;
    ensure!(rolled > 0 && engine.answered > 0, "{} dry runs, {rolled} rollouts: nothing happened", engine.answered);
    // What is remembered for a time is to be forgotten by then.
    engine.pass(Duration::from_hours(24));
    let left = heap().saturating_sub(before);
    say(format_args!(
        "{workloads} workloads came and went, {WAVE} at once: {} dry runs, {rolled} rollouts; {most} bytes at most, {left} left",
        engine.answered,
    ));
    #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
    let left = left as f64;
    Ok(left)
}
