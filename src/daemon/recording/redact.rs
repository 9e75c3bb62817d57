//! Values as keyed hashes. Equal values stay equal, so that the core decides the same by them.

use std::sync::Arc;

use anyhow::Context as _;
use hmac::{Hmac, KeyInit, Mac};
use serde_json::Value;
use sha2::Sha256;

use crate::core::{
    compare,
    io::{EvictOutcome, Input, PatchOutcome, RenderOutcome, WatchEvent},
    model::{
        Object,
        canonical::whole_word,
        fingerprint::Fingerprint,
        shape::{ContainerShape, PodShape, packed::Packed},
    },
};

/// Stands for a Pod's own name while the text around it is hashed; no text contains it.
const NAME_PLACEHOLDER: &str = "\u{1}";

/// Bytes of a hash that are kept: enough that no two values of a cluster have the same.
const HASH_BYTES: usize = 8;

/// Hashes values with a key that nobody knows.
pub(super) struct Redactor {
    hmac: Hmac<Sha256>,
}

impl Redactor {
    pub(super) fn random() -> anyhow::Result<Self> {
        let mut key = [0; 32];
        getrandom::fill(&mut key)
            .context("the system gives no random numbers, without which values cannot be hidden")?;
        Self::with_key(&key)
    }

    pub(super) fn with_key(key: &[u8; 32]) -> anyhow::Result<Self> {
        Ok(Self { hmac: Hmac::new_from_slice(key).context("no key for the values")? })
    }

    /// Everything in an input that may be a secret.
    pub(super) fn input(&self, input: &mut Input) {
        match input {
            Input::Watch { event: WatchEvent::Apply(Object::Pod(pod)), .. } => {
                pod.shape = self.shape(&pod.shape, Some(&pod.key.name));
            }
            Input::Rendered(reply) => match &mut reply.outcome {
                RenderOutcome::Rendered(rendering) => {
                    let name = rendering.pod_name.as_deref();
                    rendering.template = self.shape(&rendering.template, name);
                    rendering.rendered = self.shape(&rendering.rendered, name);
                }
                RenderOutcome::Rejected { message } | RenderOutcome::Undetermined { message, .. } => {
                    remove_quotes(message);
                }
                RenderOutcome::Gone => {}
            },
            Input::Patched(reply) => match &mut reply.outcome {
                PatchOutcome::Denied { message }
                | PatchOutcome::Unknown { message }
                | PatchOutcome::Failed { message, .. } => remove_quotes(message),
                PatchOutcome::Patched { .. }
                | PatchOutcome::Conflict
                | PatchOutcome::Gone
                | PatchOutcome::NotLeader => {}
            },
            Input::Evicted(reply) => match &mut reply.outcome {
                EvictOutcome::Denied { message }
                | EvictOutcome::Unknown { message }
                | EvictOutcome::Failed { message, .. } => remove_quotes(message),
                EvictOutcome::Evicted
                | EvictOutcome::NoHeadroom { .. }
                | EvictOutcome::Gone
                | EvictOutcome::NotLeader => {}
            },
            _ => {}
        }
    }

    /// `name`: the Pod's own, which stays where it is part of a value (rule R3).
    fn shape(&self, shape: &PodShape, name: Option<&str>) -> Arc<PodShape> {
        let containers = shape.containers.iter().map(|container| {
            let fields = |packed: &Packed| match packed.value() {
                Value::Object(fields) => {
                    fields.iter().map(|(field, value)| (field.clone(), self.field(field, value, name))).collect()
                }
                other => self.all(&other, name),
            };
            let projection = Packed::of(&fields(&container.projection));
            Arc::new(ContainerShape {
                fingerprint: Fingerprint::of(&projection),
                projection,
                collateral: Packed::of(&fields(&container.collateral)),
                ..ContainerShape::clone(container)
            })
        });
        Arc::new(PodShape { containers: containers.collect(), ordered: shape.ordered })
    }

    fn field(&self, field: &str, value: &Value, name: Option<&str>) -> Value {
        match (field, value) {
            ("env", Value::Object(entries)) => {
                entries.iter().map(|(variable, entry)| (variable.clone(), self.entry(entry, name))).collect()
            }
            // An image is nobody's secret, nor is where a value is taken from.
            ("image" | "envFrom" | "imagePullPolicy" | "resources" | "restartPolicy" | "securityContext", _) => {
                value.clone()
            }
            // Whatever else there is may hold commands, headers and paths.
            _ => self.all(value, name),
        }
    }

