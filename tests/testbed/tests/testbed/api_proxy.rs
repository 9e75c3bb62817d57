//! The proxy before the API server: it holds what it is told to hold, and nothing else.

use std::future::Future;
use std::pin::pin;
use std::time::Duration;

use anyhow::{Result, ensure};
use futures::StreamExt as _;
use futures::future::{Either, select};
use http::Method;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, Patch, PatchParams, PostParams, WatchEvent, WatchParams};
use serde_json::json;
use testbed::{Filter, Matcher, TestNamespace, Testbed, When, client, eventually};

const DEADLINE: Duration = Duration::from_secs(20);

async fn config_map(ns: &TestNamespace<'_>) -> Result<()> {
    let manifest = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "it"}, "data": {"is": "old"}});
    ns.create(manifest).await.map(drop)
}

async fn value(ns: &TestNamespace<'_>) -> Result<Option<String>> {
    let found = ns.api::<ConfigMap>().get("it").await?;
    Ok(found.data.and_then(|mut data| data.remove("is")))
}

/// Fails if `request` ends before `meanwhile` does.
async fn held_during<T>(request: impl Future, meanwhile: impl Future<Output = Result<T>>) -> Result<T> {
    match select(pin!(request), pin!(meanwhile)).await {
        Either::Left(_) => anyhow::bail!("the request was not held"),
        Either::Right((result, _)) => result,
    }
}

#[tokio::test]
async fn an_answer_is_held_after_the_request_has_been_carried_out() -> Result<()> {
    let testbed = Testbed::shared().await?;
    testbed
        .with_namespace("proxy-after", async |ns| {
            config_map(&ns).await?;
            let proxy = testbed.api_proxy().await?;
            let through: Api<ConfigMap> = Api::namespaced(client(proxy.kubeconfig()).await?, ns.name());
            let matcher = Matcher::method(Method::PATCH).path_contains("/configmaps/it").not_query_contains("dryRun");
            let held = proxy.hold(matcher, When::After);

            let patch = Patch::Merge(json!({"data": {"is": "new"}}));
            through.patch("it", &PatchParams::default().dry_run(), &patch).await?;
            let params = PatchParams::default();
            let mut request = Box::pin(through.patch("it", &params, &patch));
            let request_seen = held_during(&mut request, held.reached()).await?;
            ensure!(request_seen.status == Some(200), "{request_seen:?}");
            ensure!(value(&ns).await?.as_deref() == Some("new"));

            held.release();
            request.await?;
            let methods: Vec<_> = proxy.requests().into_iter().map(|seen| (seen.method, seen.status)).collect();
            assert_eq!(methods, [(Method::PATCH, Some(200)), (Method::PATCH, Some(200))]);
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_request_that_is_held_before_it_is_carried_out_dies_with_its_client() -> Result<()> {
    let testbed = Testbed::shared().await?;
    testbed
        .with_namespace("proxy-before", async |ns| {
            config_map(&ns).await?;
            let proxy = testbed.api_proxy().await?;
            let through: Api<ConfigMap> = Api::namespaced(client(proxy.kubeconfig()).await?, ns.name());
            let held = proxy.hold(Matcher::method(Method::PATCH), When::Before);

            let patch = Patch::Merge(json!({"data": {"is": "new"}}));
            let params = PatchParams::default();
            // Dropped with its connection, as by a client that is killed.
            held_during(through.patch("it", &params, &patch), held.reached()).await?;
            drop(through);
            eventually("the proxy has noticed", DEADLINE, async || Ok(held.is_gone().then_some(()))).await?;
            held.release();

            let marker = testbed.audit().map(|audit| audit.marker()).transpose()?;
            assert_eq!(value(&ns).await?.as_deref(), Some("old"));
            if let (Some(audit), Some(marker)) = (testbed.audit(), marker) {
                let entries = audit.entries(&Filter::default().since(marker).namespace(ns.name())).await?;
                assert!(entries.iter().all(|entry| !entry.writes() || entry.user != "testbed-admin"), "{entries:?}");
            }
            Ok(())
        })
        .await
}

#[tokio::test]
async fn a_watch_streams_through_in_the_name_of_a_service_account() -> Result<()> {
    let testbed = Testbed::shared().await?;
    testbed
        .with_namespace("proxy-watch", async |ns| {
            ns.service_account("watcher").await?;
            ns.create(json!({
                "apiVersion": "rbac.authorization.k8s.io/v1",
                "kind": "RoleBinding",
                "metadata": {"name": "watcher"},
                "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "view"},
                "subjects": [{"kind": "ServiceAccount", "name": "watcher", "namespace": ns.name()}],
            }))
            .await?;
            let proxy = testbed.api_proxy().await?;
            let through = client(&proxy.service_account_kubeconfig(ns.name(), "watcher").await?).await?;
            let through: Api<ConfigMap> = Api::namespaced(through, ns.name());
            // RBAC is in force a moment later.
            let params = WatchParams::default().fields("metadata.name=it").disable_bookmarks();
            let mut events = eventually("the watch is allowed", DEADLINE, async || {
                Ok(Some(through.watch(&params, "0").await?.boxed()))
            })
            .await?;
            config_map(&ns).await?;
            let event = tokio::time::timeout(DEADLINE, events.next()).await?;
            assert!(matches!(event, Some(Ok(WatchEvent::Added(_)))), "{event:?}");

            let refused = through.create(&PostParams::default(), &ConfigMap::default()).await;
            assert!(matches!(refused, Err(kube::Error::Api(status)) if status.is_forbidden()));
            Ok(())
        })
        .await
}
