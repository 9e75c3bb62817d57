//! The pure core alone: no control plane, no clock, no other thread. What each number is stands in docs/performance.md.
//!
//! Prints one flat JSON object of the numbers, and what they are made of on standard error.

mod churn;
mod engine;
mod fleet;
mod queued;
mod replicas;

use std::{
    alloc::System,
    env,
    fmt::Display,
    io::{self, Write as _},
};

use anyhow::{Context as _, Result};
use serde_json::json;
use stats_alloc::{INSTRUMENTED_SYSTEM, StatsAlloc};

/// Counts what the whole process asks for and gives back: requested bytes, without what the allocator itself takes for each.
#[global_allocator]
static HEAP: &StatsAlloc<System> = &INSTRUMENTED_SYSTEM;

/// Bytes that were asked for and not given back.
pub(crate) fn heap() -> usize {
    let stats = HEAP.stats();
    stats.bytes_allocated.saturating_sub(stats.bytes_deallocated)
}

/// Tells a person how far it is.
pub(crate) fn say(line: impl Display) {
    // A closed stderr must not end a measurement.
    _ = writeln!(io::stderr(), "bench: {line}");
}

fn main() -> Result<()> {
    let scale = env::args().nth(1).map_or(Ok(1.0), |scale| scale.parse()).context("the scale is no number")?;
    let only = env::args().nth(2);
    let scaled = |count: u32| {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "a count, and a scale above 0")]
        let scaled = (f64::from(count) * scale) as u32;
        scaled.max(20)
    };
    let mut results = json!({});
    let mut measure = |key: &str, measure: &dyn Fn() -> Result<f64>| -> Result<()> {
        if only.as_deref().is_none_or(|only| only == key) {
            results[key] = measure()?.into();
        }
        Ok(())
    };
    measure("longest_step_ms_20k_queued", &|| queued::longest_step_ms(scaled(20_000)))?;
    measure("event_us_30k_replicas", &|| replicas::event_us(scaled(30_000)))?;
    measure("churn_leftover_bytes", &|| churn::leftover_bytes(scaled(100_000)))?;
    writeln!(io::stdout(), "{results}")?;
    Ok(())
}
