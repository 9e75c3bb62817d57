//! The API server's audit log: what was asked, and what was *not*.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read as _, Seek as _, SeekFrom};
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use jiff::Timestamp;
use serde::Deserialize;

use crate::eventually::eventually;

/// Between the end of a request as its client sees it and the line that says so.
const LAG: Duration = Duration::from_secs(5);

/// A reader of the audit log.
#[derive(Debug, Clone)]
pub struct Audit {
    path: PathBuf,
}

/// A position in the log: requests that begin after it was taken are behind it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Marker(u64);

/// One request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuditEntry {
    /// Who: `system:serviceaccount:ns:name`, `testbed-admin`, ...
    pub user: String,
    /// As whom, with UID, groups and more; empty: as itself.
    pub acts_as: String,
    /// The client's name for itself.
    pub user_agent: String,
    /// `get`, `list`, `watch`, `create`, `patch`, ...
    pub verb: String,
    /// Empty for requests like `/readyz`.
    pub api_group: String,
    /// `pods`; empty for requests like `/readyz`.
    pub resource: String,
    /// `status`; empty for most.
    pub subresource: String,
    /// Empty for what is cluster-wide.
    pub namespace: String,
    /// Empty for lists and creations with a generated name.
    pub name: String,
    /// Path and query.
    pub request_uri: String,
    /// The status code; none as long as there is no answer.
    pub code: Option<u16>,
    /// How far it has come.
    pub stage: Stage,
    /// When it came in, by the API server's clock.
    pub received: Timestamp,
    /// When it came as far as it has.
    pub reached: Timestamp,
}

/// How far a request has come. A watch that is open stays at [`Stage::ResponseStarted`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[expect(missing_docs, reason = "the names are Kubernetes' own")]
pub enum Stage {
    RequestReceived,
    ResponseStarted,
    ResponseComplete,
    Panic,
}

impl AuditEntry {
    /// Whether it was asked with `dryRun=All`, and so changed nothing.
    pub fn is_dry_run(&self) -> bool {
        self.request_uri.split(['?', '&']).skip(1).any(|pair| pair == "dryRun=All")
    }

    /// Whether it could change something: not a read, and not a dry run.
    pub fn writes(&self) -> bool {
        !matches!(self.verb.as_str(), "get" | "list" | "watch") && !self.is_dry_run()
    }
}

/// Which requests are of interest; the default is all of them.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    since: Marker,
    user: Option<String>,
    user_agent: Option<String>,
    namespace: Option<String>,
}

impl Filter {
    /// Those that began after `marker`.
    #[must_use]
    pub fn since(mut self, marker: Marker) -> Self {
        self.since = marker;
        self
    }

    /// Those of this user.
    #[must_use]
    pub fn user(mut self, user: impl Into<String>) -> Self {
        self.user = Some(user.into());
        self
    }

    /// Those of this ServiceAccount.
    #[must_use]
    pub fn service_account(self, namespace: &str, name: &str) -> Self {
        self.user(format!("system:serviceaccount:{namespace}:{name}"))
    }

    /// Those whose user agent begins like this.
    #[must_use]
    pub fn user_agent(mut self, prefix: impl Into<String>) -> Self {
        self.user_agent = Some(prefix.into());
        self
    }

    /// Those about this namespace.
    #[must_use]
    pub fn namespace(mut self, namespace: impl Into<String>) -> Self {
        self.namespace = Some(namespace.into());
        self
    }

    fn matches(&self, entry: &AuditEntry) -> bool {
        self.user.as_ref().is_none_or(|user| entry.user == *user)
            && self.user_agent.as_ref().is_none_or(|prefix| entry.user_agent.starts_with(prefix))
            && self.namespace.as_ref().is_none_or(|namespace| entry.namespace == *namespace)
    }
}

