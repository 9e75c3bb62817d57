//! What every command works with.

use std::path::PathBuf;

use anyhow::Context as _;

use super::{
    engine::Engine,
    exit::UsageError,
    logging,
    output::{Console, redaction::Redaction},
};
use crate::config::{Client, Config, File, Origin, Purpose, Settings, Voice};

/// What every command works with.
pub(super) struct Context<'a> {
    pub(super) console: &'a mut Console,
    pub(super) engine: &'a dyn Engine,
    pub(super) file: File,
    /// Its path.
    pub(super) path: Option<PathBuf>,
    pub(super) client: Client,
    pub(super) voice: Voice,
}

impl Context<'_> {
    /// Builds the configuration from the command's own settings, the common ones and the file, and applies it to logging and
    /// console.
    pub(super) fn configure(&mut self, given: Settings, purpose: Purpose) -> anyhow::Result<Config> {
        let given = Settings { client: self.client.clone(), voice: self.voice.clone(), ..given };
        let daemon = purpose == Purpose::Run;
        let mut config = Config::new(given.clone(), self.file.clone(), purpose)?;
        config.origin = self.path.clone().filter(|_| daemon).map(|path| Box::new(Origin { path, given }));
        if config.display.values && !self.console.is_terminal() {
            let why = "`--show-values` works on a terminal only, because the values may be secrets; leave it out here";
            return Err(UsageError(why.to_owned()).into());
        }
        self.console.apply(config.display);
        logging::start(config.log, self.console.has_colour());
        Ok(config)
    }

    /// Hides values, unless the configuration asks to show them.
    pub(super) fn redaction(config: &Config) -> anyhow::Result<Redaction> {
        if config.display.values {
            return Ok(Redaction::none());
        }
        Redaction::random().context("the system gives no random numbers, without which values cannot be hidden")
    }
}
