//! Dry-run Pod creations: what would be injected now.

mod history;
mod labels;
mod prefetch;
mod read;
mod rights;

use std::{sync::Arc, time::Duration};

use serde_json::Value;

use super::{
    client::{Call, Cluster, NoAnswer},
    convert::{self, KeptKeys, Needed},
    last_read::LastRead,
    paths,
};
use crate::config::Caller;
use crate::core::{
    compare::Rendering,
    io::{
        Confirmation, RenderOutcome, RenderReply, RenderRequest,
        api_response::{self, RenderAnswer},
    },
    model::{Name, owner::Kind, words::UndeterminedReason},
    render::dry_run_pod::{self, BodyError, BodyRequest, NAME_ATTEMPTS, OwnerIdentity, Template},
};
use prefetch::Prefetch;
use rights::{Resource, Rights};

/// Carries out [`Effect::Render`](crate::core::io::Effect::Render). One for the process; renders may run side by side.
#[derive(Debug)]
pub struct Renderer {
    cluster: Cluster,
    keys: KeptKeys,
    rights: Rights,
    prefetch: Prefetch,
    caller: Caller,
    /// What a confirmation read, for the patch that follows it.
    last_read: LastRead,
}

/// What a Pod is made from, as it was read.
struct PodSource {
    /// The whole workload, for kinds whose Pods depend on it, and for a confirmation.
    workload: Option<Value>,
    owner: OwnerIdentity,
    template: Template,
}

impl Renderer {
    /// A renderer that keeps this of workloads.
    pub fn new(cluster: Cluster, keys: KeptKeys) -> Self {
        let (rights, prefetch, last_read) = (Rights::default(), Prefetch::default(), LastRead::default());
        Self { cluster, keys, rights, prefetch, caller: Caller::Own, last_read }
    }

    /// Leaves what confirmations read for the patches that follow them.
    #[must_use]
    pub fn leaving(mut self, last_read: LastRead) -> Self {
        self.last_read = last_read;
        self
    }

    /// Sends dry runs as somebody else (rule R4).
    #[must_use]
    pub fn calling_as(mut self, caller: Caller) -> Self {
        self.caller = caller;
        self
    }

    /// Render one workload. Always answers (without the time it took: whoever called has a clock); never takes longer than its requests' time-outs allow.
    pub async fn render(&self, request: &RenderRequest) -> RenderReply {
        let mut confirmation = None;
        let outcome = self.attempt(request, &mut confirmation).await.unwrap_or_else(|outcome| outcome);
        RenderReply { ticket: request.ticket, took: Duration::ZERO, outcome, confirmation }
    }

    /// The workload is read before it is rendered: whatever changes it afterwards makes the patch fail that pins the
    /// version which was read here.
    async fn attempt(
        &self,
        request: &RenderRequest,
        confirmation: &mut Option<Box<Confirmation>>,
    ) -> Result<RenderOutcome, RenderOutcome> {
        let source = self.read(request, confirmation).await?;
        self.ask(request, &source).await
    }

    async fn read(
        &self,
        request: &RenderRequest,
        confirmation: &mut Option<Box<Confirmation>>,
    ) -> Result<PodSource, RenderOutcome> {
        let key = &request.workload.key;
        let in_replica_sets = key.kind.has_replica_sets();
        let (mut workload, mut retained) = (None, None);
        if request.confirm || !in_replica_sets {
            let object = self.get(&paths::workload(key)).await?;
            if text(&object, "/metadata/uid") != &*request.workload.uid {
                return Err(RenderOutcome::Gone);
            }
            if request.confirm {
                let all = self.revisions(request, &object).await?;
                *confirmation = Some(Box::new(self.confirm(request, &object, &all)?));
                self.last_read.keep(&request.workload.uid, object.clone());
                retained = Some(all);
            }
            workload = Some(object);
        }
        if key.kind.has_template_only() {
            return self.source_from_workload(request, workload);
        }
        let (name, uid, template) = match (revision_name(request), retained) {
            // What was tried stands in all of them, and the one that is asked for is among these.
            (name, Some(all)) => from_retained(name.as_deref(), &all)?,
            (name, None) => self.read_revision(request, name, workload.as_ref().unwrap_or(&Value::Null)).await?,
        };
        let owner = if in_replica_sets {
            OwnerIdentity { api_version: "apps/v1".to_owned(), kind: "ReplicaSet".to_owned(), name, uid }
        } else {
            workload_itself(request)
        };
        Ok(PodSource { workload, owner, template })
    }

    /// Name, uid and template of the revision of this name, or of the newest one.
    async fn read_revision(
        &self,
        request: &RenderRequest,
        name: Option<String>,
        workload: &Value,
    ) -> Result<(String, String, Template), RenderOutcome> {
        let name = if let Some(name) = name {
            name
        } else {
            let all = self.revisions(request, workload).await?;
            newest_revision(&all).map(|newest| text(newest, "/metadata/name").to_owned()).ok_or(RenderOutcome::Gone)?
        };
        let plural = request.workload.key.kind.row().revisions.plural().unwrap_or_default();
        let revision = self.revision(request, plural, &name).await?;
        let uid = text(&revision, "/metadata/uid").to_owned();
        Ok((name, uid, read::template(&revision)))
    }

