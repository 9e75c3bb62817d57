//! Kinds that the file describes under `owners`.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::{
    selector::{is_key, is_label_value},
    values::DnsLabel,
};
use crate::core::model::owner::{Described, Kind, StatusPaths};

/// One of them, as it is written.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct OwnerEntry {
    /// Group and version: `db.example.com/v1`.
    pub api: String,
    /// As ownerReferences spell it.
    pub kind: String,
    /// As the API's paths spell it; else the kind in lower case, and an `s`.
    pub plural: Option<String>,
    /// What it is called here; else as its kind.
    pub name: Option<String>,
    /// Where its Pod template is; else `spec.template`.
    pub template: Option<String>,
    /// `stamp`, `none`, or the field that takes a time; else `stamp`.
    pub restart: Option<String>,
    /// What its Pods belong to; else itself.
    pub pods: Option<PodsOf>,
    /// Labels that its controller gives its Pods beside the template's.
    pub labels: BTreeMap<String, String>,
    /// The label of its Pods that names their revision.
    pub revision_label: Option<String>,
    /// Flags that say that its own rollouts are stopped; else `spec.paused`.
    pub paused: Option<Vec<String>>,
    /// Where the numbers are, if elsewhere.
    pub status: StatusEntry,
}

/// What the Pods of a kind belong to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PodsOf {
    /// The workload itself.
    Own,
    /// ReplicaSets, which belong to the workload.
    ReplicaSets,
}

/// Where a kind has what Deployments have in their status.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields, default)]
pub struct StatusEntry {
    /// Else `status.observedGeneration`.
    pub observed_generation: Option<String>,
    /// Else `spec.replicas`, and where a workload has none of it as many as there are.
    pub desired: Option<String>,
    /// Else `status.replicas`.
    pub replicas: Option<String>,
    /// Else `status.updatedReplicas`.
    pub updated: Option<String>,
    /// Else `status.readyReplicas`.
    pub ready: Option<String>,
    /// Else `status.availableReplicas`, and where a workload has none of it those that are ready.
    pub available: Option<String>,
    /// Else `status.updateRevision`.
    pub revision: Option<String>,
    /// When the last restart was done, of a kind that is restarted by a field.
    pub restarted: Option<String>,
}

/// The kinds of a file, or what would be right.
pub(super) fn described(entries: &[OwnerEntry]) -> Result<Vec<Kind>, String> {
    let (mut names, mut apis) = (BTreeSet::new(), BTreeSet::new());
    let mut kinds = Vec::new();
    for (entry, number) in entries.iter().zip(1..) {
        let described = entry.described(number)?;
        if !names.insert(described.name.to_ascii_lowercase()) {
            return Err(format!("describes `{}` twice; give one of the two another `name`", described.name));
        }
        if !apis.insert((described.group.clone(), described.kind.clone())) {
            return Err(format!("describes the kind `{}` of {} twice; leave one out", described.kind, described.group));
        }
        kinds.push(Kind::describe(&described).map_err(|error| format!("describes too many: {error}"))?);
    }
    Ok(kinds)
}

/// Where something is that a rollout changes, and where something is read.
const SPEC: &[&str] = &["spec"];
const SPEC_OR_STATUS: &[&str] = &["spec", "status"];

/// The guard compares level by level, down to the template.
const MAX_DEPTH: usize = 4;

impl OwnerEntry {
    fn described(&self, number: usize) -> Result<Described, String> {
        let kind = &self.kind;
        if !is_name(kind) {
            return Err(format!(
                "names no `kind` in entry {number}; it is spelled as in ownerReferences, such as `kind: Database`"
            ));
        }
        self.validated().map_err(|what| format!("says of `{kind}` {what}"))
    }

    fn validated(&self) -> Result<Described, String> {
        let kind = &self.kind;
        let no_api = "no `api` of a group and a version, such as `api: db.example.com/v1`";
        let (group, version) = group_and_version(&self.api).ok_or(no_api)?;
        if Kind::all().any(|known| known.is_named_by(&self.api, kind)) {
            return Err("what is known already; name it in `kinds`, and leave it out here".to_owned());
        }
        let usual = Described::new(group, version, kind);
        let plural = self.plural.clone().unwrap_or(usual.plural);
        if plural.parse::<DnsLabel>().is_err() {
            return Err(format!("the plural `{plural}`; it is in lower case, as `kubectl api-resources` shows it"));
        }
        let name = self.name.clone().unwrap_or(usual.name);
        if !is_name(&name) {
            return Err(format!("the name `{name}`; a name has letters and digits, a capital first"));
        }
        if Kind::all().any(|known| known.is_called(&name)) {
            return Err(format!("the name `{name}`, which is another kind's; give it another `name`"));
        }
        let template = field_path("template", self.template.as_ref().unwrap_or(&usual.template), SPEC)?;
        let restart = self.restart(&template)?;
        self.labels()?;
        let paused = self.paused.as_ref().unwrap_or(&usual.paused).iter();
        Ok(Described {
            name,
            plural,
            template,
            restart,
            replica_sets: self.pods == Some(PodsOf::ReplicaSets),
            labels: self.labels.clone(),
            revision_label: self.revision_label.clone(),
            paused: paused.map(|text| field_path("paused", text, SPEC_OR_STATUS)).collect::<Result<_, _>>()?,
            status: self.status.paths(&usual.status)?,
            ..usual
        })
    }

