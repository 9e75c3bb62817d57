//! Notices that the configuration file changed.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{config::Config, metrics};

/// The file is read this often. It is small, and a ConfigMap that is mounted changes by the exchange of a link, of which
/// the file itself knows nothing.
const INTERVAL: Duration = Duration::from_secs(5);

/// Sends each new configuration that makes sense. A bad one is told of once and changes nothing.
pub(super) async fn watch(mut config: Config, changed: mpsc::Sender<Config>) {
    let Some(path) = config.origin.as_ref().map(|origin| origin.path.clone()) else { return };
    let mut known = tokio::fs::read_to_string(&path).await.ok();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Ok(text) = tokio::fs::read_to_string(&path).await else {
            // Gone for a moment, or for good: what was read last stays in force.
            continue;
        };
        if known.as_ref() == Some(&text) {
            continue;
        }
        let made = config.changed_to(&text);
        known = Some(text);
        metrics::reloaded(made.is_ok());
        match made {
            Ok(new) => {
                tracing::info!(file = %path.display(), "the configuration file changed, and is obeyed from now on");
                config = new.clone();
                if changed.send(new).await.is_err() {
                    return;
                }
            }
            Err(error) => {
                tracing::error!(%error, "the configuration file changed and is refused; the old one stays in force");
            }
        }
    }
}