    /// What Pods are made from that are made from the workload's own template, if that is the one that was asked for.
    fn source_from_workload(
        &self,
        request: &RenderRequest,
        workload: Option<Value>,
    ) -> Result<PodSource, RenderOutcome> {
        let kind = request.workload.key.kind;
        let read = workload.as_ref().and_then(|object| convert::workload(kind, object, &self.keys));
        if read.is_none_or(|read| read.template.identity() != request.revision) {
            return Err(RenderOutcome::Gone);
        }
        let template = Template::of(&convert::template(kind, workload.as_ref().unwrap_or(&Value::Null)));
        Ok(PodSource { workload, owner: workload_itself(request), template })
    }

    /// The object that holds the template. Which one that is the watches say, and a controller never writes another template
    /// into it, so the API server may answer from its cache: that is a third of the work, and etcd has none. What is not in
    /// the cache, yet, is asked for once more.
    async fn revision(&self, request: &RenderRequest, plural: &str, name: &str) -> Result<Value, RenderOutcome> {
        let path = paths::revision(plural, &request.workload.key.namespace, name);
        let ours = |revision: &Value| is_controlled_by(revision, &request.workload.uid);
        let namespace = &request.workload.key.namespace;
        if !request.together.is_empty() {
            self.prefetch.start(&self.cluster, namespace, &request.together);
        }
        if let Some(revision) = self.prefetch.find(namespace, name).await.filter(ours) {
            return Ok(revision);
        }
        match self.get_part(&format!("{path}?resourceVersion=0"), read::REVISION).await {
            Ok(revision) if ours(&revision) => return Ok(revision),
            Ok(_) | Err(RenderOutcome::Gone) => {}
            Err(outcome) => return Err(outcome),
        }
        let revision = self.get_part(&path, read::REVISION).await?;
        if ours(&revision) { Ok(revision) } else { Err(RenderOutcome::Gone) }
    }

    /// The dry run itself. A name that is taken is not the end for a StatefulSet: the next ordinal may be free.
    async fn ask(&self, request: &RenderRequest, source: &PodSource) -> Result<RenderOutcome, RenderOutcome> {
        let namespace = request.what_if.namespace(&request.workload.key.namespace);
        let Some(template) = convert::template_shape(&source.template, request.fields).map(Arc::new) else {
            let OwnerIdentity { kind, name, .. } = source.owner.clone();
            return Err(undetermined(BodyError::NoSpec { kind, name }.to_string()));
        };
        let resource = owner_resource(request.workload.key.kind);
        let user = self.user(request.workload.key.kind);
        // Controllers have that right; of our own the API server does not ask then.
        let mut block_owner_deletion = user.is_some() || self.rights.may_block_deletion(&self.cluster, resource).await;
        let (mut attempt, mut existing) = (0, false);
        loop {
            let body = dry_run_pod::pod_body(&BodyRequest {
                kind: request.workload.key.kind,
                owner: &source.owner,
                workload: source.workload.as_ref(),
                template: &source.template,
                revision: &request.revision,
                ordinals: request.ordinals,
                other_than: request.other_than,
                node: request.node.as_deref(),
                attempt,
                existing,
                block_owner_deletion,
                what_if: &request.what_if,
            })
            .map_err(|error| undetermined(error.to_string()))?;
            let call = Call::dry_run_pod(namespace, body.text());
            let call = match &user {
                Some(user) => call.impersonating(user.clone()),
                None => call,
            };
            let answer = self.cluster.call(call).await.map_err(no_answer)?;
            let json = read::compared_part(&answer, request.fields);
            if block_owner_deletion && rights::is_about_blocking(&answer) {
                // The right was taken back since we asked for it.
                self.rights.forget(resource).await;
                block_owner_deletion = false;
                continue;
            }
            let name = body.pod_name.as_deref();
            let shape = |pod: &Value| convert::shape(pod, request.fields);
            match api_response::classify_render(&answer.as_core(&json), &template, name, shape) {
                RenderAnswer::Outcome(RenderOutcome::Rendered(rendering)) => {
                    self.has_all_labels(request, &json).await?;
                    let (claims, node) = (body.claims, request.node.clone());
                    return Ok(RenderOutcome::Rendered(Rendering { claims, node, ..rendering }));
                }
                // What refuses the Pod of an ordinal that does not exist may have nothing against those that do (rule R3).
                RenderAnswer::Outcome(RenderOutcome::Rejected { .. })
                    if body.pod_name.is_some() && request.ordinals.is_some() && !existing =>
                {
                    existing = true;
                }
                RenderAnswer::Outcome(outcome) => return Ok(outcome),
                // A name is looked up after admission has let the Pod be.
                RenderAnswer::NameTaken { .. } if existing => return Ok(refused_for_its_ordinal(name)),
                RenderAnswer::NameTaken { .. } if body.pod_name.is_some() && attempt + 1 < NAME_ATTEMPTS => {
                    attempt += 1;
                }
                RenderAnswer::NameTaken { message } => return Ok(undetermined(message)),
            }
        }
    }

