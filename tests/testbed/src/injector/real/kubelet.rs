//! What a kubelet does for the Pods of an injector, as far as its program needs it: it starts the program with the Pod's
//! environment, arguments and ServiceAccount, says when the Pod is ready, and ends it with the Pod. kwok does the rest.

use std::collections::BTreeMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};

use super::{Product, probe};
use crate::background::{self, Task};
use crate::control_plane::free_ports;
use crate::egress::{Route, Routes};
use crate::kubeconfig;
use crate::namespace::TestNamespace;
use crate::process::{Process, Program};
use crate::progress;

/// The annotation by which kwok leaves a Pod Pending.
pub(super) const READY: &str = "testbed.sidecar-drift/ready";

const PAUSE: Duration = Duration::from_millis(100);

/// Puts a Pod's files where programs look for them, which no other process sees, and becomes the program.
const ENTER: &str = "set -e; mount -t tmpfs none /run; mkdir -p /run/secrets/kubernetes.io
cp -r \"$1\" /run/secrets/kubernetes.io/serviceaccount; shift; exec env \"$@\"";

/// How a program of a Pod is run.
#[derive(Debug, Default)]
pub(super) struct Execution {
    pub(super) environment: BTreeMap<String, String>,
    pub(super) arguments: Vec<String>,
}

/// The kubelet of one Deployment. The programs end when it is dropped.
#[derive(Debug)]
pub(super) struct Kubelet {
    knobs: Arc<Knobs>,
    routes: Routes,
    service: String,
    _task: Task,
}

#[derive(Debug, Default)]
struct Knobs {
    held: AtomicBool,
    serving: AtomicUsize,
}

/// What the task knows.
struct Node {
    product: &'static Product,
    binary: PathBuf,
    pods: Api<Pod>,
    selector: String,
    /// `host`, `port` of the API server.
    api_server: (String, String),
    /// The files of a Pod's ServiceAccount.
    account: PathBuf,
    /// Where logs go, and the processes are noted.
    directory: PathBuf,
    service: String,
    routes: Routes,
    knobs: Arc<Knobs>,
}

/// A Pod's program. It ends when this is dropped.
struct Running {
    port: u16,
    _process: Process,
    route: Option<Route>,
}

impl Kubelet {
    pub(super) async fn start(
        home: &TestNamespace<'_>,
        product: &'static Product,
        binary: PathBuf,
        service: String,
    ) -> Result<Self> {
        let testbed = home.testbed();
        let control_plane = testbed.control_plane()?;
        let deployment = home.workloads("Deployment")?.get(product.deployment).await?;
        let labels = deployment.data["spec"]["selector"]["matchLabels"].as_object().cloned().unwrap_or_default();
        let selector: Vec<String> =
            labels.iter().map(|(key, value)| format!("{key}={}", value.as_str().unwrap_or_default())).collect();
        let account = deployment.data["spec"]["template"]["spec"]["serviceAccountName"].as_str().unwrap_or("default");
        let client = client_of_the_background(testbed.kubeconfig()).await?;
        let url: http::Uri = testbed.api_url().parse()?;
        let api_server = (
            url.host().unwrap_or_default().to_owned(),
            url.port_u16().context("an API server without a port")?.to_string(),
        );
        let knobs = Arc::new(Knobs::default());
        let routes = control_plane.egress.routes().clone();
        let node = Node {
            product,
            binary,
            pods: Api::namespaced(client, home.name()),
            selector: selector.join(","),
            api_server,
            account: account_files(home, account).await?,
            directory: testbed.directory().to_owned(),
            service: service.clone(),
            routes: routes.clone(),
            knobs: knobs.clone(),
        };
        let task = Task::spawn(node.run())?;
        Ok(Self { knobs, routes, service, _task: task })
    }

    pub(super) fn hold(&self, held: bool) {
        self.knobs.held.store(held, Ordering::Relaxed);
    }

    /// How many programs the Service leads to.
    pub(super) fn serving(&self) -> usize {
        self.knobs.serving.load(Ordering::Relaxed)
    }

    pub(super) fn slow_down(&self, delay: Duration) {
        self.routes.slow_down(&self.service, delay);
    }
}

impl Node {
    async fn run(self) {
        let mut running = BTreeMap::new();
        loop {
            if let Err(error) = self.reconcile(&mut running).await {
                progress::say(format_args!("the kubelet of {}: {error:#}", self.product.name));
            }
            let serving = running.values().filter(|running: &&Running| running.route.is_some()).count();
            self.knobs.serving.store(serving, Ordering::Relaxed);
            tokio::time::sleep(PAUSE).await;
        }
    }

