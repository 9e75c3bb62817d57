//! The request.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::time;

use super::Message;
use crate::{
    config::{NotifyFormat, Outbound},
    outbound::{Client, NoAnswer, NotAnAddress, USER_AGENT, connect, send},
};

/// A message is sent at most so often, and between two attempts is waited so long, and then twice as long.
const ATTEMPTS: u32 = 3;
const PAUSE: Duration = Duration::from_secs(5);

/// Where messages go.
#[derive(Clone)]
pub struct Webhook {
    client: Client,
    url: Uri,
    format: NotifyFormat,
}

impl Webhook {
    /// A webhook at this address.
    pub fn new(url: &str, format: NotifyFormat, by: &Outbound) -> Result<Self, NotAnAddress> {
        let (client, url) = connect("notify-url", url, by)?;
        Ok(Self { client, url, format })
    }

    /// Sends a message, and again if the other side cannot take it now; returns whether it was taken.
    pub async fn send(&self, message: Message) -> bool {
        let body = match self.format {
            NotifyFormat::Json => message.json(),
            NotifyFormat::Slack => message.slack(),
        };
        let body = Bytes::from(body.to_string());
        for attempt in 1..=ATTEMPTS {
            match self.post(body.clone()).await {
                Ok(()) => return true,
                Err((why, again)) => {
                    tracing::warn!(reason = why, attempt, "the notification was not taken");
                    if !again || attempt == ATTEMPTS {
                        return false;
                    }
                }
            }
            time::sleep(PAUSE * attempt).await;
        }
        false
    }

    /// Why it failed, and whether it may succeed later.
    async fn post(&self, body: Bytes) -> Result<(), (String, bool)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .header(header::USER_AGENT, USER_AGENT)
            .body(Full::new(body))
            .map_err(|_| (NoAnswer::Request.to_string(), false))?;
        // What went wrong is told without its source, whose text may hold the address.
        let status = send(&self.client, request).await.map_err(|why| (why.to_string(), true))?;
        if status.is_success() {
            return Ok(());
        }
        Err((NoAnswer::Status(status).to_string(), status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("format", &self.format).finish_non_exhaustive()
    }
}