    /// See [`Described::restart`].
    fn restart(&self, template: &str) -> Result<Option<String>, String> {
        let field = match self.restart.as_deref() {
            Some("none") if self.status.restarted.is_none() => return Ok(None),
            None | Some("stamp" | "none") => None,
            Some(field) if is_field_path(field, SPEC) && field.split('.').count() == 2 => Some(field),
            Some(other) => {
                let right = "it is `stamp`, `none`, or a field of the spec that takes a time, such as `spec.restartAt`";
                return Err(format!("`restart: {other}`; {right}"));
            }
        };
        match (field, &self.status.restarted) {
            (None, None) => Ok(Some(String::new())),
            (Some(field), Some(_)) if template.split('.').take(2).eq(field.split('.')) => {
                Err(format!("`restart: {field}`, which is where its Pod template is; use `stamp`"))
            }
            (Some(field), Some(_)) => Ok(Some(field.to_owned())),
            (Some(_), None) => {
                Err("by which field it is restarted, but not in `status.restarted` where its controller \
                                    says of which time the last restart is that is done"
                    .to_owned())
            }
            (None, Some(_)) => Err("`status.restarted`, which means nothing unless `restart` is a field".to_owned()),
        }
    }

    fn labels(&self) -> Result<(), String> {
        let given = [("labels", !self.labels.is_empty()), ("revision-label", self.revision_label.is_some())];
        let needless = given.into_iter().find(|(_, given)| *given && self.pods == Some(PodsOf::ReplicaSets));
        if let Some((setting, _)) = needless {
            return Err(format!("`{setting}`, but its ReplicaSets have all labels of their Pods; leave it out"));
        }
        let fits = |key: &str, text: &str| is_key(key) && is_label_value(&text.replace("{name}", "x"));
        if let Some((key, text)) = self.labels.iter().find(|(key, text)| !fits(key, text)) {
            return Err(format!("`labels` with `{key}: {text}`, which is no label"));
        }
        if let Some(label) = self.revision_label.as_ref().filter(|label| !is_key(label)) {
            return Err(format!("`revision-label: {label}`, which is no key of a label"));
        }
        if self.revision_label.is_none() && self.status.revision.is_some() {
            return Err("`status.revision`, which means nothing without `revision-label`".to_owned());
        }
        Ok(())
    }
}

impl StatusEntry {
    fn paths(&self, usual: &StatusPaths) -> Result<StatusPaths, String> {
        let path = |setting: &str, given: &Option<String>, usual: &str| {
            field_path(&format!("status.{setting}"), given.as_deref().unwrap_or(usual), SPEC_OR_STATUS)
        };
        Ok(StatusPaths {
            observed_generation: path("observed-generation", &self.observed_generation, &usual.observed_generation)?,
            desired: path("desired", &self.desired, &usual.desired)?,
            replicas: path("replicas", &self.replicas, &usual.replicas)?,
            updated: path("updated", &self.updated, &usual.updated)?,
            ready: path("ready", &self.ready, &usual.ready)?,
            available: path("available", &self.available, &usual.available)?,
            revision: path("revision", &self.revision, &usual.revision)?,
            restarted: self
                .restarted
                .as_ref()
                .map(|text| field_path("status.restarted", text, SPEC_OR_STATUS))
                .transpose()?,
        })
    }
}

/// A place as it was written, if it is one.
fn field_path(setting: &str, text: &str, roots: &[&str]) -> Result<String, String> {
    if is_field_path(text, roots) {
        return Ok(text.to_owned());
    }
    let roots: Vec<_> = roots.iter().map(|root| format!("`{root}.`")).collect();
    let begins = roots.join(" or ");
    Err(format!(
        "`{setting}: {text}`; a field is named from the root, at most {MAX_DEPTH} deep, and begins with {begins}"
    ))
}

fn is_name(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_uppercase()) && text.chars().all(|c| c.is_ascii_alphanumeric())
}

/// The core group has a version alone, and no kind that somebody could describe.
fn group_and_version(api: &str) -> Option<(&str, &str)> {
    let (group, version) = api.split_once('/')?;
    let is_version = version.starts_with('v') && version.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit());
    (group.split('.').all(|label| label.parse::<DnsLabel>().is_ok()) && is_version).then_some((group, version))
}

fn is_field_path(text: &str, roots: &[&str]) -> bool {
    let is_member = |member: &str| {
        !member.is_empty() && member.chars().all(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_'))
    };
    let fits = |(root, rest): (&str, &str)| roots.contains(&root) && rest.split('.').all(is_member);
    text.split('.').count() <= MAX_DEPTH && text.split_once('.').is_some_and(fits)
}