    async fn reconcile(&self, running: &mut BTreeMap<String, Running>) -> Result<()> {
        let pods = self.pods.list(&ListParams::default().labels(&self.selector)).await?;
        let alive = |pod: &&Pod| pod.metadata.deletion_timestamp.is_none() && !self.knobs.held.load(Ordering::Relaxed);
        let pods: BTreeMap<String, &Pod> =
            pods.iter().filter(alive).filter_map(|pod| Some((pod.metadata.uid.clone()?, pod))).collect();
        running.retain(|uid, _| pods.contains_key(uid));
        for (uid, pod) in pods {
            let Some(program) = running.get_mut(&uid) else {
                running.insert(uid, self.start(pod)?);
                continue;
            };
            let address = SocketAddr::from((Ipv4Addr::LOCALHOST, program.port));
            if program.route.is_some() || !probe::answers(address).await {
                continue;
            }
            if pod.annotations().contains_key(READY) {
                let ready = json!({"metadata": {"annotations": {READY: null}}});
                self.pods.patch(&pod.name_any(), &PatchParams::default(), &Patch::Merge(ready)).await?;
            }
            if is_ready(pod) {
                program.route = Some(self.routes.add(self.service.clone(), address));
            }
        }
        Ok(())
    }

    fn start(&self, pod: &Pod) -> Result<Running> {
        let [port] = free_ports()?;
        let pod = serde_json::to_value(pod)?;
        let mut execution = execution(&pod, &self.api_server);
        (self.product.listen)(&mut execution, port);
        let mut arguments: Vec<String> =
            ["--map-root-user", "--mount", "sh", "-c", ENTER, "sh"].map(ToOwned::to_owned).to_vec();
        arguments.push(self.account.display().to_string());
        arguments.extend(execution.environment.iter().map(|(name, value)| format!("{name}={value}")));
        arguments.push(self.binary.display().to_string());
        arguments.extend(execution.arguments);
        let program = Program { name: self.product.program, binary: "unshare".into(), arguments };
        Ok(Running { port, _process: Process::start(&program, &self.directory)?, route: None })
    }
}

async fn client_of_the_background(kubeconfig: &Path) -> Result<Client> {
    let config = kubeconfig::load(kubeconfig).await?;
    // A client belongs to the runtime that it is made in.
    let _background = background::enter()?;
    Ok(Client::try_from(config)?)
}

/// What a Pod finds of its ServiceAccount.
async fn account_files(home: &TestNamespace<'_>, account: &str) -> Result<PathBuf> {
    let testbed = home.testbed();
    let token = testbed.service_account_token(home.name(), account).await?;
    let folder = testbed.directory().join(format!("{}.{account}", home.name()));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("token"), token)?;
    std::fs::write(folder.join("namespace"), home.name())?;
    std::fs::copy(testbed.directory().join("ca.crt"), folder.join("ca.crt"))?;
    Ok(folder)
}

fn is_ready(pod: &Pod) -> bool {
    let conditions = pod.status.iter().flat_map(|status| status.conditions.iter().flatten());
    conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True")
}

/// The first container's environment and arguments, references resolved as a kubelet does.
fn execution(pod: &Value, (host, port): &(String, String)) -> Execution {
    let mut environment = BTreeMap::from([
        ("KUBERNETES_SERVICE_HOST".to_owned(), host.clone()),
        ("KUBERNETES_SERVICE_PORT".to_owned(), port.clone()),
    ]);
    let container = &pod["spec"]["containers"][0];
    for variable in container["env"].as_array().into_iter().flatten() {
        let value = if let Some(value) = variable["value"].as_str() {
            expand(value, &environment)
        } else {
            let field = variable["valueFrom"]["fieldRef"]["fieldPath"].as_str().unwrap_or_default();
            let found = pod.pointer(&format!("/{}", field.replace('.', "/")));
            found.and_then(Value::as_str).unwrap_or_default().to_owned()
        };
        environment.insert(variable["name"].as_str().unwrap_or_default().to_owned(), value);
    }
    let arguments = container["args"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let arguments = arguments.map(|argument| expand(argument, &environment)).collect();
    Execution { environment, arguments }
}

/// `$(NAME)` stands for a variable that is known already.
fn expand(text: &str, environment: &BTreeMap<String, String>) -> String {
    environment.iter().fold(text.to_owned(), |text, (name, value)| text.replace(&format!("$({name})"), value))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_program_gets_what_its_pod_says() {
        let pod = json!({"metadata": {"namespace": "mesh"}, "spec": {"containers": [{
            "args": ["inject", "--host=svc.$(NAMESPACE)"],
            "env": [
                {"name": "NAMESPACE", "valueFrom": {"fieldRef": {"fieldPath": "metadata.namespace"}}},
                {"name": "ADDRESS", "value": "https://ca.$(NAMESPACE).svc"},
            ],
        }]}});
        let execution = execution(&pod, &("127.0.0.1".to_owned(), "6443".to_owned()));
        assert_eq!(execution.arguments, ["inject", "--host=svc.mesh"]);
        assert_eq!(execution.environment["ADDRESS"], "https://ca.mesh.svc");
        assert_eq!(execution.environment["KUBERNETES_SERVICE_PORT"], "6443");
    }
}
