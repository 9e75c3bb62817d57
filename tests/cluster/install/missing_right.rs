//! A right that is taken away is missed: what the chart grants is not more than it must.

use std::{
    collections::BTreeSet,
    hash::{BuildHasher as _, RandomState},
};

use anyhow::{Context as _, Result};
use kube::api::{DeleteParams, Patch, PatchParams};
use serde_json::json;
use testbed::{Filter, Options, Testbed, eventually};

use super::{
    release::{RELEASE, Release, apply, until_guarded},
    rights::{Right, drift, each, fleet, granted, is_used, roles, values},
};
use crate::support::{DEADLINE, until_it_may};

/// So many are tried in one run, another choice each time; all of them take minutes.
const TRIED: usize = 5;

/// A control plane of its own, for the reason that the test of all rights has.
#[tokio::test]
async fn a_right_that_is_taken_away_at_random_is_asked_for_in_vain() -> Result<()> {
    let testbed = Testbed::start(Options::default()).await?;
    let Some(audit) = testbed.audit() else { return testbed::skip("an existing cluster's audit log cannot be read") };
    let shop = testbed.create_namespace("shop").await?;
    let mut injectors = fleet(&shop).await?;
    let ns = testbed.create_namespace("drift").await?;
    let release = Release::install(&ns, &values(&shop, &injectors, "enforce", false)?).await?;
    until_guarded(&release).await?;

    let all = granted(&release.objects);
    let mut chosen: Vec<&Right> = all.iter().filter(|right| soon(right, &all)).collect();
    let random = RandomState::new();
    chosen.sort_by_key(|right| random.hash_one((&right.namespace, &right.resource, &right.verb)));
    for (number, right) in chosen.into_iter().take(TRIED).enumerate() {
        println!("without {right:?}");
        take_away(&release, right).await.with_context(|| format!("{right:?} is granted twice"))?;
        // The last one, which was killed, is forgotten: its Lease is not waited for, and no breaker is open.
        let lease = ns.dynamic("coordination.k8s.io", "v1", "Lease");
        lease.delete(RELEASE, &DeleteParams::default()).await.map(drop).or_else(gone)?;
        let (state, nothing) = (ns.dynamic("", "v1", "ConfigMap"), Patch::Merge(json!({"data": null})));
        state.patch("sidecar-drift-state", &PatchParams::default(), &nothing).await?;
        let since = audit.marker()?;
        let daemon = release.daemon()?;
        drift(&mut injectors, &format!("v{}", number + 2)).await?;
        let filter = Filter::default().since(since).service_account(ns.name(), RELEASE);
        // The injectors change while the daemon begins: between two renderings that looks like an injector that wavers, for up to
        // two minutes.
        eventually(format_args!("{right:?} is asked for"), DEADLINE * 2, async || {
            let refused: Vec<_> =
                audit.entries(&filter).await?.into_iter().filter(|entry| entry.code == Some(403)).collect();
            Ok(is_used(right, &all, &refused).then_some(()))
        })
        .await
        .with_context(|| format!("its log: {:#?}", daemon.lines()))?;
        daemon.kill9();
        give_back(&release, right).await?;
    }
    testbed.stop().await
}

fn gone(error: kube::Error) -> Result<()> {
    match error {
        kube::Error::Api(status) if status.code == 404 => Ok(()),
        other => Err(other.into()),
    }
}

/// Whether a daemon of its own asks for it when something drifts.
fn soon(right: &Right, all: &BTreeSet<Right>) -> bool {
    let watch = Right { verb: "watch".to_owned(), ..right.clone() };
    match (right.resource.as_str(), right.verb.as_str()) {
        // Where the list comes with the watch it is not asked for.
        (_, "list") => !all.contains(&watch),
        // Kubernetes grants the first to everybody, unless somebody took that away; the second is for `pause` and `resume`;
        // the third is for what a daemon before it has said already.
        ("selfsubjectaccessreviews", _) | ("configmaps", "get") | ("events", "patch") => false,
        _ => true,
    }
}

/// Applies all Roles without this right, and waits until the API server goes by that.
async fn take_away(release: &Release<'_>, right: &Right) -> Result<()> {
    for role in roles(&release.objects) {
        let mut without = role.clone();
        without["rules"] = each(role).into_iter().filter(|(one, _)| one != right).map(|(_, rule)| rule).collect();
        apply(release.ns.testbed(), &without).await?;
    }
    goes_by(release, right, false).await
}

async fn give_back(release: &Release<'_>, right: &Right) -> Result<()> {
    for role in roles(&release.objects) {
        apply(release.ns.testbed(), role).await?;
    }
    goes_by(release, right, true).await
}

async fn goes_by(release: &Release<'_>, right: &Right, may: bool) -> Result<()> {
    // What is granted by name is asked for by that name.
    let mut rules = roles(&release.objects).flat_map(each).filter(|(one, _)| one == right).map(|(_, rule)| rule);
    let name = rules.find_map(|rule| rule["resourceNames"][0].as_str().map(str::to_owned)).unwrap_or_default();
    let (resource, part) = right.resource.split_once('/').unwrap_or((&right.resource, ""));
    let user = format!("system:serviceaccount:{}:{RELEASE}", release.ns.name());
    let what = json!({
        "namespace": right.namespace, "group": right.group, "resource": resource, "subresource": part,
        "verb": right.verb, "name": name,
    });
    until_it_may(&release.ns, &user, what, may).await
}
