//! A real API server full of Pods, created straight through the API: no controller has a part in it.

use std::{path::Path, time::Duration};

use anyhow::{Context as _, Result};
use futures::{StreamExt as _, TryStreamExt as _, stream};
use serde_json::{Value, json};
use sidecar_drift::core::{
    config::WhatIf,
    model::owner::Kind,
    render::dry_run_pod::{BodyRequest, OwnerIdentity, Template, pod_body},
};
use testbed::{Options, Testbed, eventually};

use crate::{
    fleet::{self, Fleet, NAMESPACES, SIDECAR},
    http2::{Http2, Ready},
};

/// Requests in flight while the fleet is made.
const IN_FLIGHT: usize = 16;

/// A policy is in force within a second.
const PATIENCE: Duration = Duration::from_mins(1);

/// The cluster and what is in it.
#[derive(Debug)]
pub(crate) struct Cluster {
    pub(crate) testbed: Testbed,
    pub(crate) http2: Http2,
    pub(crate) deployments: usize,
    /// Pods of each Deployment.
    replicas: usize,
    /// The uids of the ReplicaSets.
    owners: Vec<String>,
}

impl Cluster {
    /// An API server with nothing in it but the policy, its binding and the namespaces of the fleet.
    pub(crate) async fn start() -> Result<Self> {
        let testbed = Testbed::start(Options { controllers: false, ..Options::default() }).await?;
        let http2 = Http2::connect(testbed.kubeconfig()).await?;
        Ok(Self { testbed, http2, deployments: 0, replicas: 0, owners: Vec::new() })
    }

    /// Creates policy, namespaces, Deployments and ReplicaSets; no Pods yet.
    pub(crate) async fn prepare(&mut self, deployments: usize) -> Result<()> {
        let admission = "/apis/admissionregistration.k8s.io/v1";
        let accounts = |number| format!("/api/v1/namespaces/{}/serviceaccounts", fleet::namespace(number));
        let namespaces = 0..NAMESPACES.min(deployments);
        let create = |path: &str, object: &Value| Ready::post(path, object);
        let all = namespaces.clone().map(|n| create("/api/v1/namespaces", &fleet::namespace_object(n)));
        self.http2.send_all(all, IN_FLIGHT).await?;
        let all = namespaces.map(|n| create(&accounts(n), &fleet::service_account(n)));
        self.http2.send_all(all, IN_FLIGHT).await?;
        self.http2.send(create(&format!("{admission}/mutatingadmissionpolicies"), &fleet::policy("v1"))).await?;
        self.http2.send(create(&format!("{admission}/mutatingadmissionpolicybindings"), &fleet::binding())).await?;
        self.owners =
            stream::iter(0..deployments).map(|number| self.deploy(number)).buffered(IN_FLIGHT).try_collect().await?;
        self.deployments = deployments;
        self.until_injected("v1").await
    }

    /// A Deployment and its ReplicaSet; returns the ReplicaSet's uid.
    async fn deploy(&self, number: usize) -> Result<String> {
        let apps = format!("/apis/apps/v1/namespaces/{}", fleet::namespace_of(number));
        let path = format!("{apps}/deployments");
        let created = self.http2.send(Ready::post(&path, &fleet::deployment(number, 1))).await?;
        let uid = created["metadata"]["uid"].as_str().context("a Deployment without a uid")?.to_owned();
        let status = json!({"status": fleet::deployment_status(1)});
        self.http2.send(Ready::merge_patch(format!("{path}/{}/status", fleet::app(number)), &status)).await?;
        let set = Ready::post(format!("{apps}/replicasets"), &fleet::replica_set(number, 1, &uid));
        let created = self.http2.send(set).await?;
        Ok(created["metadata"]["uid"].as_str().context("a ReplicaSet without a uid")?.to_owned())
    }

    /// Creates Pods until each Deployment has so many.
    pub(crate) async fn fill(&mut self, replicas: usize) -> Result<Duration> {
        let from = self.replicas;
        let pods = (0..self.deployments).flat_map(|number| (from..replicas).map(move |replica| (number, replica)));
        let all = pods.map(|(number, replica)| {
            let pod = fleet::pod(number, replica, self.owners.get(number).map_or("", String::as_str));
            Ready::post(format!("/api/v1/namespaces/{}/pods", fleet::namespace_of(number)), &pod)
        });
        let took = self.http2.send_all(all, IN_FLIGHT).await?;
        self.replicas = replicas;
        Ok(took)
    }

    pub(crate) fn fleet(&self) -> Fleet {
        Fleet { deployments: self.deployments, replicas: self.replicas }
    }

    pub(crate) fn kubeconfig(&self) -> &Path {
        self.testbed.kubeconfig()
    }

    /// The injector adds another version from now on. Returns when the API server has taken that.
    pub(crate) async fn inject(&self, version: &str) -> Result<()> {
        let path = format!("/apis/admissionregistration.k8s.io/v1/mutatingadmissionpolicies/{}", fleet::POLICY);
        let spec = json!({"spec": fleet::policy(version)["spec"]});
        self.http2.send(Ready::merge_patch(path, &spec)).await.map(drop)
    }

    /// Waits until that is so.
    pub(crate) async fn until_injected(&self, version: &str) -> Result<()> {
        let wanted = fleet::sidecar(version)["image"].clone();
        eventually(format_args!("{version} is injected"), PATIENCE, async || {
            let request = self.render_requests(1).next().context("no Deployment")?;
            let pod = self.http2.send(request).await?;
            let containers = pod["spec"]["containers"].as_array().into_iter().flatten();
            let injected = containers.filter(|c| c["name"] == SIDECAR).any(|c| c["image"] == wanted);
            Ok(injected.then_some(()))
        })
        .await
    }

    /// The dry runs that sidecar-drift makes of the first so many Deployments, with the very same bodies.
    pub(crate) fn render_requests(&self, deployments: usize) -> impl Iterator<Item = Ready> {
        let owners = self.owners.iter().take(deployments).enumerate();
        owners.filter_map(|(number, uid)| {
            let replica_set = fleet::replica_set(number, 1, "");
            let name = fleet::replica_set_name(number);
            let owner = OwnerIdentity {
                api_version: "apps/v1".to_owned(),
                kind: "ReplicaSet".to_owned(),
                name: name.clone(),
                uid: uid.clone(),
            };
            let template = Template::of(replica_set.pointer("/spec/template")?);
            let body = pod_body(&BodyRequest {
                kind: Kind::DEPLOYMENT,
                owner: &owner,
                workload: None,
                template: &template,
                revision: &name,
                ordinals: None,
                other_than: None,
                existing: false,
                node: None,
                attempt: 0,
                block_owner_deletion: true,
                what_if: &WhatIf::default(),
            });
            let path = format!("/api/v1/namespaces/{}/pods?dryRun=All", fleet::namespace_of(number));
            Some(Ready::post(path, &body.ok()?.json()))
        })
    }

    /// Reads the list of all Pods; how many bytes, and in what time.
    pub(crate) async fn list(&self) -> Result<(usize, Duration)> {
        self.http2.drain("/api/v1/pods", "application/json").await
    }

    /// Makes the dry runs of all Deployments, so many in flight; in what time.
    pub(crate) async fn render_all(&self, in_flight: usize) -> Result<Duration> {
        let all: Vec<_> = self.render_requests(self.deployments).collect();
        self.http2.send_all(all.into_iter(), in_flight).await
    }

    /// Ends all of it.
    pub(crate) async fn stop(self) -> Result<()> {
        self.testbed.stop().await
    }
}
