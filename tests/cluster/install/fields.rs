//! Every field of a kind, from the API server's own schema, and a patch for each.

use std::collections::BTreeMap;

use anyhow::{Context as _, Result};
use serde_json::{Map, Value, json};

/// A kind's schema, with what it refers to.
#[derive(Debug)]
pub(crate) struct Schema<'s> {
    schemas: &'s Map<String, Value>,
    root: &'s Value,
}

/// One step from an object to a field of it.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Step<'s> {
    Field(&'s str),
    /// The first item of a list.
    Item,
    /// An entry of a map that has no fixed keys.
    Entry,
}

/// A field that has no fields of its own.
#[derive(Clone, Debug)]
pub(crate) struct Leaf<'s> {
    steps: Vec<Step<'s>>,
}

/// Fields of which an object can have one.
const EITHER_OR: [&[&str]; 4] = [
    &["exec", "httpGet", "tcpSocket", "grpc", "sleep"],
    &["value", "valueFrom"],
    &["configMapRef", "secretRef"],
    &["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"],
];

/// A key that nobody else uses.
const KEY: &str = "guard.example.com/key";

impl<'s> Schema<'s> {
    /// Of `Deployment`, say, out of what the API server serves at `/openapi/v3/apis/apps/v1`.
    pub(crate) fn of(document: &'s Value, kind: &str) -> Result<Self> {
        let schemas = document.pointer("/components/schemas").and_then(Value::as_object).context("no schemas")?;
        let root = schemas.get(&format!("io.k8s.api.apps.v1.{kind}")).with_context(|| format!("no {kind}"))?;
        Ok(Self { schemas, root })
    }

    /// All of them.
    pub(crate) fn leaves(&self) -> Vec<Leaf<'s>> {
        let mut leaves = Vec::new();
        self.walk(self.root, &mut Vec::new(), &mut leaves);
        leaves
    }

    fn walk(&self, schema: &'s Value, steps: &mut Vec<Step<'s>>, leaves: &mut Vec<Leaf<'s>>) {
        let schema = self.resolve(schema);
        let mut into = |step, schema| {
            steps.push(step);
            self.walk(schema, steps, leaves);
            steps.pop();
        };
        if let Some(properties) = schema["properties"].as_object() {
            properties.iter().for_each(|(name, property)| into(Step::Field(name), property));
        } else if schema["items"].is_object() {
            into(Step::Item, &schema["items"]);
        } else if schema["additionalProperties"].is_object() {
            into(Step::Entry, &schema["additionalProperties"]);
        } else {
            leaves.push(Leaf { steps: steps.clone() });
        }
    }

    /// What validation wants and the schema does not say, for types of the core group.
    fn beyond_the_schema(reference: &str) -> Value {
        match reference.rsplit('.').next().unwrap_or_default() {
            "Container" => json!({ "image": "guard:1" }),
            "Probe" | "LifecycleHandler" => json!({ "exec": { "command": ["true"] } }),
            "ConfigMapProjection"
            | "SecretProjection"
            | "ConfigMapVolumeSource"
            | "ConfigMapEnvSource"
            | "SecretEnvSource"
            | "ConfigMapKeySelector"
            | "SecretKeySelector" => json!({ "name": "guard" }),
            "EnvFromSource" => json!({ "configMapRef": { "name": "guard" } }),
            "SecretVolumeSource" => json!({ "secretName": "guard" }),
            "DownwardAPIVolumeFile" => json!({ "fieldRef": { "fieldPath": "metadata.name" } }),
            "ResourceFieldSelector" => json!({ "containerName": "app" }),
            "LabelSelectorRequirement" | "NodeSelectorRequirement" => json!({ "operator": "In", "values": ["guard"] }),
            "PodAffinityTerm" => json!({ "labelSelector": { "matchLabels": { "guard": "guard" } } }),
            "PersistentVolumeClaimSpec" => {
                json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1" } } })
            }
            "StorageOSVolumeSource" | "ScaleIOVolumeSource" => json!({ "volumeName": "guard" }),
            "CephFSVolumeSource" | "RBDVolumeSource" => json!({ "monitors": ["guard"] }),
            "ISCSIVolumeSource" => json!({ "iqn": "iqn.2001-04.com.example:guard" }),
            "QuobyteVolumeSource" => json!({ "registry": "guard:1" }),
            "PodResourceClaim" => json!({ "resourceClaimName": "guard" }),
            "FCVolumeSource" => json!({ "targetWWNs": ["guard"], "lun": 1 }),
            "PreferredSchedulingTerm" | "WeightedPodAffinityTerm" => json!({ "weight": 1 }),
            _ => json!({}),
        }
    }

    /// Follows `$ref`, also the ones that have a default beside them.
    fn resolve(&self, schema: &'s Value) -> &'s Value {
        let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        let target = reference.and_then(|reference| self.schemas.get(reference.rsplit('/').next()?));
        target.map_or(schema, |target| self.resolve(target))
    }

    /// `object` with another value in that field, in several ways: first with all else left as it is, then with the item of
    /// a list made anew in which the field is, and then the one around that.
    pub(crate) fn changed(&self, object: &Value, leaf: &Leaf<'s>) -> impl Iterator<Item = Value> {
        let all = leaf.steps.len();
        let items = (0..all).rev().filter(|at| leaf.steps.get(*at) == Some(&Step::Item)).map(|at| at + 1);
        [all + 1, all].into_iter().chain(items).map(|kept| {
            let mut changed = object.clone();
            self.set(&mut changed, self.root, &leaf.steps, kept);
            changed
        })
    }

    /// `kept`: what is there is kept for so many steps more.
    fn set(&self, at: &mut Value, schema: &'s Value, steps: &[Step<'s>], kept: usize) {
        if kept == 0 || at.is_null() {
            *at = self.least(schema, None);
        }
        let schema = self.resolve(schema);
        let kept = kept.saturating_sub(1);
        let Some((step, rest)) = steps.split_first() else { return };
        let (inner, name, schema) = match step {
            Step::Field(name) => {
                make_room(at, name);
                (&mut at[*name], Some(*name), &schema["properties"][*name])
            }
            Step::Entry => (&mut at[KEY], None, &schema["additionalProperties"]),
            Step::Item => {
                let Value::Array(items) = at else { return };
                if items.is_empty() {
                    items.push(Value::Null);
                }
                let Some(first) = items.first_mut() else { return };
                (first, None, &schema["items"])
            }
        };
        if rest.is_empty() {
            *inner = other(if kept == 0 { &Value::Null } else { inner }, self.resolve(schema), name);
        } else {
            self.set(inner, schema, rest, kept);
        }
    }

    /// The least that the schema lets pass.
    fn least(&self, schema: &'s Value, name: Option<&str>) -> Value {
        let reference = schema.get("$ref").or_else(|| schema.pointer("/allOf/0/$ref")).and_then(Value::as_str);
        let more = Self::beyond_the_schema(reference.unwrap_or_default());
        let schema = self.resolve(schema);
        if let Some(properties) = schema["properties"].as_object() {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            let fields =
                required.filter_map(|name| Some((name.to_owned(), self.least(properties.get(name)?, Some(name)))));
            let mut least: Map<String, Value> = fields.collect();
            least.extend(more.as_object().cloned().unwrap_or_default());
            return Value::Object(least);
        }
        if schema["items"].is_object() {
            return json!([]);
        }
        if schema["type"] == "object" {
            return json!({});
        }
        sample(schema, name)
    }
}

