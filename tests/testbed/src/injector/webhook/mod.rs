//! An injector as most are: a webhook server, here in this process.

mod home;
mod knobs;
mod review;

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use anyhow::{Context as _, Result, ensure};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use http::{Request, Response, StatusCode};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use k8s_openapi::api::admissionregistration::v1::MutatingWebhookConfiguration;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Api, DeleteParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::http_server::{Body, HttpServer, answer, hangup};
use crate::injector::{Selection, Sidecar, until_a_pod};
use crate::namespace::TestNamespace;
use crate::pki::Identity;

pub use knobs::{Failure, Knobs};
pub use review::Review;

use home::Service;
use knobs::Turn;

/// The name of the injector's Service, Deployment, ConfigMap, and its label.
const INJECTOR: &str = "injector";

/// A MutatingWebhookConfiguration and the server that it calls. The configuration goes when the namespace goes that it was
/// installed from; the server goes when this is dropped.
#[derive(Debug)]
pub struct WebhookInjector<'t> {
    namespace: TestNamespace<'t>,
    name: String,
    state: Arc<State>,
    service: Option<Service<'t>>,
    server: HttpServer,
    identity: Identity,
}

/// How the API server finds the webhook.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Reach {
    /// By a Service in a namespace of the injector's own, with a Deployment whose Pods are its endpoints, and a ConfigMap.
    #[default]
    Service,
    /// By the server's own address; nothing in the cluster stands for it.
    Url,
}

/// How a webhook is installed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct WebhookOptions {
    /// How the API server finds it.
    pub reach: Reach,
    /// Which Pods it is asked about.
    pub selection: Selection,
    /// Whether Pods are created without a sidecar when it does not answer (`failurePolicy: Ignore`), or refused.
    pub ignore_failures: bool,
}

impl Default for WebhookOptions {
    fn default() -> Self {
        Self { reach: Reach::default(), selection: Selection::default(), ignore_failures: true }
    }
}

/// What the server and the test share.
#[derive(Debug)]
struct State {
    knobs: Mutex<Knobs>,
    reviews: Mutex<Vec<Review>>,
    asked: AtomicU64,
    started: Instant,
}

impl<'t> WebhookInjector<'t> {
    /// Installs one behind a Service, for the Pods that carry [`label`](Self::label), and waits until it is in force.
    pub async fn install(namespace: &TestNamespace<'t>, sidecar: Sidecar) -> Result<Self> {
        Self::install_with(namespace, sidecar, WebhookOptions::default()).await
    }

    /// Installs one in another way. One that goes by the namespace needs the namespace that it is installed from to have
    /// the label.
    pub async fn install_with(
        namespace: &TestNamespace<'t>,
        sidecar: Sidecar,
        options: WebhookOptions,
    ) -> Result<Self> {
        let control_plane =
            namespace.testbed().control_plane().context("its API server could not reach our webhook")?;
        let name = format!("{}-{}", namespace.name(), sidecar.name);
        let home = match options.reach {
            Reach::Service => Some(namespace.create_companion(&format!("{}-{INJECTOR}", sidecar.name)).await?),
            Reach::Url => None,
        };

        let host = home.as_ref().map(|home| format!("{INJECTOR}.{}.svc", home.name()));
        let identity = control_plane.authority.server(&[host.as_deref().unwrap_or("localhost"), "127.0.0.1"])?;
        let state = State::new(Knobs::new(sidecar));
        let server = serve(&identity, &state)?;

        let mut injector = Self { namespace: namespace.clone(), name, state, service: None, server, identity };
        let mut client_config = json!({"caBundle": BASE64.encode(control_plane.authority.certificate())});
        match home {
            Some(home) => {
                client_config["service"] = json!({"namespace": home.name(), "name": INJECTOR, "path": "/inject"});
                let version = injector.sidecar().version;
                injector.service = Some(Service::new(home, control_plane, &version, injector.server.address()).await?);
            }
            None => client_config["url"] = json!(format!("https://{}/inject", injector.server.address())),
        }
        injector.register(options, client_config).await?;
        injector.wait_until_in_force().await?;
        Ok(injector)
    }

    /// The name of the configuration, and the value of the label.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The label that asks for this sidecar.
    pub fn label(&self) -> (&'static str, String) {
        Selection::label(&self.name)
    }

