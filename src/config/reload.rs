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
        let Self {
            policy: _, // Obeyed, but for what is fixed below.
            owners,
            connection,
            render_as,
            watch,
            listen,
            api_listen,
            api_advertise,
            notify,
            alerts,
            outbound,
            metrics_by_namespace,
            recording,
            state_namespace,
            plans_a_rollout: _, // Of one-shot commands.
            lease,
            election,
            log,
            display: _, // Of one-shot commands.
            listing: _,
            origin: _,
        } = self;
        let fixed = [
            ("mode", new.policy.mode == self.policy.mode),
            ("kubeconfig", new.connection == *connection),
            ("namespace", new.watch == *watch),
            ("listen", new.listen == *listen),
            ("api-listen", new.api_listen == *api_listen),
            ("api-advertise", new.api_advertise == *api_advertise),
            ("notify-url", new.notify == *notify),
            ("metrics-by-namespace", new.metrics_by_namespace == *metrics_by_namespace),
            ("record", new.recording == *recording),
            ("state-namespace", new.state_namespace == *state_namespace),
            ("log-level", new.log == *log),
            ("lease-name", new.lease == *lease),
            ("leader-election", new.election == *election),
            ("block-on-alerts", new.alerts == *alerts),
            ("outbound-proxy", new.outbound == *outbound),
            ("render-as", new.render_as == *render_as),
            ("fields", new.policy.fields == self.policy.fields),
            ("owners", new.owners == *owners),
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
