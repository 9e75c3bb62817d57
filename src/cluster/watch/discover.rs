//! Which resource a kind is that a person or a policy names.

use std::borrow::Cow;

use kube::{
    Discovery,
    discovery::{ApiCapabilities, ApiGroup, ApiResource, Scope},
};

use super::object::Row;
use crate::{
    cluster::client::{Cluster, chain},
    core::config::Trigger,
};

/// Why the kind of a trigger cannot be watched.
#[derive(Debug)]
pub(super) enum DiscoveryError {
    /// The cluster does not serve such a kind.
    NotServed,
    /// The API server did not answer.
    NoAnswer(String),
}

/// The place of a trigger's kind in the API, in the version that its group prefers.
pub(super) async fn discover(cluster: &Cluster, trigger: &Trigger) -> Result<Row, DiscoveryError> {
    let discovery = Discovery::new(cluster.kube()).run_aggregated().await;
    let discovery = discovery.map_err(|error| DiscoveryError::NoAnswer(chain(&error)))?;
    let wanted = |(resource, _): &(ApiResource, ApiCapabilities)| {
        let names = [&resource.kind, &resource.plural];
        names.iter().any(|name| name.eq_ignore_ascii_case(&trigger.kind))
            && trigger.group.as_ref().is_none_or(|group| **group == *resource.group)
    };
    // The core group's kinds come first where nobody says which group is meant.
    let found = discovery.groups_alphabetical().into_iter().flat_map(ApiGroup::recommended_resources).find(wanted);
    let (resource, capabilities) = found.ok_or(DiscoveryError::NotServed)?;
    Ok(Row {
        group: Cow::Owned(resource.group),
        version: Cow::Owned(resource.version),
        kind: Cow::Owned(resource.kind),
        plural: Cow::Owned(resource.plural),
        namespaced: capabilities.scope == Scope::Namespaced,
    })
}