    /// The namespace with Service, Deployment and ConfigMap, which are all called `injector`.
    pub fn home(&self) -> Option<&TestNamespace<'t>> {
        self.service.as_ref().map(|service| &service.home)
    }

    /// The sidecar as it is injected now.
    pub fn sidecar(&self) -> Sidecar {
        self.state.knobs().sidecar.clone()
    }

    /// Turns the knobs. It is in force at once, and nothing in the cluster tells.
    pub fn set(&self, turn: impl FnOnce(&mut Knobs)) {
        turn(&mut self.state.knobs());
    }

    /// Injects another version from now on; nothing in the cluster tells.
    pub fn set_version(&self, version: &str) {
        self.set(|knobs| version.clone_into(&mut knobs.sidecar.version));
    }

    /// Injects another version from now on, as a consequence of another image in the Deployment, and waits until that is
    /// rolled out.
    pub async fn upgrade(&self, version: &str) -> Result<()> {
        let home = self.home().context("an injector that is reached by URL has no Deployment")?;
        let containers = json!([{"name": INJECTOR, "image": home::image(version)}]);
        let patch = Patch::Strategic(json!({"spec": {"template": {"spec": {"containers": containers}}}}));
        home.api::<Deployment>().patch(INJECTOR, &PatchParams::default(), &patch).await?;
        self.set_version(version);
        home.wait_for_rollout("Deployment", INJECTOR).await
    }

    /// Puts a second copy, which injects another version, behind the same Service: each connection of the API server ends at
    /// one of the two. Returns when both are endpoints. Knobs that are turned later are the first copy's.
    pub async fn half_upgrade(&mut self, version: &str) -> Result<()> {
        let mut knobs = self.state.knobs().clone();
        version.clone_into(&mut knobs.sidecar.version);
        let state = State::new(knobs);
        let server = serve(&self.identity, &state)?;
        let service = self.service.as_mut().context("an injector that is reached by URL has no Service")?;
        service.add_copy(version, state, server).await
    }

    /// Removes the first copy; what is left is the second one.
    pub async fn finish_upgrade(&mut self) -> Result<()> {
        let service = self.service.as_mut().context("an injector that is reached by URL has no Service")?;
        (self.state, self.server) = service.remove_first_copy().await?;
        Ok(())
    }

    /// Injects another version from now on, as a consequence of what the ConfigMap says.
    pub async fn reconfigure(&self, version: &str) -> Result<()> {
        self.write_config_map(version).await?;
        self.set_version(version);
        Ok(())
    }

    /// Changes the ConfigMap, of which the injector has not heard yet.
    pub async fn write_config_map(&self, version: &str) -> Result<()> {
        let home = self.home().context("an injector that is reached by URL has no ConfigMap")?;
        let patch = Patch::Merge(json!({"data": {"version": version}}));
        home.api::<ConfigMap>().patch(INJECTOR, &PatchParams::default(), &patch).await?;
        Ok(())
    }

    /// Changes the entry in the MutatingWebhookConfiguration: its selectors, its failure policy, ...
    pub async fn edit_webhook(&self, edit: impl FnOnce(&mut Value)) -> Result<()> {
        let configuration = self.configurations().get(&self.name).await?;
        let mut configuration = serde_json::to_value(configuration)?;
        edit(&mut configuration["webhooks"][0]);
        let configuration = serde_json::from_value(configuration)?;
        self.configurations().replace(&self.name, &PostParams::default(), &configuration).await?;
        Ok(())
    }

    /// Writes the same certificate differently into the configuration, as whoever renews certificates does.
    pub async fn renew_certificate(&self) -> Result<()> {
        let control_plane = self.namespace.testbed().control_plane().context("not our API server")?;
        let certificate = format!("\n{}", control_plane.authority.certificate());
        let bundle = BASE64.encode(certificate);
        self.edit_webhook(|webhook| webhook["clientConfig"]["caBundle"] = json!(bundle)).await
    }

    /// The Pods that it was asked about, the oldest first.
    pub fn reviews(&self) -> Vec<Review> {
        self.state.reviews.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Waits until a Pod that is created now gets the sidecar as it is.
    pub async fn wait_until_in_force(&self) -> Result<()> {
        until_a_pod("is in force", &self.namespace, &self.name, |pod| self.sidecar().is_in(pod)).await
    }

    /// Takes the configuration out of the API and has the API server read it from a file: it is in force as before, and no client
    /// can list it.
    pub async fn hide(&self) -> Result<()> {
        let configuration = serde_json::to_value(self.configurations().get(&self.name).await?)?;
        self.configurations().delete(&self.name, &DeleteParams::default()).await?;
        let hidden = json!({
            "apiVersion": "admissionregistration.k8s.io/v1",
            "kind": "MutatingWebhookConfiguration",
            "metadata": {"name": format!("{}.static.k8s.io", self.name)},
            "webhooks": configuration["webhooks"],
        });
        self.namespace.testbed().write_static_webhook(&hidden).await?;
        self.wait_until_in_force().await
    }

    /// Removes the configuration, waits until no Pod gets the sidecar any more, and removes the rest.
    pub async fn uninstall(self) -> Result<()> {
        self.configurations().delete(&self.name, &DeleteParams::default()).await?;
        let sidecar = self.sidecar();
        until_a_pod("is no longer in force", &self.namespace, &self.name, |pod| !sidecar.is_named_in(pod)).await?;
        match self.home() {
            Some(home) => home.delete().await,
            None => Ok(()),
        }
    }

    async fn register(&self, options: WebhookOptions, client_config: Value) -> Result<()> {
        let mut webhook = options.selection.selectors(&self.name);
        webhook["name"] = json!("inject.testbed.sidecar-drift");
        webhook["clientConfig"] = client_config;
        webhook["rules"] =
            json!([{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["CREATE"], "resources": ["pods"]}]);
        webhook["failurePolicy"] = json!(if options.ignore_failures { "Ignore" } else { "Fail" });
        webhook["sideEffects"] = json!("None");
        webhook["admissionReviewVersions"] = json!(["v1"]);
        // Long, so that on a busy machine it does not count as slow.
        webhook["timeoutSeconds"] = json!(20);
        let configuration = serde_json::from_value(json!({
            "metadata": {"name": self.name, "ownerReferences": [self.namespace.as_owner()]},
            "webhooks": [webhook],
        }))?;
        self.configurations().create(&PostParams::default(), &configuration).await?;
        Ok(())
    }

    fn configurations(&self) -> Api<MutatingWebhookConfiguration> {
        Api::all(self.namespace.client().clone())
    }
}

