//! The container that an injector adds.

use serde_json::{Value, json};

/// The label that asks for a sidecar, on a Pod or on its namespace; its value is the injector's name.
const LABEL: &str = "testbed.sidecar-drift/inject";

/// A sidecar as its injector describes it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sidecar {
    /// The container's name.
    pub name: String,
    /// The image without its tag.
    pub repository: String,
    /// The image's tag.
    pub version: String,
    /// The container's arguments.
    pub args: Vec<String>,
    /// The container's environment, in this order.
    pub env: Vec<(String, String)>,
    /// The CPU that it requests, as a quantity; a webhook gives it to its containers, a policy does not.
    pub cpu: Option<String>,
    /// Where it goes.
    pub placement: Placement,
}

/// How a sidecar runs beside the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Placement {
    /// One of the `containers`, the last.
    #[default]
    Ordinary,
    /// One of the `initContainers`, the first, with `restartPolicy: Always`.
    Native,
}

/// Which Pods get a sidecar. Both say it by a label whose value is the injector's name, so injectors of tests that run
/// beside each other never meet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Selection {
    /// Pods that have the label.
    #[default]
    LabelledPods,
    /// All Pods in namespaces that have the label.
    LabelledNamespaces,
}

impl Sidecar {
    /// An ordinary sidecar of version `v1`.
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            repository: format!("registry.test/{name}"),
            version: "v1".to_owned(),
            args: vec!["proxy".to_owned(), "sidecar".to_owned()],
            env: vec![("LOG_LEVEL".to_owned(), "info".to_owned())],
            cpu: None,
            placement: Placement::Ordinary,
        }
    }

    /// A native sidecar of version `v1`.
    pub fn native(name: &str) -> Self {
        Self { placement: Placement::Native, ..Self::new(name) }
    }

    /// Sets the version.
    #[must_use]
    pub fn version(mut self, version: &str) -> Self {
        version.clone_into(&mut self.version);
        self
    }

    /// Adds an environment variable, or replaces its value.
    #[must_use]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        match self.env.iter_mut().find(|(known, _)| known == name) {
            Some((_, old)) => value.clone_into(old),
            None => self.env.push((name.to_owned(), value.to_owned())),
        }
        self
    }

    /// Repository and tag.
    pub fn image(&self) -> String {
        format!("{}:{}", self.repository, self.version)
    }

    /// The container as it is put into a Pod.
    pub fn container(&self) -> Value {
        let env: Vec<Value> = self.env.iter().map(|(name, value)| json!({"name": name, "value": value})).collect();
        let mut container = json!({"name": self.name, "image": self.image(), "args": self.args, "env": env});
        if let Some(cpu) = &self.cpu {
            container["resources"] = json!({"requests": {"cpu": cpu}});
        }
        if self.placement == Placement::Native {
            container["restartPolicy"] = json!("Always");
        }
        container
    }

    /// Whether `pod` has exactly this sidecar in its place, and none of that name in the other.
    pub fn is_in(&self, pod: &Value) -> bool {
        let (here, elsewhere) = match self.placement {
            Placement::Ordinary => ("containers", "initContainers"),
            Placement::Native => ("initContainers", "containers"),
        };
        let find = |list: &str| {
            let containers = pod["spec"][list].as_array();
            containers
                .and_then(|containers| containers.iter().find(|container| container["name"] == self.name.as_str()))
        };
        find(elsewhere).is_none() && find(here).is_some_and(|found| includes(found, &self.container()))
    }

    /// Whether `pod` has a container of this name at all.
    pub fn is_named_in(&self, pod: &Value) -> bool {
        ["containers", "initContainers"].iter().any(|list| {
            let containers = pod["spec"][list].as_array();
            containers.is_some_and(|containers| containers.iter().any(|one| one["name"] == self.name.as_str()))
        })
    }
}

impl Selection {
    /// The label that selects, for an injector of this name.
    pub(super) fn label(injector: &str) -> (&'static str, String) {
        (LABEL, injector.to_owned())
    }

    /// The fields of `matchConstraints`, and of a webhook, that select.
    pub(super) fn selectors(self, injector: &str) -> Value {
        let (key, value) = Self::label(injector);
        let selector = json!({"matchLabels": {key: value}});
        match self {
            Self::LabelledPods => json!({"objectSelector": selector, "namespaceSelector": {}}),
            Self::LabelledNamespaces => json!({"objectSelector": {}, "namespaceSelector": selector}),
        }
    }
}

/// Whether `found` has every field of `wanted`; admission adds defaults and mounts to a container.
fn includes(found: &Value, wanted: &Value) -> bool {
    wanted.as_object().is_some_and(|fields| fields.iter().all(|(key, value)| found[key] == *value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_sidecar_in_the_other_place_is_not_there() {
        let pod = json!({"spec": {"initContainers": [Sidecar::native("proxy").container()], "containers": []}});
        assert!(Sidecar::native("proxy").is_in(&pod));
        assert!(!Sidecar::new("proxy").is_in(&pod));
        assert!(Sidecar::new("proxy").is_named_in(&pod));
    }

    #[test]
    fn defaults_that_admission_adds_do_not_matter() {
        let mut container = Sidecar::new("proxy").container();
        container["terminationMessagePath"] = json!("/dev/termination-log");
        let pod = json!({"spec": {"containers": [container]}});
        assert!(Sidecar::new("proxy").is_in(&pod));
        assert!(!Sidecar::new("proxy").version("v2").is_in(&pod));
    }
}
