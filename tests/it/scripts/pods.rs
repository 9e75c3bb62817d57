//! Containers as scripts write them: `proxy=1.27.0`, `proxy=1.27.0,TOKEN=abc,native`.

use std::sync::Arc;

use serde_json::{Value, json};
use sidecar_drift::core::model::shape::PodShape;

/// One container: its name, its image's tag, and what else is said of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Container {
    name: String,
    tag: String,
    native: bool,
    init: bool,
    env: Vec<(String, String)>,
}

impl Container {
    pub(super) fn parse((name, text): (String, String)) -> Self {
        let mut parts = text.split(',');
        let tag = parts.next().unwrap_or_default().to_owned();
        let mut container = Self { name, tag, native: false, init: false, env: Vec::new() };
        for part in parts {
            match part.split_once('=') {
                Some((key, value)) => container.env.push((key.to_owned(), value.to_owned())),
                None if part == "native" => container.native = true,
                None => container.init = part == "init",
            }
        }
        container
    }

    fn json(&self, pod: &str) -> Value {
        let env = self.env.iter().map(|(name, value)| json!({ "name": name, "value": value.replace("$POD", pod) }));
        let mut container = json!({
            "name": self.name,
            "image": format!("{}:{}", self.name, self.tag),
            "env": env.collect::<Vec<_>>(),
        });
        if self.native {
            container["restartPolicy"] = json!("Always");
        }
        container
    }
}

/// A Pod of these containers; of two with the same name the later one is meant.
pub(super) fn shape(containers: &[Container], pod: &str) -> Arc<PodShape> {
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
