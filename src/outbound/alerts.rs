//! The question which alerts fire: carries out [`Effect::AskAlerts`](crate::core::io::Effect::AskAlerts).

use std::fmt;

use http::Uri;

use super::{Client, NotAnAddress, client_for};
use crate::core::{config::AlertMatcher, io::AlertsAnswer};

/// The Prometheus of `--block-on-alerts`.
#[derive(Clone)]
pub struct Prometheus {
    client: Client,
    url: Uri,
}

impl Prometheus {
    /// The one at this address, to which `/api/v1/alerts` is added.
    pub fn new(url: &str) -> Result<Self, NotAnAddress> {
        const SETTING: &str = "block-on-alerts";
        let (client, _) = client_for(SETTING, url)?;
        let url = format!("{}/api/v1/alerts", url.trim_end_matches('/')).parse();
        Ok(Self { client, url: url.map_err(|_| NotAnAddress::Url(SETTING))? })
    }

    /// Which of the alerts that one of these matches fire.
    pub async fn ask(&self, matchers: &[AlertMatcher]) -> AlertsAnswer {
        match self.client.get(&self.url).await {
            Ok(body) => AlertsAnswer::read(&body, matchers),
            Err(error) => AlertsAnswer::Unknown { message: error.to_string() },
        }
    }
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus").field("url", &self.url).finish_non_exhaustive()
    }
}
