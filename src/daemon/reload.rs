//! Watches the configuration file.

use std::time::Duration;

use tokio::sync::mpsc;

use crate::{config::Config, metrics};

/// How often the file is read. It is small, and the kubelet updates a mounted ConfigMap by replacing a symbolic link, which
/// a watch of the file itself does not see.
const INTERVAL: Duration = Duration::from_secs(5);

/// Sends each new valid configuration. An invalid one is logged once and changes nothing.
pub(super) async fn watch(mut config: Config, changed: mpsc::Sender<Config>) {
    let Some(path) = config.origin.as_ref().map(|origin| origin.path.clone()) else { return };
    let mut known = tokio::fs::read_to_string(&path).await.ok();
    loop {
        tokio::time::sleep(INTERVAL).await;
        let Ok(text) = tokio::fs::read_to_string(&path).await else {
            // Gone for a moment or for good: the last configuration stays in force.
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
