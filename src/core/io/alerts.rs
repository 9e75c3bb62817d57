//! What Prometheus answers to `GET /api/v1/alerts`.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::core::config::AlertMatcher;
use crate::core::model::Name;

/// Of so many alerts the names are kept; more would say no more.
const NAMED: usize = 10;

/// Which alerts fire that block rollouts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum AlertsAnswer {
    /// The names of those that fire, at most ten; none: nothing speaks against rollouts.
    Firing(BTreeSet<Name>),
    /// It cannot be told.
    Unknown {
        /// Why, as a part of a sentence.
        message: String,
    },
}

#[derive(Deserialize)]
struct Answer {
    status: String,
    data: Option<Data>,
}

#[derive(Deserialize)]
struct Data {
    alerts: Vec<Alert>,
}

#[derive(Deserialize)]
struct Alert {
    #[serde(default)]
    labels: BTreeMap<String, String>,
    state: String,
}

impl AlertsAnswer {
    /// What an answer with status 200 says of the alerts that one of these matches.
    pub fn read(body: &[u8], matchers: &[AlertMatcher]) -> Self {
        let wanted = "of `/api/v1/alerts` as Prometheus gives it";
        let data = match serde_json::from_slice(body) {
            Ok(Answer { status, data: Some(data) }) if status == "success" => data,
            Ok(Answer { .. }) => return Self::Unknown { message: format!("the answer is no success {wanted}") },
            Err(_) => return Self::Unknown { message: format!("the answer is no JSON {wanted}") },
        };
        // What is neither of these two is not known, and counts.
        let quiet = |alert: &&Alert| matches!(alert.state.as_str(), "pending" | "inactive");
        let firing = data.alerts.iter().filter(|alert| !quiet(alert));
        let blocking = firing.filter(|alert| matchers.iter().any(|matcher| matcher.matches(&alert.labels)));
        let name =
            |alert: &Alert| alert.labels.get("alertname").map_or("an alert without a name", String::as_str).into();
        Self::Firing(blocking.map(name).collect::<BTreeSet<Name>>().into_iter().take(NAMED).collect())
    }
}
