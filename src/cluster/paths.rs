//! The URLs of single requests, in one place, so that it can be seen (and is tested) what they can be.
//!
//! What stands in them was read from the cluster, and some of it may be written by anybody who writes there: a Lease's holder,
//! an owner's name. So all of it passes [`segment`].

use kube::{
    api::{ListParams, VersionMatch},
    core::Request,
};

use super::client::{FIELD_MANAGER, NoAnswer};
use crate::core::model::WorkloadKey;

/// What stands for a name that cannot be one. No object is called so, and the API server answers 404.
const NOBODY: &str = "-";

/// Whether an object can be called so: a DNS subdomain, as all kinds demand whose names we put into requests.
pub(super) fn is_name(text: &str) -> bool {
    let alphanumeric = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let label = |label: &str| {
        let (first, last) = (label.bytes().next(), label.bytes().next_back());
        let ends = first.as_ref().is_some_and(alphanumeric) && last.as_ref().is_some_and(alphanumeric);
        ends && label.bytes().all(|byte| alphanumeric(&byte) || byte == b'-')
    };
    text.len() <= 253 && text.split('.').all(label)
}

/// A name as it is put into a path or a selector. Encoding would not do: the API server decodes a path before it takes it
/// apart, so that an encoded `/` begins another segment.
pub(super) fn segment(name: &str) -> &str {
    if is_name(name) { name } else { NOBODY }
}

/// Where Pods are created: **always as a dry run**. There is no other function that makes a URL to create Pods.
pub(super) fn create_pod(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/pods?dryRun=All&fieldManager={FIELD_MANAGER}", segment(namespace))
}

/// The list of one Pod. To get it would take another right than to list it, which we have.
pub(super) fn pod(namespace: &str, name: &str) -> Result<String, NoAnswer> {
    let named = ListParams::default().fields(&format!("metadata.name={}", segment(name)));
    list(format!("/api/v1/namespaces/{}/pods", segment(namespace)), &named)
}

/// What a Pod serves, by way of the API server.
pub(super) fn through_pod(namespace: &str, pod: &str, port: u16, path: &str) -> String {
    format!("/api/v1/namespaces/{}/pods/{}:{port}/proxy{path}", segment(namespace), segment(pod))
}

/// The eviction of a Pod: what asks the PodDisruptionBudgets, as deleting would not.
pub(super) fn evict_pod(namespace: &str, name: &str) -> String {
    let (namespace, name) = (segment(namespace), segment(name));
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
    list(format!("/apis/apps/v1/namespaces/{}/{plural}", segment(namespace)), which)
}

/// All ConfigMaps of a namespace.
pub(super) fn config_maps(namespace: &str) -> String {
    format!("/api/v1/namespaces/{}/configmaps", segment(namespace))
}

/// A ConfigMap.
pub(super) fn config_map(namespace: &str, name: &str) -> String {
    format!("{}/{}", config_maps(namespace), segment(name))
}

/// All Events of a namespace.
pub(super) fn events(namespace: &str) -> String {
    format!("/apis/events.k8s.io/v1/namespaces/{}/events", segment(namespace))
}

/// An Event.
pub(super) fn event(namespace: &str, name: &str) -> String {
    format!("{}/{}", events(namespace), segment(name))
}

/// A namespace itself.
pub(super) fn namespace(name: &str) -> String {
    format!("/api/v1/namespaces/{}", segment(name))
}

/// All Leases of a namespace.
pub(super) fn leases(namespace: &str) -> String {
    format!("/apis/coordination.k8s.io/v1/namespaces/{}/leases", segment(namespace))
}

/// A Lease.
pub(super) fn lease(namespace: &str, name: &str) -> String {
    format!("{}/{}", leases(namespace), segment(name))
}

fn list(path: String, which: &ListParams) -> Result<String, NoAnswer> {
    let request = Request::new(path).list(which).map_err(|error| NoAnswer::Failed(Box::new(error)))?;
    Ok(request.uri().to_string())
}

fn named(group: &str, version: &str, namespace: &str, plural: &str, name: &str) -> String {
    let (namespace, name) = (segment(namespace), segment(name));
    let root = if group.is_empty() { format!("api/{version}") } else { format!("apis/{group}/{version}") };
    format!("/{root}/namespaces/{namespace}/{plural}/{name}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::core::model::owner::Kind;

    /// Each URL that can be made, of these names.
    fn urls(namespace: &str, name: &str) -> Vec<String> {
        let key = WorkloadKey { namespace: namespace.into(), kind: Kind::DEPLOYMENT, name: name.into() };
        vec![
            create_pod(namespace),
            pod(namespace, name).unwrap(),
            through_pod(namespace, name, 8081, "/api"),
            evict_pod(namespace, name),
            workload(&key),
            patch_workload(&key, false),
            revision("replicasets", namespace, name),
            revisions("replicasets", namespace, "a=b").unwrap(),
            cached_revisions("replicasets", namespace, "a=b").unwrap(),
            config_map(namespace, name),
            event(namespace, name),
            super::namespace(name),
            lease(namespace, name),
        ]
    }

    #[test]
    fn a_name_is_a_dns_subdomain() {
        let long = "x".repeat(254);
        for name in ["a", "web-0", "7d9f", "a.b-c.d", &long[..253]] {
            assert!(is_name(name), "{name}");
        }
        for no_name in ["", ".", "..", "a/b", "a%2fb", "A", "a_b", "-a", "a-", "a..b", "a.-b", "a?b", "ü", &long] {
            assert!(!is_name(no_name), "{no_name}");
        }
    }

    proptest! {
        /// Whatever somebody calls something, a request goes to the same kind of place: as many segments, the same parameters.
        #[test]
        fn no_name_leads_a_request_elsewhere(namespace in r"[a-z./?#%&= \PC]{0,12}", name in r"[a-z./?#%&= \PC]{0,12}") {
            for (url, usual) in urls(&namespace, &name).into_iter().zip(urls("shop", "web")) {
                let (path, query) = url.split_once('?').unwrap_or((&url, ""));
                let (usual, usual_query) = usual.split_once('?').unwrap_or((&usual, ""));
                prop_assert_eq!(path.split('/').count(), usual.split('/').count(), "{}", &url);
                prop_assert_eq!(query.split('&').count(), usual_query.split('&').count(), "{}", &url);
                let harmless = |byte: u8| byte.is_ascii_alphanumeric() || b"/-.:".contains(&byte);
                prop_assert!(path.bytes().all(harmless) && !path.contains("//") && !path.contains("/."), "{}", &url);
            }
        }
    }
}