impl Leaf<'_> {
    /// `spec.template.spec.containers[].image`
    pub(crate) fn path(&self) -> String {
        let mut path = String::new();
        for step in &self.steps {
            match step {
                Step::Field(name) if path.is_empty() => path.push_str(name),
                Step::Field(name) => {
                    path.push('.');
                    path.push_str(name);
                }
                Step::Item => path.push_str("[]"),
                Step::Entry => path.push_str("{}"),
            }
        }
        path
    }
}

/// Takes away what cannot stand beside a field.
fn make_room(object: &mut Value, field: &str) {
    let Some(fields) = object.as_object_mut() else { return };
    for group in EITHER_OR.iter().filter(|group| group.contains(&field)) {
        fields.retain(|name, _| name == field || !group.contains(&name.as_str()));
    }
    // A volume is of one type, and all its fields but the name are types.
    if fields.contains_key("emptyDir") && field != "name" {
        fields.retain(|name, _| name == "name" || name == field);
    }
}

/// A value that may stand there and is another one than `now`.
fn other(now: &Value, schema: &Value, name: Option<&str>) -> Value {
    match now {
        Value::Bool(now) => json!(!now),
        Value::Number(number) => json!(number.as_i64().unwrap_or_default() + 1),
        Value::String(now) => {
            let choices = schema["enum"].as_array().into_iter().flatten();
            let choice = choices.filter_map(Value::as_str).find(|choice| choice != now);
            choice.map_or_else(|| json!(format!("{now}x")), |choice| json!(choice))
        }
        _ => sample(schema, name),
    }
}

/// A value that validation has nothing against, as far as type and name of the field tell.
fn sample(schema: &Value, name: Option<&str>) -> Value {
    let by_name = BTreeMap::from([
        ("mountPath", "/guard"),
        ("path", "guard"),
        ("devicePath", "/guard"),
        ("key", "guard"),
        ("operator", "Exists"),
        ("ip", "10.9.8.7"),
        ("image", "guard:1"),
        ("resourceName", "cpu"),
        ("divisor", "1"),
        ("apiVersion", "v1"),
        ("whenUnsatisfiable", "DoNotSchedule"),
        ("name", "guard"),
        ("topologyKey", "kubernetes.io/hostname"),
        ("fieldPath", "metadata.name"),
        ("resource", "limits.cpu"),
        ("effect", "NoSchedule"),
        ("uid", "5f0c2b9e-5a0e-4c3c-8d37-2f8f9f1a0d11"),
    ]);
    if let Some(first) = schema.pointer("/enum/0") {
        return first.clone();
    }
    match (schema["type"].as_str(), schema["format"].as_str()) {
        (_, Some("date-time")) => json!("2026-01-02T03:04:05Z"),
        (_, Some("byte")) => json!("eA=="),
        (_, Some("int-or-string")) | (Some("integer" | "number"), _) => json!(1),
        (Some("boolean"), _) => json!(true),
        (Some("object"), _) => json!({ KEY: "guard" }),
        // A quantity is a number or a string.
        (None, _) => json!("1"),
        _ => json!(name.and_then(|name| by_name.get(name)).unwrap_or(&"guard")),
    }
}
