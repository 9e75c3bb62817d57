//! What the StatefulSet controller adds: an identity and its claims (rule R3).

use serde_json::{Value, json};

use super::body::{Body, BodyError, BodyRequest, NAME_ATTEMPTS, REVISION_LABEL, insert, set_label};

/// The longest value of a label, and of a hostname.
const LONGEST_LABEL: usize = 63;

/// Completes the Pod, and names it.
///
/// The Pod is named after an ordinal that does not exist and that the controller will not create either, because the
/// API server refuses a taken name in a dry run, too. Its claims are those of an ordinal that exists: some injectors
/// look them up. The rendering after another one is for another ordinal, with the claims of another one.
pub(super) fn complete(pod: &mut Body<'_>, spec: &mut Value, request: &BodyRequest<'_, '_>) -> Result<(), BodyError> {
    let set = &request.owner.name;
    let set_spec = request.workload.and_then(|w| w.get("spec"));
    let set_spec = set_spec.ok_or_else(|| BodyError::NoWorkload { name: set.clone() })?;
    let number = |pointer: &str| set_spec.pointer(pointer).and_then(Value::as_u64).and_then(|n| u32::try_from(n).ok());
    let start = number("/ordinals/start").unwrap_or(0);
    let replicas = number("/replicas").unwrap_or(1);
    let wanted = start.saturating_add(replicas);
    let unused = request.ordinals.map_or(wanted, |(_, highest)| wanted.max(highest.saturating_add(1)));
    // Each attempt has an ordinal of its own, so the next ones after all of these are others.
    let taken = unused..unused.saturating_add(NAME_ATTEMPTS);
    let is_another = request.other_than.is_some_and(|other| taken.contains(&other));
    let named = |first: u32| {
        let ordinal = first.saturating_add(request.attempt);
        (ordinal, format!("{set}-{ordinal}"))
    };
    let other = Some(named(taken.end)).filter(|(_, name)| is_another && name.len() <= LONGEST_LABEL);
    let existing = request.ordinals.filter(|_| request.existing).map(|(lowest, _)| (lowest, format!("{set}-{lowest}")));
    let (ordinal, name) = existing.or(other).unwrap_or_else(|| named(unused));
    if name.len() > LONGEST_LABEL {
        // The server would refuse this one for its name and say nothing about the others.
        let longest_existing = request.ordinals.map_or(start, |(_, highest)| highest);
        if format!("{set}-{longest_existing}").len() <= LONGEST_LABEL {
            return Err(BodyError::NoFreeName { name: set.clone() });
        }
    }

    insert_identity(pod, spec, &name, set_spec.get("serviceName").and_then(Value::as_str));
    set_label(pod, "statefulset.kubernetes.io/pod-name", &name);
    set_label(pod, "apps.kubernetes.io/pod-index", &ordinal.to_string());
    set_label(pod, REVISION_LABEL, request.revision);
    let is_another = is_another && !request.existing;
    let claims = request.ordinals.map_or(start, |(lowest, highest)| if is_another { highest } else { lowest });
    insert_claims(spec, set_spec, &format!("{set}-{claims}"));
    pod.claims = Some(claims);
    pod.pod_name = Some(name);
    Ok(())
}

fn insert_identity(pod: &mut Body<'_>, spec: &mut Value, name: &str, service: Option<&str>) {
    insert(&mut pod.metadata, "name", json!(name));
    insert(spec, "hostname", json!(name));
    match service.filter(|service| !service.is_empty()) {
        Some(service) => insert(spec, "subdomain", json!(service)),
        // The controller overwrites the template's with nothing.
        None => drop(spec.as_object_mut().and_then(|spec| spec.remove("subdomain"))),
    }
}

/// Puts a volume for each claim template before the template's own volumes, in the place of those of the same name.
fn insert_claims(spec: &mut Value, set_spec: &Value, suffix: &str) {
    let templates = set_spec.get("volumeClaimTemplates").and_then(Value::as_array).map_or(&[][..], Vec::as_slice);
    let claims: Vec<&str> =
        templates.iter().filter_map(|t| t.pointer("/metadata/name").and_then(Value::as_str)).collect();
    if claims.is_empty() {
        return;
    }
    let own = spec.get("volumes").and_then(Value::as_array).cloned().unwrap_or_default();
    let volumes = claims
        .iter()
        .map(|claim| json!({ "name": claim, "persistentVolumeClaim": { "claimName": format!("{claim}-{suffix}") } }))
        .chain(own.into_iter().filter(|v| !v.get("name").and_then(Value::as_str).is_some_and(|n| claims.contains(&n))))
        .collect();
    insert(spec, "volumes", volumes);
}