    /// `{"value": ..}`, or `{"valueFrom": ..}` with no value of its own.
    fn entry(&self, entry: &Value, name: Option<&str>) -> Value {
        let Value::Object(members) = entry else { return self.all(entry, name) };
        let member = |(key, value): (&String, &Value)| {
            // Of what a value refers to there is a hash, which a person could try values against.
            let secret = matches!(key.as_str(), "value" | "references");
            (key.clone(), if secret { self.all(value, name) } else { value.clone() })
        };
        members.iter().map(member).collect()
    }

    fn all(&self, value: &Value, name: Option<&str>) -> Value {
        match value {
            Value::String(text) => self.text(text, name).into(),
            Value::Number(number) => self.text(&number.to_string(), None).into(),
            Value::Array(elements) => elements.iter().map(|element| self.all(element, name)).collect(),
            Value::Object(members) => members.iter().map(|(k, v)| (self.member(k, name), self.all(v, name))).collect(),
            Value::Null | Value::Bool(_) => value.clone(),
        }
    }

    /// What a value is made of is a value.
    fn member(&self, member: &str, name: Option<&str>) -> String {
        compare::hidden_member(member, name, &self.text(member, name))
    }

    fn text(&self, text: &str, name: Option<&str>) -> String {
        let Some(name) = name else { return self.hash(text) };
        let parts: Vec<_> = whole_word::replace(text, name, NAME_PLACEHOLDER)
            .split(NAME_PLACEHOLDER)
            .map(|part| self.hash(part))
            .collect();
        parts.join(name)
    }

    fn hash(&self, text: &str) -> String {
        if text.is_empty() {
            return String::new();
        }
        let mut hmac = self.hmac.clone();
        hmac.update(text.as_bytes());
        let hash = hmac.finalize().into_bytes();
        let digits: Vec<_> = hash.iter().take(HASH_BYTES).map(|byte| format!("{byte:02x}")).collect();
        // Brackets, so that a Pod's name beside it is still a whole word.
        format!("<{}>", digits.concat())
    }
}

impl std::fmt::Debug for Redactor {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Redactor(values hidden)")
    }
}

/// The API server quotes values that it does not like.
fn remove_quotes(message: &mut String) {
    let parts = message.split('"').enumerate().map(|(at, part)| if at % 2 == 1 { "…" } else { part });
    *message = parts.collect::<Vec<_>>().join("\"");
}

/// What sentences within a value quote.
pub(super) fn redact_quotes(value: &mut Value) {
    match value {
        Value::Array(elements) => elements.iter_mut().for_each(redact_quotes),
        Value::Object(members) => {
            for (key, value) in members {
                match value {
                    Value::String(text) if key == "message" => remove_quotes(text),
                    other => redact_quotes(other),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::core::model::shape::FieldSet;

    #[test]
    fn what_values_are_made_of_is_hidden_as_they_are() {
        let quoted = r#"[{"hunter2-member":"a","password":"hunter2-element"},{"hunter2-member":"b","password":"x"}]"#;
        let exec = json!({ "exec": { "command": ["sh", "-c", "login hunter2-probe"] } });
        let pod = json!({ "spec": { "containers": [{
            "name": "app",
            "image": "app:1",
            "args": ["--key=hunter2-arg", quoted],
            "env": [
                { "name": "USERS", "value": quoted },
                { "name": "KEYS", "value": r#"{"hunter2-key":{"db-0-hunter2":1},"n":12345}"# },
            ],
            "livenessProbe": exec,
            "lifecycle": { "preStop": exec },
            "volumeMounts": [{ "name": "x", "mountPath": "/hunter2-path" }],
        }] } });
        let shape = PodShape::with(&pod, FieldSet::All);
        let redactor = Redactor::with_key(&[7; 32]).unwrap();
        let hidden = redactor.shape(&shape, Some("db-0"));
        let text = serde_json::to_string(&hidden).unwrap();
        for secret in ["hunter2", "password", "12345", "login"] {
            assert!(!text.contains(secret), "{secret}: {text}");
        }
        for open in ["USERS", "KEYS", "app:1", "livenessProbe", "db-0"] {
            assert!(text.contains(open), "{open}: {text}");
        }
        assert_eq!(redactor.shape(&shape, Some("db-0")), hidden, "what is equal stays equal");
    }
}
