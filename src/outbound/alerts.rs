//! The question which alerts fire: carries out [`Effect::AskAlerts`](crate::core::io::Effect::AskAlerts).

use std::{fmt, io, path::PathBuf};

use http::{HeaderValue, Uri};

use super::{Client, NotAnAddress, client_for};
use crate::{
    config::{Alerts, Outbound},
    core::{config::AlertMatcher, io::AlertsAnswer},
};

/// The Prometheus of `--block-on-alerts`.
#[derive(Clone)]
pub struct Prometheus {
    client: Client,
    url: Uri,
    token: Option<PathBuf>,
}

impl Prometheus {
    /// The one at this address, to which `/api/v1/alerts` is added.
    pub fn new(Alerts { url, token }: &Alerts, by: &Outbound) -> Result<Self, NotAnAddress> {
        const SETTING: &str = "block-on-alerts";
        let (client, _) = client_for(SETTING, url, by)?;
        let url = format!("{}/api/v1/alerts", url.trim_end_matches('/')).parse();
        Ok(Self { client, url: url.map_err(|_| NotAnAddress::Url(SETTING))?, token: token.clone() })
    }

    /// Which of the alerts that one of these matches fire.
    pub async fn ask(&self, matchers: &[AlertMatcher]) -> AlertsAnswer {
        let credentials = match self.credentials().await {
            Ok(credentials) => credentials,
            Err(error) => {
                return AlertsAnswer::Unknown { message: format!("the bearer token cannot be read: {error}") };
            }
        };
        match self.client.get_as(&self.url, credentials).await {
            Ok(body) => AlertsAnswer::read(&body, matchers),
            Err(error) => AlertsAnswer::Unknown { message: error.to_string() },
        }
    }

    /// As they are now: whoever issues tokens may renew them.
    async fn credentials(&self) -> io::Result<Option<HeaderValue>> {
        let Some(file) = &self.token else { return Ok(None) };
        let token = tokio::fs::read_to_string(file).await?;
        let header = HeaderValue::try_from(format!("Bearer {}", token.trim()));
        let mut header = header.map_err(|_| io::Error::new(io::ErrorKind::InvalidData, "it is no token"))?;
        header.set_sensitive(true);
        Ok(Some(header))
    }
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus").field("url", &self.url).finish_non_exhaustive()
    }
}
