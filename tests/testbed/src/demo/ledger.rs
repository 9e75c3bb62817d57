//! All that the program has asked of the API server, and whether it was no more than it should.

use std::collections::{BTreeMap, BTreeSet};

use anyhow::Result;
use testbed::{Audit, AuditEntry, Filter, Marker};

use crate::demo::checks::{Wrong, with};
use crate::demo::fleet::Fate;
use crate::demo::program::{NAME, STATE};

/// What the API server's audit log has of the program.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    reads: usize,
    dry_creations: usize,
    reviews: usize,
    dry_patches: usize,
    /// Real patches that went through, by workload.
    patches: BTreeMap<String, usize>,
    state: usize,
    refused: BTreeSet<String>,
    others: Vec<String>,
}

impl Ledger {
    /// Sorts every request that was made since `since`.
    pub(super) async fn read(audit: &Audit, since: Marker) -> Result<Self> {
        let mut ledger = Self::default();
        for entry in audit.entries(&Filter::default().since(since).service_account(NAME, NAME)).await? {
            ledger.add(&entry);
        }
        Ok(ledger)
    }

    fn add(&mut self, entry: &AuditEntry) {
        let AuditEntry { verb, api_group, resource, subresource, namespace, name, .. } = entry;
        if entry.code == Some(403) {
            self.refused.insert(format!("{verb} {resource}"));
        }
        let kind = match resource.as_str() {
            "deployments" => "Deployment",
            "statefulsets" => "StatefulSet",
            "daemonsets" => "DaemonSet",
            _ => "",
        };
        match (verb.as_str(), resource.as_str()) {
            ("get" | "list" | "watch", _) => self.reads += 1,
            ("create", "pods") if entry.is_dry_run() && subresource.is_empty() => self.dry_creations += 1,
            ("create", _) if api_group == "authorization.k8s.io" => self.reviews += 1,
            ("patch", _) if !kind.is_empty() && subresource.is_empty() && entry.is_dry_run() => self.dry_patches += 1,
            ("patch", _) if !kind.is_empty() && subresource.is_empty() => {
                // One that lost a race has changed nothing, but must be about the right workload nevertheless.
                let went_through = entry.code.is_none_or(|code| code < 400);
                *self.patches.entry(format!("{kind}/{namespace}/{name}")).or_default() += usize::from(went_through);
            }
            ("create" | "patch", "configmaps") if namespace == NAME && name == STATE => self.state += 1,
            _ => self.others.push(format!("{verb} {} (code {:?})", entry.request_uri, entry.code)),
        }
    }

    /// How many requests there were, by kind.
    pub(super) fn lines(&self) -> Vec<String> {
        let state = format!("writes of its ConfigMap {STATE}");
        let counts = [
            (self.reads, "get, list and watch"),
            (self.reviews, "questions what it may do (access reviews)"),
            (self.dry_creations, "creations of Pods as dry runs (dryRun=All)"),
            (self.dry_patches, "patches of workloads as dry runs"),
            (self.patches.values().sum(), "patches of workloads in earnest"),
            (self.state, &state),
            (self.others.len(), "anything else"),
        ];
        counts.map(|(count, what)| format!("{count:5}  {what}")).to_vec()
    }

    /// One real patch for each drifted workload and nothing else that changes anything.
    pub(super) fn wrong(&self) -> Wrong {
        let mut wrong = self.others.clone();
        let expected: BTreeMap<_, _> = with(|fate| fate == Fate::Rolled).map(|one| (one.to_string(), 1)).collect();
        for workload in expected.keys().chain(self.patches.keys()).collect::<BTreeSet<_>>() {
            let (made, wanted) = (self.patches.get(workload), expected.get(workload));
            if made != wanted {
                let [made, wanted] = [made, wanted].map(|count| count.copied().unwrap_or_default());
                wrong.push(format!("{workload} was patched {made} times and should have been {wanted} times"));
            }
        }
        if self.dry_creations == 0 {
            wrong.push("the audit log knows of no dry run at all, so it proves nothing".to_owned());
        }
        wrong
    }

    /// What its rights do not allow, although it asked.
    pub(super) fn refusals(&self) -> Wrong {
        self.refused.iter().map(|what| format!("refused: {what}")).collect()
    }
}
