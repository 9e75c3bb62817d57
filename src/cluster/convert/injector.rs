//! Mutating webhook configurations, admission policies and their bindings, as far as they concern the creation of Pods.

use serde_json::Value;

use super::{
    fields::{Faults, Field},
    metadata,
};
use crate::core::model::{InjectorEntry, InjectorKind, InjectorSnapshot, Name, ObjectKey, Params};

/// A configuration, policy or binding; `None` without a name.
pub(super) fn injector(kind: InjectorKind, value: &Value, faults: &Faults) -> Option<InjectorSnapshot> {
    let object = Field::root(value, faults);
    let name = metadata::key(&object)?.name;
    let spec = object.at("spec");
    let (hash, policy, entries) = match kind {
        InjectorKind::MutatingWebhookConfiguration => {
            let webhooks = object.at("webhooks");
            let entries = webhooks.items().filter(|hook| creates_pods(&hook.at("rules"))).map(|hook| webhook(&hook));
            (hash_of_webhooks(webhooks.value()), Name::from(""), entries.collect())
        }
        InjectorKind::MutatingAdmissionPolicy => {
            let fails_open = spec.at("failurePolicy").text() == Some("Ignore");
            let entry = matches_of(&spec.at("matchConstraints"))
                .map(|entry| InjectorEntry { ignores_failure: fails_open, ..entry });
            (metadata::hash(spec.value()), Name::from(""), entry.into_iter().collect())
        }
        InjectorKind::MutatingAdmissionPolicyBinding => {
            let entry = matches_of(&spec.at("matchResources"));
            (metadata::hash(spec.value()), spec.at("policyName").name(), entry.into_iter().collect())
        }
    };
    let params = params(kind, &spec);
    Some(InjectorSnapshot { kind, name, hash, policy, entries, params, changed_by: metadata::changed_by(&object) })
}

/// What the policy reads beside the Pod: `paramKind` of a policy, `paramRef` of a binding.
fn params(kind: InjectorKind, spec: &Field<'_>) -> Option<Params> {
    match kind {
        InjectorKind::MutatingWebhookConfiguration => None,
        InjectorKind::MutatingAdmissionPolicy => {
            let params = spec.at("paramKind");
            let version = params.at("apiVersion").text()?;
            let group = version.split_once('/').map_or("", |(group, _)| group);
            Some(Params { group: group.into(), kind: params.at("kind").name(), ..Params::default() })
        }
        InjectorKind::MutatingAdmissionPolicyBinding => {
            let params = spec.at("paramRef");
            let which = || Params {
                namespace: params.at("namespace").name(),
                name: params.at("name").name(),
                ..Params::default()
            };
            params.is_some().then(which)
        }
    }
}

fn webhook(hook: &Field<'_>) -> InjectorEntry {
    let service = hook.at("clientConfig").at("service");
    InjectorEntry {
        namespaces: metadata::selector(&hook.at("namespaceSelector")),
        objects: metadata::selector(&hook.at("objectSelector")),
        service: service
            .is_some()
            .then(|| ObjectKey { namespace: service.at("namespace").name(), name: service.at("name").name() }),
        timeout_seconds: hook.at("timeoutSeconds").value().as_u64().and_then(|n| n.try_into().ok()).unwrap_or(10),
        ignores_failure: hook.at("failurePolicy").text() == Some("Ignore"),
        // A field that is missing or new to us is no promise.
        refuses_dry_run: !matches!(hook.at("sideEffects").text(), Some("None" | "NoneOnDryRun")),
    }
}

/// A policy's or binding's `matchResources`. Without rules (a binding's are optional) it leaves the choice to the other
/// one. `excludeResourceRules` are left aside: they could only make us ask less.
fn matches_of(resources: &Field<'_>) -> Option<InjectorEntry> {
    let rules = resources.at("resourceRules");
    if rules.is_some() && !creates_pods(&rules) {
        return None;
    }
    Some(InjectorEntry {
        namespaces: metadata::selector(&resources.at("namespaceSelector")),
        objects: metadata::selector(&resources.at("objectSelector")),
        service: None,
        timeout_seconds: 0,
        ignores_failure: false,
        refuses_dry_run: false,
    })
}

/// Whether one of the rules matches `CREATE` of `pods` in `v1`, by the API server's own reading: `pods/*` covers the Pods
/// themselves, too.
fn creates_pods(rules: &Field<'_>) -> bool {
    rules.items().any(|rule| {
        rule.at("operations").holds(&["CREATE", "*"])
            && rule.at("apiGroups").holds(&["", "*"])
            && rule.at("apiVersions").holds(&["v1", "*"])
            && rule.at("resources").holds(&["pods", "pods/*", "*", "*/*"])
            && rule.at("scope").text() != Some("Cluster")
    })
}

/// Certificates are renewed without anything being injected differently, so `caBundle` does not count.
fn hash_of_webhooks(webhooks: &Value) -> Name {
    let mut webhooks = webhooks.clone();
    for hook in webhooks.as_array_mut().into_iter().flatten() {
        if let Some(client) = hook.get_mut("clientConfig").and_then(Value::as_object_mut) {
            client.remove("caBundle");
        }
    }
    metadata::hash(&webhooks)
}