impl Audit {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }

    /// The end of the log as it is now.
    pub fn marker(&self) -> Result<Marker> {
        Ok(Marker(self.path.metadata().context("the audit log is gone")?.len()))
    }

    /// The requests that the filter lets through, in the order in which they began.
    ///
    /// A request is in the log before it is carried out, so whatever has had an effect, or an answer, is here. The code
    /// follows a moment after the answer; this waits until no request but the open watches lacks it.
    pub async fn entries(&self, filter: &Filter) -> Result<Vec<AuditEntry>> {
        let settled = eventually("every request in the audit log has its answer", LAG, async || {
            let entries = self.read(filter)?;
            Ok(entries.iter().all(|entry| entry.code.is_some()).then_some(entries))
        });
        // One that takes longer than that is still worth seeing.
        settled.await.or_else(|_| self.read(filter))
    }

    fn read(&self, filter: &Filter) -> Result<Vec<AuditEntry>> {
        let mut file = File::open(&self.path).context("the audit log is gone")?;
        file.seek(SeekFrom::Start(filter.since.0.saturating_sub(1)))?;
        let mut text = Vec::new();
        file.read_to_end(&mut text)?;
        let text = String::from_utf8_lossy(whole_lines(&text, filter.since));
        Ok(parse(&text)?.into_iter().filter(|entry| filter.matches(entry)).collect())
    }
}

/// Without the rest of a line that was being written when the marker was taken. The text begins one byte before the marker.
fn whole_lines(text: &[u8], since: Marker) -> &[u8] {
    if since == Marker::default() {
        return text;
    }
    text.iter().position(|byte| *byte == b'\n').and_then(|end| text.get(end + 1..)).unwrap_or_default()
}

/// Merges the lines of each request. What had begun before the text is left out; so is a last line that is being written.
fn parse(text: &str) -> Result<Vec<AuditEntry>> {
    let mut order = Vec::new();
    let mut entries: BTreeMap<String, AuditEntry> = BTreeMap::new();
    for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
        let event: Event = serde_json::from_str(line).with_context(|| format!("not an audit event: {line}"))?;
        let id = event.audit_id.clone();
        match entries.get_mut(&id) {
            // Who is not known is refused before the request is taken in: that is its only line.
            None if event.stage == Stage::RequestReceived || event.code() == Some(401) => {
                order.push(id.clone());
                entries.insert(id, event.into());
            }
            None => {}
            Some(entry) => {
                let later = AuditEntry::from(event);
                // The name of a created object is known only at the end.
                entry.code = later.code.or(entry.code);
                // Neither is as whom at the beginning.
                entry.acts_as =
                    if later.acts_as.is_empty() { std::mem::take(&mut entry.acts_as) } else { later.acts_as };
                entry.stage = entry.stage.max(later.stage);
                entry.reached = entry.reached.max(later.reached);
                entry.name = if later.name.is_empty() { std::mem::take(&mut entry.name) } else { later.name };
            }
        }
    }
    Ok(order.iter().filter_map(|id| entries.remove(id)).collect())
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Event {
    #[serde(rename = "auditID")]
    audit_id: String,
    stage: Stage,
    #[serde(rename = "requestURI")]
    request_uri: String,
    verb: String,
    user: EventUser,
    #[serde(default)]
    impersonated_user: Option<EventUser>,
    #[serde(default)]
    user_agent: String,
    #[serde(default)]
    object_ref: ObjectRef,
    response_status: Option<ResponseStatus>,
    #[serde(default)]
    request_received_timestamp: Timestamp,
    #[serde(default)]
    stage_timestamp: Timestamp,
}

#[derive(Deserialize)]
struct EventUser {
    #[serde(default)]
    username: String,
    #[serde(default)]
    uid: String,
    #[serde(default)]
    groups: Vec<String>,
    #[serde(default)]
    extra: BTreeMap<String, Vec<String>>,
}