impl State {
    fn new(knobs: Knobs) -> Arc<Self> {
        Arc::new(Self {
            knobs: Mutex::new(knobs),
            reviews: Mutex::default(),
            asked: AtomicU64::new(0),
            started: Instant::now(),
        })
    }

    fn knobs(&self) -> MutexGuard<'_, Knobs> {
        self.knobs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Starts a server that behaves as `state` says.
fn serve(identity: &Identity, state: &Arc<State>) -> Result<HttpServer> {
    let state = state.clone();
    HttpServer::start(Some(identity), move |request| handle(state.clone(), request))
}

async fn handle(state: Arc<State>, request: Request<Incoming>) -> Response<Body> {
    let answered = respond(&state, request).await;
    let (failure, delay) = {
        let knobs = state.knobs();
        (knobs.failure, knobs.delay)
    };
    if !delay.is_zero() {
        tokio::time::sleep(delay).await;
    }
    match (failure, answered) {
        (Some(Failure::InternalError), _) => answer(StatusCode::INTERNAL_SERVER_ERROR, "failed on purpose"),
        (Some(Failure::Hangup), _) => hangup(),
        (_, Ok(review)) => answer(StatusCode::OK, review.to_string()),
        (_, Err(error)) => answer(StatusCode::BAD_REQUEST, format!("{error:#}")),
    }
}

async fn respond(state: &State, request: Request<Incoming>) -> Result<Value> {
    let body = request.into_body().collect().await?.to_bytes();
    let review: Value = serde_json::from_slice(&body).context("not JSON")?;
    ensure!(review["kind"] == "AdmissionReview", "not an AdmissionReview");
    state.reviews.lock().unwrap_or_else(PoisonError::into_inner).push(Review::of(&review));
    let turn = Turn::next(state.asked.fetch_add(1, Ordering::Relaxed), state.started.elapsed());
    Ok(review::answer(&state.knobs(), &review, turn))
}
