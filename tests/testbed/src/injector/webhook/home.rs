//! What stands for a webhook server in the cluster.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::api::{Api, DeleteParams, ListParams};
use serde_json::{Value, json};

use super::{INJECTOR, State};
use crate::control_plane::ControlPlane;
use crate::egress::{Route, Routes};
use crate::eventually::eventually;
use crate::http_server::HttpServer;
use crate::namespace::TestNamespace;

/// The second copy's Deployment.
const SECOND: &str = "injector-second";

/// The controller takes about a second, longer on a busy machine.
const ENDPOINT_DEADLINE: Duration = Duration::from_mins(2);

/// The injector's place in the cluster: Service, Deployment, ConfigMap, and the way to the server.
#[derive(Debug)]
pub(super) struct Service<'t> {
    pub(super) home: TestNamespace<'t>,
    routes: Routes,
    /// `address:port`
    address: String,
    route: Route,
    second: Option<Copy>,
}

/// A second server behind the same Service.
#[derive(Debug)]
struct Copy {
    state: Arc<State>,
    server: HttpServer,
    route: Route,
}

impl<'t> Service<'t> {
    /// Creates it all, and tells the egress proxy that the Service means this server.
    pub(super) async fn new(
        home: TestNamespace<'t>,
        control_plane: &ControlPlane,
        version: &str,
        server: SocketAddr,
    ) -> Result<Self> {
        let labels = json!({"app": INJECTOR});
        home.create(json!({
            "apiVersion": "v1",
            "kind": "ConfigMap",
            "metadata": {"name": INJECTOR, "labels": labels},
            "data": {"version": version},
        }))
        .await?;
        let service = home
            .create(json!({
                "apiVersion": "v1",
                "kind": "Service",
                "metadata": {"name": INJECTOR, "labels": labels},
                "spec": {"selector": labels, "ports": [{"port": 443, "targetPort": 8443}]},
            }))
            .await?;
        home.deploy(deployment(INJECTOR, version)).await?;
        until_endpoints(&home, &[INJECTOR]).await?;
        let address = service["spec"]["clusterIP"].as_str().context("a Service without an address")?;
        let (address, routes) = (format!("{address}:443"), control_plane.egress.routes().clone());
        let route = routes.add(address.clone(), server);
        Ok(Self { home, routes, address, route, second: None })
    }

    /// Adds a second copy.
    pub(super) async fn add_copy(&mut self, version: &str, state: Arc<State>, server: HttpServer) -> Result<()> {
        self.home.deploy(deployment(SECOND, version)).await?;
        until_endpoints(&self.home, &[INJECTOR, SECOND]).await?;
        let route = self.routes.add(self.address.clone(), server.address());
        self.second = Some(Copy { state, server, route });
        Ok(())
    }

    /// Removes the first copy and returns what is to be known of the second one.
    pub(super) async fn remove_first_copy(&mut self) -> Result<(Arc<State>, HttpServer)> {
        let Copy { state, server, route } = self.second.take().context("there is no second copy")?;
        // Its connections end when its server is dropped, after this returns.
        self.route = route;
        self.home.api::<Deployment>().delete(INJECTOR, &DeleteParams::default()).await?;
        until_endpoints(&self.home, &[SECOND]).await?;
        Ok((state, server))
    }
}

/// The injector's own image.
pub(super) fn image(version: &str) -> String {
    format!("registry.test/injector:{version}")
}

fn deployment(name: &str, version: &str) -> Value {
    let labels = json!({"app": INJECTOR, "copy": name});
    json!({
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "labels": labels},
        "spec": {
            "replicas": 1,
            "selector": {"matchLabels": labels},
            "template": {
                "metadata": {"labels": labels},
                "spec": {"containers": [{
                    "name": INJECTOR,
                    "image": image(version),
                    "ports": [{"containerPort": 8443}],
                }]},
            },
        },
    })
}

/// Waits until the endpoints are one Pod of each of these Deployments.
async fn until_endpoints(home: &TestNamespace<'_>, deployments: &[&str]) -> Result<()> {
    let slices: Api<EndpointSlice> = home.api();
    eventually(format_args!("the endpoints are {deployments:?}"), ENDPOINT_DEADLINE, async || {
        let slices = slices.list(&ListParams::default()).await?;
        let endpoints = slices.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        let pods: Vec<_> = endpoints.filter_map(|e| e.target_ref.as_ref()?.name.as_deref()).collect();
        // Pods are called `<Deployment>-<hash>-<suffix>`.
        let of = |pod: &str| pod.rsplitn(3, '-').nth(2).map(ToOwned::to_owned);
        let mut owners: Vec<_> = pods.into_iter().filter_map(of).collect();
        owners.sort_unstable();
        Ok((owners == deployments).then_some(()))
    })
    .await
}
