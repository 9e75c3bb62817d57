//! The URLs of single requests, in one place, so that it can be seen (and is tested) what they can be.

use std::fmt::Display;

use kube::{
    api::{ListParams, VersionMatch},
    core::Request,
};

use super::client::{FIELD_MANAGER, NoAnswer};
use crate::core::model::WorkloadKey;

/// Where Pods are created: **always as a dry run**. There is no other function that makes a URL to create Pods.
pub(super) fn create_pod(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods?dryRun=All&fieldManager={FIELD_MANAGER}")
}

/// The list of one Pod. To get it would take another right than to list it, which we have.
pub(super) fn pod(namespace: &str, name: &str) -> Result<String, NoAnswer> {
    let named = ListParams::default().fields(&format!("metadata.name={name}"));
    list(format!("/api/v1/namespaces/{namespace}/pods"), &named)
}

/// What a Pod serves, by way of the API server.
pub(super) fn through_pod(namespace: &str, pod: &str, port: u16, path: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{pod}:{port}/proxy{path}")
}

/// The eviction of a Pod: what asks the PodDisruptionBudgets, as deleting would not.
pub(super) fn evict_pod(namespace: &str, name: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/pods/{name}/eviction?fieldManager={FIELD_MANAGER}")
}

/// A workload.
pub(super) fn workload(key: &WorkloadKey) -> String {
    let row = key.kind.row();
    named(row.group, row.version, &key.namespace, row.plural, &key.name)
}

/// A patch of a workload.
pub(super) fn patch_workload(key: &WorkloadKey, dry_run: bool) -> String {
    let dry_run = if dry_run { "dryRun=All&" } else { "" };
    format!("{}?{dry_run}fieldManager={FIELD_MANAGER}", workload(key))
}

/// The object that holds one revision of a workload's template. `plural`: see
/// [`RevisionKind::plural`](crate::core::model::owner::RevisionKind::plural).
pub(super) fn revision(plural: &str, namespace: &str, name: &str) -> String {
    named("apps", "v1", namespace, plural, name)
}

/// All revisions that a label selector selects.
pub(super) fn revisions(plural: &str, namespace: &str, selector: &str) -> Result<String, NoAnswer> {
    revisions_of(plural, namespace, &ListParams::default().labels(selector))
}

/// The same as the API server has them in its cache, which costs it a fraction.
pub(super) fn cached_revisions(plural: &str, namespace: &str, selector: &str) -> Result<String, NoAnswer> {
    let cached = ListParams::default().at("0").matching(VersionMatch::NotOlderThan);
    revisions_of(plural, namespace, &cached.labels(selector))
}

fn revisions_of(plural: &str, namespace: &str, which: &ListParams) -> Result<String, NoAnswer> {
    list(format!("/apis/apps/v1/namespaces/{namespace}/{plural}"), which)
}

/// All ConfigMaps of a namespace.
pub(super) fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{namespace}/configmaps")
}

/// All Events of a namespace.
pub(super) fn events(namespace: &str) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{namespace}/events")
}

/// All Leases of a namespace.
pub(super) fn leases(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{namespace}/leases")
}

/// A Lease.
pub(super) fn lease(namespace: &str, name: &str) -> String {
    format!("{}/{name}", leases(namespace))
}

fn list(path: String, which: &ListParams) -> Result<String, NoAnswer> {
    let request = Request::new(path).list(which).map_err(|error| NoAnswer::Failed(Box::new(error)))?;
    Ok(request.uri().to_string())
}

fn named(group: &str, version: &str, namespace: impl Display, plural: &str, name: impl Display) -> String {
    let root = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
    format!("/{root}/namespaces/{namespace}/{plural}/{name}")
}
