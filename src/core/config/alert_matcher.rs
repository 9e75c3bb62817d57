//! Which alerts block rollouts, as a person names them: `severity=critical,alertname!=SidecarDrift*`.

use std::{collections::BTreeMap, fmt, str::FromStr};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use crate::core::model::{Glob, Name};

/// Conditions on an alert's labels, all of which it must meet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AlertMatcher(Vec<Condition>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct Condition {
    label: Name,
    equal: bool,
    value: Glob,
}

impl AlertMatcher {
    /// What blocks where nobody says otherwise. Our own alerts do not: what they tell of has gates of its own, and drift
    /// that blocks its own cure would stay.
    pub fn critical() -> Self {
        let condition = |label, equal, value| Condition { label: Name::from(label), equal, value: Glob::new(value) };
        Self(vec![condition("severity", true, "critical"), condition("alertname", false, "SidecarDrift*")])
    }

    /// Whether an alert with these labels meets all conditions. A label that it does not have is empty, as in Prometheus.
    pub fn matches(&self, labels: &BTreeMap<String, String>) -> bool {
        let value = |label: &Name| labels.get(&**label).map_or("", String::as_str);
        self.0.iter().all(|condition| condition.value.matches(value(&condition.label)) == condition.equal)
    }
}

impl FromStr for AlertMatcher {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = "conditions on the labels of an alert are wanted, such as `severity=critical` or \
                     `team=shop,alertname!=Watchdog`, where `*` stands for any letters";
        let condition = |part: &str| {
            let (label, value) = part.split_once('=')?;
            let (label, equal) = label.strip_suffix('!').map_or((label, true), |label| (label, false));
            let (label, value) = (label.trim(), value.trim());
            let inner = |c: char| c.is_ascii_alphanumeric() || c == '_';
            let is_label =
                !label.is_empty() && label.chars().all(inner) && !label.starts_with(|c: char| c.is_ascii_digit());
            // `=~` and quotes are Prometheus' way to write it; taken literally they would match nothing.
            let is_value = !value.starts_with(['~', '"', '\'', '=']);
            (is_label && is_value).then(|| Condition { label: label.into(), equal, value: Glob::new(value) })
        };
        text.split(',').map(condition).collect::<Option<_>>().map(Self).ok_or_else(|| wrong.to_owned())
    }
}

impl fmt::Display for AlertMatcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, Condition { label, equal, value }) in self.0.iter().enumerate() {
            let (comma, sign) = (if at == 0 { "" } else { "," }, if *equal { "=" } else { "!=" });
            write!(f, "{comma}{label}{sign}{value}")?;
        }
        Ok(())
    }
}

impl Serialize for AlertMatcher {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for AlertMatcher {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}
