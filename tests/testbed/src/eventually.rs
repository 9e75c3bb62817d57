//! Waiting for a condition: what tests have instead of sleeps.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, anyhow};
use tokio::time::{Instant, sleep};

/// Between two looks: soon at first, since most things are a matter of milliseconds, then at leisure.
const FIRST_PAUSE: Duration = Duration::from_millis(10);
const LONGEST_PAUSE: Duration = Duration::from_millis(200);

/// Looks until `probe` finds something, and returns it. `None` and errors mean "not yet"; the last error is part of the
/// failure when `deadline` has passed. An error from [`give_up`] ends the wait at once.
pub async fn eventually<T>(
    what: impl fmt::Display,
    deadline: Duration,
    mut probe: impl AsyncFnMut() -> Result<Option<T>>,
) -> Result<T> {
    let start = Instant::now();
    let mut pause = FIRST_PAUSE;
    let mut last_error = None;
    loop {
        // A probe that hangs must not hang the test.
        let left = deadline.saturating_sub(start.elapsed());
        match tokio::time::timeout(left, probe()).await {
            Ok(Ok(Some(found))) => return Ok(found),
            Ok(Ok(None)) => last_error = None,
            Ok(Err(error)) => match error.downcast::<GiveUp>() {
                Ok(GiveUp(reason)) => return Err(reason.context(format!("never: {what}"))),
                Err(error) => last_error = Some(error),
            },
            Err(_) => {}
        }
        if start.elapsed() + pause >= deadline {
            let late = format!("not within {} s: {what}", deadline.as_secs_f64());
            return Err(match last_error {
                Some(error) => error.context(late),
                None => anyhow!(late),
            });
        }
        sleep(pause).await;
        pause = (pause * 3 / 2).min(LONGEST_PAUSE);
    }
}

/// Marks an error as final for [`eventually`]: waiting longer would not help.
pub fn give_up(error: anyhow::Error) -> anyhow::Error {
    anyhow::Error::new(GiveUp(error))
}

#[derive(Debug, thiserror::Error)]
#[error("{0:#}")]
struct GiveUp(anyhow::Error);

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_is_there_is_returned_at_once() -> Result<()> {
        assert_eq!(eventually("a number", Duration::from_secs(1), async || Ok(Some(7))).await?, 7);
        Ok(())
    }

    #[tokio::test]
    async fn the_failure_says_what_was_awaited_and_the_last_error() {
        let failure = eventually::<()>("the moon", Duration::from_millis(30), async || Err(anyhow!("clouds"))).await;
        assert_eq!(format!("{:#}", failure.unwrap_err()), "not within 0.03 s: the moon: clouds");
    }

    #[tokio::test]
    async fn giving_up_ends_the_wait() {
        let failure = eventually::<()>("rain", Duration::from_hours(1), async || Err(give_up(anyhow!("desert")))).await;
        assert_eq!(format!("{:#}", failure.unwrap_err()), "never: rain: desert");
    }
}
