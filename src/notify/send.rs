//! Sends a message to the webhook.

use std::{fmt, time::Duration};

use bytes::Bytes;
use http::{Method, Request, StatusCode, Uri, header};
use http_body_util::Full;
use tokio::time;

use super::Message;
use crate::{
    config::{NotifyFormat, Outbound},
    outbound::{Client, NotAnAddress, RequestError, client_for},
};

/// The number of attempts for one message; the delay after the first, which doubles after the second.
const ATTEMPTS: u32 = 3;
const RETRY_DELAY: Duration = Duration::from_secs(5);

/// The webhook that receives messages.
#[derive(Clone)]
pub struct Webhook {
    client: Client,
    url: Uri,
    format: NotifyFormat,
}

impl Webhook {
    /// A webhook at this address.
    pub fn new(url: &str, format: NotifyFormat, by: &Outbound) -> Result<Self, NotAnAddress> {
        let (client, url) = client_for("notify-url", url, by)?;
        Ok(Self { client, url, format })
    }

    /// Sends a message, and retries if the server cannot take it now; returns whether it was delivered.
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
            time::sleep(RETRY_DELAY * attempt).await;
        }
        false
    }

    /// The error says why it failed, and whether a retry may succeed.
    async fn post(&self, body: Bytes) -> Result<(), (String, bool)> {
        let request = Request::builder()
            .method(Method::POST)
            .uri(self.url.clone())
            .header(header::CONTENT_TYPE, "application/json")
            .body(Full::new(body))
            .map_err(|_| (RequestError::Request.to_string(), false))?;
        // Without its source: that text may contain the address.
        let status = self.client.send(request).await.map_err(|why| (why.to_string(), true))?;
        if status.is_success() {
            return Ok(());
        }
        Err((
            RequestError::Status(status).to_string(),
            status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS,
        ))
    }
}

impl fmt::Debug for Webhook {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Webhook").field("format", &self.format).finish_non_exhaustive()
    }
}
