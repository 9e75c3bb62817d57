//! Everything that a webhook injector can be told to do, and does in the wild.

use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};

use crate::injector::Sidecar;

/// How the injector behaves; a test turns them while it runs, any number of them at once.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Knobs {
    /// What is injected.
    pub sidecar: Sidecar,
    /// Each answer has another value of this environment variable.
    pub nonce: Option<String>,
    /// This environment variable counts such periods: answers agree for a while, but not for long.
    pub clock: Option<(String, Duration)>,
    /// Each answer has one of these values of this environment variable, at random.
    pub drawn: Option<(String, Vec<String>)>,
    /// This environment variable holds a JSON list in base64, in random order.
    pub shuffled_list: Option<String>,
    /// The environment comes in random order, as of an injector that walks over a map.
    pub shuffles_env: bool,
    /// Every second answer has this version.
    pub alternates_with: Option<String>,
    /// A dry run is given another sidecar than a creation, and nothing in the cluster says so.
    pub in_dry_run: Option<Sidecar>,
    /// Only the Pods of Kubernetes' own controllers are injected into.
    pub controllers_only: bool,
    /// The sidecar mounts the ServiceAccount's token by the volume's generated name, and has that in its environment.
    pub copies_token_volume: bool,
    /// It injects no container, but gives this environment variable to every one that a Pod has, ...
    pub edits: Option<(String, String)>,
    /// ... unless the Pod's name begins like this.
    pub spares: Option<String>,
    /// It does not inject at all, but fails in this way.
    pub failure: Option<Failure>,
    /// It answers that much later.
    pub delay: Duration,
}

/// How an injector fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Failure {
    /// With status 500.
    InternalError,
    /// It closes the connection in the middle of its answer.
    Hangup,
    /// It says "allowed", with no patch, as if nothing were to be done (fail open).
    Unpatched,
    /// It refuses the Pod, on purpose.
    Denied,
}

/// What is different in each request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Turn {
    /// Requests before this one.
    pub number: u64,
    /// Since the server was started.
    pub up: Duration,
    /// Drawn for this request.
    pub random: u64,
}

impl Turn {
    /// The next one.
    pub(super) fn next(number: u64, up: Duration) -> Self {
        // The one source of randomness in the standard library.
        Self { number, up, random: RandomState::new().hash_one(number) }
    }
}

impl Knobs {
    /// An injector that misbehaves in no way.
    pub fn new(sidecar: Sidecar) -> Self {
        Self {
            sidecar,
            nonce: None,
            clock: None,
            drawn: None,
            shuffled_list: None,
            shuffles_env: false,
            alternates_with: None,
            in_dry_run: None,
            controllers_only: false,
            copies_token_volume: false,
            edits: None,
            spares: None,
            failure: None,
            delay: Duration::ZERO,
        }
    }

    /// Whether this user's Pods are injected into.
    pub(super) fn serves(&self, user: &str) -> bool {
        !self.controllers_only || user.starts_with("system:serviceaccount:kube-system:")
    }

    /// The sidecar of this request.
    pub(super) fn sidecar_of(&self, turn: Turn, dry_run: bool) -> Sidecar {
        let mut sidecar = self.in_dry_run.as_ref().filter(|_| dry_run).unwrap_or(&self.sidecar).clone();
        if let Some(version) = self.alternates_with.as_ref().filter(|_| turn.number % 2 == 1) {
            version.clone_into(&mut sidecar.version);
        }
        if let Some(name) = &self.nonce {
            sidecar = sidecar.env(name, &format!("{:016x}", turn.random));
        }
        if let Some((name, period)) = &self.clock {
            let periods = turn.up.as_nanos().checked_div(period.as_nanos()).unwrap_or_default();
            sidecar = sidecar.env(name, &periods.to_string());
        }
        if let Some((name, values)) = &self.drawn
            && let Some(value) = values.get(index(turn.random, values.len()))
        {
            sidecar = sidecar.env(name, value);
        }
        if let Some(name) = &self.shuffled_list {
            let mut list: Vec<Value> =
                ["a", "b", "c", "d"].iter().map(|d| json!({"destination": d, "perms": "0400"})).collect();
            shuffle(&mut list, turn.random);
            sidecar = sidecar.env(name, &BASE64.encode(Value::Array(list).to_string()));
        }
        if self.shuffles_env {
            shuffle(&mut sidecar.env, turn.random);
        }
        sidecar
    }
}

fn index(random: u64, length: usize) -> usize {
    u64::try_from(length)
        .ok()
        .and_then(|length| random.checked_rem(length))
        .and_then(|n| n.try_into().ok())
        .unwrap_or(0)
}

fn shuffle<T>(list: &mut [T], mut random: u64) {
    for last in (1..list.len()).rev() {
        list.swap(last, index(random, last + 1));
        random /= 7;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn turn(number: u64) -> Turn {
        Turn { number, up: Duration::from_secs(number), random: number.wrapping_mul(0x9e37_79b9_7f4a_7c15) }
    }

    fn envs(knobs: &Knobs) -> Vec<Vec<(String, String)>> {
        (1..20).map(|number| knobs.sidecar_of(turn(number), false).env).collect()
    }

    #[test]
    fn several_knobs_turn_at_once() {
        let mut knobs = Knobs::new(Sidecar::new("proxy"));
        knobs.nonce = Some("NONCE".to_owned());
        knobs.clock = Some(("HOUR".to_owned(), Duration::from_secs(10)));
        knobs.drawn = Some(("COLOUR".to_owned(), vec!["red".to_owned(), "blue".to_owned()]));
        knobs.shuffled_list = Some("LIST".to_owned());
        let all = envs(&knobs);
        let distinct = |name: &str| {
            let values = all.iter().flatten().filter(|(known, _)| known == name).map(|(_, value)| value);
            values.collect::<std::collections::BTreeSet<_>>().len()
        };
        assert_eq!((distinct("NONCE"), distinct("HOUR"), distinct("COLOUR"), distinct("LOG_LEVEL")), (19, 2, 2, 1));
        assert!(distinct("LIST") > 5);
    }

    #[test]
    fn a_shuffled_environment_is_complete() {
        let mut knobs = Knobs::new(Sidecar::new("proxy").env("A", "1").env("B", "2"));
        knobs.shuffles_env = true;
        let all = envs(&knobs);
        assert!(all.iter().any(|env| env != &all[0]));
        assert!(all.iter().all(|env| knobs.sidecar.env.iter().all(|one| env.contains(one))));
    }

    #[test]
    fn a_dry_run_and_every_second_answer_are_told_something_else() {
        let mut knobs = Knobs::new(Sidecar::new("proxy"));
        knobs.in_dry_run = Some(Sidecar::new("proxy").version("v2"));
        assert_eq!(knobs.sidecar_of(turn(2), true).version, "v2");
        assert_eq!(knobs.sidecar_of(turn(2), false).version, "v1");
        knobs.alternates_with = Some("v3".to_owned());
        assert_eq!(knobs.sidecar_of(turn(3), false).version, "v3");
    }
}
