//! Reading the file again while the daemon runs.

use super::{Config, ConfigError, File, Purpose, Settings};
use std::path::PathBuf;

/// Where a daemon's configuration came from, so that it can be made again when the file changes.
#[derive(Clone, Debug, PartialEq)]
pub struct Origin {
    /// The file of `--config`.
    pub path: PathBuf,
    /// What flags and environment said; it goes on to beat the file.
    pub given: Settings,
}

impl Config {
    /// What `text`, the file's new content, makes of it; an error when it means nothing, or when it changes what cannot
    /// change while the daemon runs.
    pub fn changed_to(&self, text: &str) -> Result<Self, ConfigError> {
        let Some(origin) = &self.origin else { return Ok(self.clone()) };
        let file = File::parse(text, &origin.path)?;
        let mut new = Self::new(origin.given.clone(), file, Purpose::Run)?;
        new.origin.clone_from(&self.origin);
        new.policy.own.clone_from(&self.policy.own);
        let fixed = [
            ("mode", new.policy.mode == self.policy.mode),
            ("kubeconfig", new.connection == self.connection),
            ("namespace", new.watch == self.watch),
            ("listen", new.listen == self.listen),
            ("state-namespace", new.state_namespace == self.state_namespace),
            ("log-level", new.log == self.log),
            ("leader-election", new.election == self.election),
            ("block-on-alerts", new.alerts == self.alerts),
            ("render-as", new.render_as == self.render_as),
            ("fields", new.policy.fields == self.policy.fields),
            ("kinds", new.policy.kinds == self.policy.kinds),
            ("trigger", new.policy.triggers == self.policy.triggers),
            ("annotation-prefix", new.policy.annotation_prefix == self.policy.annotation_prefix),
            ("selector", new.policy.filter.labels() == self.policy.filter.labels()),
            ("include-annotation", new.policy.filter.annotations() == self.policy.filter.annotations()),
        ];
        match fixed.into_iter().find(|(_, same)| !same) {
            None => Ok(new),
            Some((setting, _)) => Err(ConfigError::Senseless {
                setting,
                message: "can only change with a restart of the daemon".to_owned(),
            }),
        }
    }
}
