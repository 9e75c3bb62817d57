//! Lines that are played again and again: `10s every 10s until 24h configmap mesh/x hash=#`.

use anyhow::{Context as _, Result, ensure};

use super::{line::duration, stage::Stage};

impl Stage {
    /// Plays what follows `every`, each time with another number in the place of `#`.
    pub(super) fn play_again(&mut self, text: &str, first: &str, rest: &str) -> Result<()> {
        let mut words = rest.splitn(4, ' ');
        let mut next = || words.next().with_context(|| format!("{text}: a word is missing"));
        let (step, until, last, what) = (next()?, next()?, next()?, next()?);
        ensure!(until == "until", "{text}: until when?");
        self.out.push(text.to_owned());
        let (mut at, step, last) = (duration(first)?, duration(step)?, duration(last)?);
        for number in 2.. {
            if at > last {
                break;
            }
            self.pass_until(at)?;
            let told = self.out.len();
            self.perform(what.replace('#', &number.to_string()).parse()?)?;
            self.settle()?;
            if self.out.len() > told {
                self.out.insert(told, format!("@{}s", at.as_secs_f64()));
            }
            at += step;
        }
        Ok(())
    }
}
