//! What one event of a Pod costs where its workload has very many.

use std::time::Duration;

use anyhow::{Result, ensure};
use sidecar_drift::core::{config::Policy, model::words::Verdict};

use crate::{
    engine::{Engine, now_at},
    fleet::Deployment,
    say,
};

/// Events that the cost of one is taken of.
const EVENTS: u32 = 400;

/// One Pod after the other is not ready, and then is again.
pub(crate) fn event_us(replicas: u32) -> Result<f64> {
    let deployment = Deployment::new("shop", "web", 1, replicas);
    let key = deployment.workload.key.clone();
    let mut engine = Engine::start(Policy::default(), &["shop"], vec![deployment.clone()]);
    engine.pass(Duration::from_mins(10));
    let verdicts = |engine: &Engine| -> Vec<_> {
        engine
            .core
            .report(now_at(engine.now))
            .workloads
            .iter()
            .map(|workload| (workload.verdict, workload.pods))
            .collect()
    };
    let expected = vec![(Verdict::InSync, usize::try_from(replicas)?)];
    ensure!(verdicts(&engine) == expected, "{key} is not in sync: {:?}", verdicts(&engine));
    let (mut total, mut most) = (Duration::ZERO, Duration::ZERO);
    for event in 0..EVENTS {
        let number = event / 2 * 7919 % replicas;
        engine.apply(deployment.pod(number, event % 2 == 1));
        total += engine.last;
        most = most.max(engine.last);
        engine.pass(Duration::from_millis(100));
    }
    ensure!(verdicts(&engine) == expected, "{key} is not in sync any more: {:?}", verdicts(&engine));
    let mean = total / EVENTS;
    say(format_args!("an event of one of {replicas} Pods: {mean:?}, at most {most:?}"));
    Ok(mean.as_secs_f64() * 1e6)
}
