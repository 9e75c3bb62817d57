//! The question which alerts fire: carries out [`Effect::AskAlerts`](crate::core::io::Effect::AskAlerts).

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::{BodyExt as _, Collected, Full, Limited};
use tokio::time;

use super::{Client, NotAnAddress, USER_AGENT, connect};
use crate::core::alerts::{AlertMatcher, AlertsAnswer};

/// An answer that takes longer is none.
const PATIENCE: Duration = Duration::from_secs(10);

/// Thousands of alerts fit in; what is longer is no answer to our question.
const LONGEST: usize = 16 << 20;

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
        let (client, _) = connect(SETTING, url)?;
        let url = format!("{}/api/v1/alerts", url.trim_end_matches('/')).parse();
        Ok(Self { client, url: url.map_err(|_| NotAnAddress::Url(SETTING))? })
    }

    /// Which of the alerts that one of these matches fire.
    pub async fn ask(&self, matchers: &[AlertMatcher]) -> AlertsAnswer {
        match time::timeout(PATIENCE, self.get()).await {
            Ok(Ok(body)) => AlertsAnswer::read(&body, matchers),
            Ok(Err(message)) => AlertsAnswer::Unknown { message },
            Err(_) => AlertsAnswer::Unknown { message: format!("no answer within {} s", PATIENCE.as_secs()) },
        }
    }

    async fn get(&self) -> Result<Bytes, String> {
        let request = Request::builder()
            .method(Method::GET)
            .uri(self.url.clone())
            .header(header::ACCEPT, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::new(Bytes::new()))
            .map_err(|_| "the request cannot be made".to_owned())?;
        let answer = match self.client.request(request).await {
            Ok(answer) => answer,
            Err(error) if error.is_connect() => return Err("no connection to Prometheus".to_owned()),
            Err(_) => return Err("the connection to Prometheus was lost".to_owned()),
        };
        let status = answer.status();
        if status != StatusCode::OK {
            return Err(format!("the answer was {status}"));
        }
        let body = Limited::new(answer.into_body(), LONGEST).collect().await;
        body.map(Collected::to_bytes).map_err(|_| "the answer broke off, or is too long".to_owned())
    }
}

impl fmt::Debug for Prometheus {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Prometheus").field("url", &self.url).finish_non_exhaustive()
    }
}