    /// Whom to impersonate; `None`: nobody.
    fn user(&self, kind: Kind) -> Option<String> {
        match &self.caller {
            Caller::Own => None,
            Caller::User(user) => Some(user.clone()),
            // Who creates the Pods of a kind that was described, nobody said.
            Caller::Controllers if kind.row().creator.is_empty() => None,
            Caller::Controllers => Some(format!("system:serviceaccount:{}", kind.row().creator)),
        }
    }

    async fn get(&self, path: &str) -> Result<Value, RenderOutcome> {
        self.get_part(path, Needed::All).await
    }

    async fn get_part(&self, path: &str, needed: Needed) -> Result<Value, RenderOutcome> {
        let answer = self.cluster.call(Call::get(path)).await.map_err(no_answer)?;
        let reason = match answer.status.as_u16() {
            200 => return answer.part(needed).map_err(|error| undetermined(error.to_string())),
            404 => return Err(RenderOutcome::Gone),
            401 | 403 => UndeterminedReason::Forbidden,
            429 => UndeterminedReason::Throttled,
            _ => UndeterminedReason::ApiError,
        };
        Err(RenderOutcome::Undetermined { reason, message: answer.message(), retry_after: answer.retry_after })
    }
}

/// The revision object's name. A DaemonSet's Pods carry only the hash that its name ends with.
fn revision_name(request: &RenderRequest) -> Option<String> {
    let (key, revision) = (&request.workload.key, &request.revision);
    if revision.is_empty() {
        return None;
    }
    let prefix = format!("{}-", key.name);
    if key.kind == Kind::DAEMON_SET && !revision.starts_with(&prefix) {
        return Some(prefix + revision);
    }
    Some(revision.to_string())
}

/// Name, uid and template of the revision of this name among these whole ones, or of the newest.
fn from_retained(name: Option<&str>, all: &[Value]) -> Result<(String, String, Template), RenderOutcome> {
    let found = match name {
        Some(name) => all.iter().find(|revision| text(revision, "/metadata/name") == name),
        None => newest_revision(all),
    };
    let found = found.ok_or(RenderOutcome::Gone)?;
    let template = found.pointer("/data/spec/template").or_else(|| found.pointer("/spec/template"));
    let (name, uid) = (text(found, "/metadata/name").to_owned(), text(found, "/metadata/uid").to_owned());
    Ok((name, uid, Template::of(template.unwrap_or(&Value::Null))))
}

/// The newest revision of a workload whose Pods do not tell it, because there are none.
fn newest_revision(all: &[Value]) -> Option<&Value> {
    all.iter().max_by_key(|revision| revision.get("revision").and_then(Value::as_i64))
}

/// The kind that a Pod's ownerReference names, as rights spell it.
fn owner_resource(kind: Kind) -> Resource {
    let row = kind.row();
    if kind.has_replica_sets() { ("apps", "replicasets") } else { (row.group, row.plural) }
}

/// The workload, where it is itself the owner of its Pods.
fn workload_itself(request: &RenderRequest) -> OwnerIdentity {
    let key = &request.workload.key;
    OwnerIdentity {
        api_version: key.kind.api_version(),
        kind: key.kind.row().kind.to_owned(),
        name: key.name.to_string(),
        uid: request.workload.uid.to_string(),
    }
}

fn is_controlled_by(object: &Value, uid: &Name) -> bool {
    let references = object.pointer("/metadata/ownerReferences").and_then(Value::as_array);
    references.into_iter().flatten().any(|reference| {
        reference.get("controller").and_then(Value::as_bool) == Some(true)
            && reference.get("uid").and_then(Value::as_str) == Some(&**uid)
    })
}

/// The objects of a list. What is no list is not an empty one.
fn items(list: &Value) -> Result<&[Value], RenderOutcome> {
    let is_list = list.get("kind").and_then(Value::as_str).is_some_and(|kind| kind.ends_with("List"));
    match list.get("items") {
        Some(Value::Array(items)) => Ok(items),
        // So Go writes an empty one.
        Some(Value::Null) if is_list => Ok(&[]),
        _ => Err(undetermined("the API server's answer to a list cannot be read: it has no items".to_owned())),
    }
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

fn undetermined(message: String) -> RenderOutcome {
    RenderOutcome::Undetermined { reason: UndeterminedReason::ApiError, message, retry_after: None }
}

/// Admission refuses only Pods that do not exist.
fn refused_for_its_ordinal(existing: Option<&str>) -> RenderOutcome {
    let existing = existing.unwrap_or_default();
    let message = format!("admission refuses the Pod of an ordinal that does not exist, and would let {existing} be");
    RenderOutcome::Undetermined { reason: UndeterminedReason::DryRunSensitive, message, retry_after: None }
}

#[expect(clippy::needless_pass_by_value, reason = "made for `map_err`")]
fn no_answer(error: NoAnswer) -> RenderOutcome {
    undetermined(error.sentence())
}