impl EventUser {
    fn text(&self) -> String {
        let Self { username, uid, groups, extra } = self;
        let uid = if uid.is_empty() { String::new() } else { format!(" uid {uid}") };
        let groups = if groups.is_empty() { String::new() } else { format!(" in {}", groups.join(" ")) };
        let extra: Vec<_> = extra.iter().map(|(key, values)| format!(" {key}={}", values.join("+"))).collect();
        format!("{username}{uid}{groups}{}", extra.concat())
    }
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct ObjectRef {
    api_group: String,
    resource: String,
    subresource: String,
    namespace: String,
    name: String,
}

#[derive(Deserialize)]
struct ResponseStatus {
    code: Option<u16>,
}

impl Event {
    fn code(&self) -> Option<u16> {
        self.response_status.as_ref().and_then(|status| status.code)
    }
}

impl From<Event> for AuditEntry {
    fn from(event: Event) -> Self {
        Self {
            code: event.code(),
            acts_as: event.impersonated_user.as_ref().map(EventUser::text).unwrap_or_default(),
            user: event.user.username,
            user_agent: event.user_agent,
            verb: event.verb,
            api_group: event.object_ref.api_group,
            resource: event.object_ref.resource,
            subresource: event.object_ref.subresource,
            namespace: event.object_ref.namespace,
            name: event.object_ref.name,
            request_uri: event.request_uri,
            stage: event.stage,
            received: event.request_received_timestamp,
            reached: event.stage_timestamp,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(id: &str, stage: &str, more: &str) -> String {
        format!(
            r#"{{"auditID":"{id}","stage":"{stage}","requestURI":"/api/v1/namespaces/here/pods?dryRun=All","verb":"create","user":{{"username":"me"}}{more}}}"#
        ) + "\n"
    }

    #[test]
    fn the_lines_of_a_request_are_one_entry() -> Result<()> {
        let text = line("1", "RequestReceived", r#","objectRef":{"resource":"pods","namespace":"here"}"#)
            + &line("2", "RequestReceived", "")
            + &line("1", "ResponseComplete", r#","objectRef":{"name":"web-1"},"responseStatus":{"code":201}"#);
        let entries = parse(&text)?;
        assert_eq!(entries.len(), 2);
        assert_eq!((entries[0].name.as_str(), entries[0].resource.as_str()), ("web-1", "pods"));
        assert_eq!((entries[0].code, entries[0].stage), (Some(201), Stage::ResponseComplete));
        assert_eq!((entries[1].code, entries[1].stage), (None, Stage::RequestReceived));
        Ok(())
    }

    #[test]
    fn what_had_begun_before_the_marker_and_what_is_being_written_is_left_out() -> Result<()> {
        let text = line("1", "ResponseComplete", "") + &line("2", "RequestReceived", "") + r#"{"auditID":"3","#;
        assert_eq!(parse(&text)?.len(), 1);
        Ok(())
    }

    #[test]
    fn a_marker_may_fall_into_a_line_that_is_being_written() -> Result<()> {
        let file = tempfile::NamedTempFile::new()?;
        let (first, second) = (line("1", "RequestReceived", ""), line("2", "RequestReceived", ""));
        std::fs::write(file.path(), first.clone() + &second)?;
        let audit = Audit::new(file.path());
        let found = |at: usize| audit.read(&Filter::default().since(Marker(at as u64))).map(|entries| entries.len());
        assert_eq!((found(0)?, found(1)?, found(first.len() - 1)?), (2, 1, 1));
        assert_eq!((found(first.len())?, found(first.len() + 1)?, found(first.len() + second.len())?), (1, 0, 0));
        Ok(())
    }

    #[test]
    fn a_dry_run_does_not_write() -> Result<()> {
        let entry = parse(&line("1", "RequestReceived", ""))?.remove(0);
        assert!(entry.is_dry_run() && !entry.writes());
        let real = AuditEntry { request_uri: "/api/v1/namespaces/here/pods".to_owned(), ..entry };
        assert!(real.writes());
        Ok(())
    }
}
