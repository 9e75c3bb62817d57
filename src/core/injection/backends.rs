//! What backs injectors: who serves, and whether it is whole.

use std::collections::BTreeSet;

use crate::core::{
    inventory::Index,
    model::{InjectorKind, InjectorSnapshot, Name, ObjectKey, WorkloadSnapshot, rollout_status},
};

/// The injectors with a Service in this namespace.
pub fn backed_from<'a>(namespace: &'a Name, index: &'a Index) -> impl Iterator<Item = &'a InjectorSnapshot> {
    index.injectors().filter(move |i| i.services().any(|s| s.namespace == *namespace))
}

/// Whether a workload runs the Pods behind this Service.
pub fn backs(workload: &WorkloadSnapshot, service: &ObjectKey, index: &Index) -> bool {
    workload.key.namespace == service.namespace
        && index.service(service).is_some_and(|s| {
            !s.selector.is_empty() && s.selector.iter().all(|(k, v)| workload.template.labels.get(k) == Some(v))
        })
}

/// The workloads that run the Pods behind an injector.
pub fn backends_of<'a>(injector: &'a InjectorSnapshot, index: &'a Index) -> impl Iterator<Item = &'a WorkloadSnapshot> {
    injector
        .services()
        .flat_map(move |service| index.workloads_in(&service.namespace).filter(move |w| backs(w, service, index)))
}

/// Why the answers of an injector cannot be relied upon now (rule R9): its backends are mixed, of two revisions. Two renderings
/// that agree would prove nothing, because the API server keeps one connection and asks the same backend again.
pub fn backends_mixed(injector: &InjectorSnapshot, index: &Index) -> Option<String> {
    if let Some(backend) = backends_of(injector, index).find(|backend| rollout_status::rollout_in_progress(backend)) {
        return Some(format!("{} is rolling out", backend.key));
    }
    let service = injector.services().find(|service| revisions(service, index).len() > 1)?;
    Some(format!("Service {}/{} has Pods of more than one revision", service.namespace, service.name))
}

/// The revisions of the Pods that answer for a Service. The Pods themselves may not be watched, if only some namespaces
/// are; then the names tell: a Deployment's Pods are called `<name>-<hash>-<suffix>`.
fn revisions(service: &ObjectKey, index: &Index) -> BTreeSet<Name> {
    let ready = index.endpoints_of(service).flat_map(|slice| slice.ready.iter());
    let revision = |name: &Name| {
        let pod = index.pod(&ObjectKey { namespace: service.namespace.clone(), name: name.clone() });
        match pod {
            Some(pod) => (!pod.state.terminating).then(|| pod.made.revision.clone()),
            None => name.rsplit('-').nth(1).map(Name::from),
        }
    };
    ready.filter_map(revision).collect()
}

/// The revision that answers for each Service behind an injector.
pub type BackendRevisions = BTreeSet<(ObjectKey, Name)>;

/// The one revision that answers for each Service behind an injector; `None` while one of them has none, or several.
pub fn backend_revisions(injector: &InjectorSnapshot, index: &Index) -> Option<BackendRevisions> {
    let one = |service: &ObjectKey| {
        let mut revisions = revisions(service, index).into_iter();
        revisions.next().filter(|_| revisions.next().is_none()).map(|revision| (service.clone(), revision))
    };
    injector.services().map(one).collect()
}

/// Whether what backs an injector is whole: each Service has a ready endpoint, each workload behind it all its Pods.
/// A policy has nothing that could fail; of a `url` nothing can be said (`None`).
pub fn healthy(injector: &InjectorSnapshot, index: &Index) -> Option<bool> {
    if injector.kind != InjectorKind::MutatingWebhookConfiguration {
        return Some(true);
    }
    if injector.entries.iter().any(|entry| entry.service.is_none()) {
        return None;
    }
    let answers =
        |service: &ObjectKey| index.endpoints_of(service).any(|slice| !slice.ready.is_empty() || slice.others > 0);
    let whole =
        backends_of(injector, index).all(|b| !rollout_status::rollout_in_progress(b) && rollout_status::healthy(b));
    Some(whole && injector.services().all(answers))
}
