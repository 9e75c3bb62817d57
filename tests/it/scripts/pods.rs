//! Containers as scripts write them: `proxy=1.27.0`, `proxy=1.27.0,TOKEN=abc,native`.

use std::sync::Arc;

use serde_json::{Value, json};
use sidecar_drift::core::model::{PodSnapshot, shape::PodShape};

/// One container: its name, its image's tag, and what else is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    name: String,
    tag: String,
    native: bool,
    init: bool,
    /// It has a livenessProbe.
    probe: bool,
    env: Vec<(String, String)>,
}

impl Container {
    pub(super) fn parse((name, text): (String, String)) -> Self {
        let mut parts = text.split(',');
        let tag = parts.next().unwrap_or_default().to_owned();
        let mut container = Self { name, tag, native: false, init: false, probe: false, env: Vec::new() };
        for part in parts {
            match part.split_once('=') {
                Some((key, value)) => container.env.push((key.to_owned(), value.to_owned())),
                None => match part {
                    "native" => container.native = true,
                    "probe" => container.probe = true,
                    other => container.init = other == "init",
                },
            }
        }
        container
    }

    fn json(&self, pod: &Who) -> Value {
        let env = self.env.iter().map(|(name, value)| json!({ "name": name, "value": pod.fill_in(value) }));
        let mut container = json!({
            "name": self.name,
            "image": format!("{}:{}", self.name, self.tag),
            "env": env.collect::<Vec<_>>(),
        });
        if self.native {
            container["restartPolicy"] = json!("Always");
        }
        if self.probe {
            container["livenessProbe"] = json!({ "httpGet": { "path": "/healthz", "port": 80 } });
        }
        container
    }
}

/// What a Pod's controller gives it: scripts write `$POD`, `$ORDINAL`, `$HASH` (of the name), `$CLAIM` and `$NODE`.
#[derive(Clone, Debug, Default)]
pub(super) struct Who {
    pub(super) pod: String,
    /// The Pod whose claims it has; empty: its own.
    pub(super) claims: String,
    pub(super) node: String,
}

impl Who {
    pub(super) fn of(pod: &str) -> Self {
        Self { pod: pod.to_owned(), ..Self::default() }
    }

    pub(super) fn running(pod: &PodSnapshot) -> Self {
        Self { node: pod.node.as_deref().unwrap_or_default().to_owned(), ..Self::of(&pod.key.name) }
    }

    fn fill_in(&self, value: &str) -> String {
        let ordinal = self.pod.rsplit('-').next().unwrap_or_default();
        let claims = if self.claims.is_empty() { &self.pod } else { &self.claims };
        // Letters only, so that it is no number that could follow.
        let hash = self.pod.bytes().fold(7_u64, |hash, byte| hash.wrapping_mul(1_000_003) ^ u64::from(byte));
        let letter = |n: u32| char::from(b'a' + u8::try_from(hash >> (8 * n) & 15).unwrap_or_default());
        value
            .replace("$POD", &self.pod)
            .replace("$ORDINAL", ordinal)
            .replace("$HASH", &(0..8).map(letter).collect::<String>())
            .replace("$CLAIM", &format!("data-{claims}"))
            .replace("$NODE", &self.node)
    }
}

/// A Pod of these containers; of two with the same name the later one is meant.
pub(super) fn shape(containers: &[Container], pod: &Who) -> Arc<PodShape> {
    let (mut ordinary, mut init) = (Vec::new(), Vec::new());
    for (at, container) in containers.iter().enumerate() {
        if containers[at + 1..].iter().any(|later| later.name == container.name) {
            continue;
        }
        let list = if container.native || container.init { &mut init } else { &mut ordinary };
        list.push(container.json(pod));
    }
    Arc::new(PodShape::from_pod(&json!({ "spec": { "containers": ordinary, "initContainers": init } })))
}
