//! What a test needs that is in no namespace.

use anyhow::{Context as _, Result};
use kube::api::{Api, ApiResource, DynamicObject, GroupVersionKind, PostParams};
use serde_json::Value;
use testbed::TestNamespace;

/// A kind of version `v1`.
pub(crate) fn resource_of(group: &str, kind: &str) -> ApiResource {
    ApiResource::from_gvk(&GroupVersionKind::gvk(group, "v1", kind))
}

/// Creates an object that is in no namespace and goes with this one.
pub(crate) async fn create_beyond(
    ns: &TestNamespace<'_>,
    group: &str,
    kind: &str,
    name: &str,
    data: Value,
) -> Result<()> {
    let resource = resource_of(group, kind);
    let api: Api<DynamicObject> = Api::all_with(ns.client().clone(), &resource);
    let mut object = DynamicObject::new(name, &resource).data(data);
    object.metadata.owner_references = Some(vec![serde_json::from_value(ns.as_owner())?]);
    api.create(&PostParams::default(), &object).await.with_context(|| format!("cannot create the {kind}"))?;
    Ok(())
}
