//! etcd, kube-apiserver, kube-controller-manager, kube-scheduler and kwok as child processes.

mod arguments;
mod files;

use std::net::{Ipv4Addr, TcpListener};
use std::time::Duration;

use anyhow::{Context as _, Result, anyhow, ensure};
use k8s_openapi::api::core::v1::{Node, ServiceAccount};
use kube::api::{Api, ListParams, PostParams};
use kube::{Client, ResourceExt as _};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::Mutex;

use crate::assets::{Assets, KUBERNETES_VERSION};
use crate::egress::EgressProxy;
use crate::eventually::eventually;
use crate::kubeconfig;
use crate::pki::Authority;
use crate::process::{Process, Program};
use crate::run_directory::RunDirectory;

pub(crate) use files::Files;

/// Longer than any start on a busy machine; what is slower is broken.
const START_DEADLINE: Duration = Duration::from_secs(90);

/// How often another process may have taken a port between our looking for it and our child's use of it.
const ATTEMPTS: usize = 3;

/// How a control plane is started.
#[derive(Debug, Clone)]
pub struct Options {
    /// Speak this older version, such as `1.33`; none: the version of the binaries.
    pub emulated_version: Option<String>,
    /// How many Nodes. With none kwok plays nothing, either: a Node that is real is then left alone.
    pub nodes: usize,
    /// With `false` there are etcd and the API server alone: nothing answers to what is created, neither controllers nor
    /// Nodes, so that whoever creates fifty thousand Pods decides all of them alone.
    pub controllers: bool,
    /// Whether the API server reads webhooks from files, too, which no client can list: [`Testbed::write_static_webhook`]. It takes the
    /// version of the binaries.
    ///
    /// [`Testbed::write_static_webhook`]: crate::Testbed::write_static_webhook
    pub static_webhooks: bool,
    /// What is left of it afterwards: with `true` logs, audit log and data stay where they are.
    pub keep: bool,
}

impl Default for Options {
    fn default() -> Self {
        Self { emulated_version: None, nodes: 3, controllers: true, static_webhooks: false, keep: false }
    }
}

/// Loopback ports of one control plane. Only these three listen at all.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Ports {
    etcd_client: u16,
    etcd_peer: u16,
    kube_apiserver: u16,
}

impl Ports {
    fn pick() -> Result<Self> {
        let [etcd_client, etcd_peer, kube_apiserver] = free_ports()?;
        Ok(Self { etcd_client, etcd_peer, kube_apiserver })
    }

    fn api_url(self) -> String {
        format!("https://127.0.0.1:{}", self.kube_apiserver)
    }
}

/// Loopback ports that nobody has at this moment, each another one.
pub(crate) fn free_ports<const N: usize>() -> Result<[u16; N]> {
    // All are held until the last is known, or the same one could come twice.
    let held = [(); N].map(|()| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)));
    let mut ports = [0; N];
    for (port, listener) in ports.iter_mut().zip(held) {
        *port = listener.and_then(|listener| listener.local_addr()).context("no free port on loopback")?.port();
    }
    Ok(ports)
}

/// A running control plane.
#[derive(Debug)]
pub(crate) struct ControlPlane {
    pub(crate) files: Files,
    pub(crate) api_url: String,
    pub(crate) authority: Authority,
    pub(crate) egress: EgressProxy,
    etcd_port: u16,
    api_server: Mutex<Process>,
    api_server_program: Program,
    others: Vec<Process>,
    // Last: its end is the end of all the processes.
    pub(crate) directory: RunDirectory,
}

impl ControlPlane {
    /// Starts it and waits until Pods can run.
    pub(crate) async fn start(assets: &Assets, options: &Options) -> Result<Self> {
        let mut attempt = 1;
        loop {
            let directory = RunDirectory::create(options.keep)?;
            match start_in(directory, assets, options).await {
                Ok(control_plane) => return Ok(control_plane),
                Err(failure) if failure.lost_a_port && attempt < ATTEMPTS => attempt += 1,
                Err(failure) => return Err(failure.error.context("the control plane does not start")),
            }
        }
    }

    /// Kills the API server, as a crash of its node would.
    pub(crate) async fn kill_api_server(&self) {
        self.api_server.lock().await.kill().await;
    }

    /// Starts the API server again, on the same address, and waits until it is ready.
    pub(crate) async fn restart_api_server(&self) -> Result<()> {
        let mut api_server = self.api_server.lock().await;
        api_server.kill().await;
        *api_server = Process::start(&self.api_server_program, self.directory.path())?;
        let client = kubeconfig::client(&self.files.admin).await?;
        ready(&client, &api_server).await
    }

    /// Lets etcd forget all versions but the newest.
    pub(crate) async fn compact_etcd(&self) -> Result<()> {
        // Any key will do: every answer names the newest version.
        let newest = self.ask_etcd("/v3/kv/range", &json!({"key": "AA=="})).await?;
        let revision = newest.pointer("/header/revision").and_then(Value::as_str).context("etcd names no revision")?;
        self.ask_etcd("/v3/kv/compaction", &json!({"revision": revision, "physical": true})).await.map(drop)
    }

    /// Asks etcd by its JSON gateway, which needs no client of etcd's own protocol.
    async fn ask_etcd(&self, path: &str, question: &Value) -> Result<Value> {
        let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, self.etcd_port)).await?;
        let body = question.to_string();
        let head = format!("POST {path} HTTP/1.0\r\nContent-Length: {}\r\n\r\n", body.len());
        stream.write_all((head + &body).as_bytes()).await?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await?;
        let (head, body) = answer.split_once("\r\n\r\n").context("etcd's answer has no body")?;
        ensure!(head.contains(" 200 "), "etcd refuses {path}: {answer}");
        serde_json::from_str(body).with_context(|| format!("etcd's answer is no JSON: {body}"))
    }

    /// The programs that have ended by themselves, with the ends of their logs.
    pub(crate) fn check(&self) -> Result<()> {
        if let Ok(api_server) = self.api_server.try_lock() {
            api_server.check().with_context(|| api_server.log_tail())?;
        }
        self.others.iter().try_for_each(|process| process.check().with_context(|| process.log_tail()))
    }
}

struct StartFailure {
    error: anyhow::Error,
    lost_a_port: bool,
}

impl From<anyhow::Error> for StartFailure {
    fn from(error: anyhow::Error) -> Self {
        Self { error, lost_a_port: false }
    }
}

async fn start_in(
    directory: RunDirectory,
    assets: &Assets,
    options: &Options,
) -> std::result::Result<ControlPlane, StartFailure> {
    let ports = Ports::pick()?;
    let authority = Authority::new("sidecar-drift testbed")?;
    let files = Files::write(&directory, &authority, ports)?;
    // Before the API server, which connects when it first needs it, but then at once.
    let egress = EgressProxy::start(&files.egress_socket)?;

    let etcd_program = Program { name: "etcd", binary: assets.etcd.clone(), arguments: arguments::etcd(&files, ports) };
    let api_server_program = Program {
        name: "kube-apiserver",
        binary: assets.kube_apiserver.clone(),
        arguments: arguments::kube_apiserver(&files, ports, options),
    };
    let etcd = Process::start(&etcd_program, directory.path())?;
    let clashed =
        |error: anyhow::Error, process: &Process| StartFailure { error, lost_a_port: process.lost_its_port() };
    // A first connection that is refused would cost the API server a second of back-off.
    listening(ports.etcd_client, &etcd).await.map_err(|error| clashed(error, &etcd))?;
    let api_server = Process::start(&api_server_program, directory.path())?;
    let client = kubeconfig::client(&files.admin).await?;
    ready(&client, &api_server).await.map_err(|error| clashed(error, &api_server))?;

    let mut others = vec![etcd];
    let controllers = [
        Program {
            name: "kube-controller-manager",
            binary: assets.kube_controller_manager.clone(),
            arguments: arguments::kube_controller_manager(&files, options),
        },
        Program {
            name: "kube-scheduler",
            binary: assets.kube_scheduler.clone(),
            arguments: arguments::kube_scheduler(&files, options),
        },
        Program { name: "kwok", binary: assets.kwok.clone(), arguments: arguments::kwok(&files) },
    ];
    let wanted = |program: &Program| options.controllers && (options.nodes > 0 || program.name != "kwok");
    for program in controllers.into_iter().filter(wanted) {
        others.push(Process::start(&program, directory.path())?);
    }

    let control_plane = ControlPlane {
        files,
        api_url: ports.api_url(),
        authority,
        egress,
        etcd_port: ports.etcd_client,
        api_server: Mutex::new(api_server),
        api_server_program,
        others,
        directory,
    };
    if options.controllers {
        create_nodes(&client, options).await?;
        can_run_pods(&client, &control_plane, options).await?;
    }
    Ok(control_plane)
}

async fn listening(port: u16, process: &Process) -> Result<()> {
    eventually("etcd listens", START_DEADLINE, async || {
        process.check().map_err(crate::eventually::give_up)?;
        Ok(TcpStream::connect((Ipv4Addr::LOCALHOST, port)).await.ok())
    })
    .await
    .map(drop)
}

async fn ready(client: &Client, api_server: &Process) -> Result<()> {
    eventually("the API server is ready", START_DEADLINE, async || {
        api_server.check().map_err(crate::eventually::give_up)?;
        client.request_text(http::Request::get("/readyz").body(Vec::new())?).await?;
        Ok(Some(()))
    })
    .await
    .with_context(|| api_server.log_tail())
}

async fn create_nodes(client: &Client, options: &Options) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let kubelet = match &options.emulated_version {
        Some(version) => format!("v{version}.0"),
        None => KUBERNETES_VERSION.to_owned(),
    };
    for number in 1..=options.nodes {
        let name = format!("node-{number}");
        let node = serde_json::from_value(json!({
            "metadata": {
                "name": name,
                "labels": {"kubernetes.io/hostname": name, "kubernetes.io/os": "linux", "kubernetes.io/arch": "amd64"},
                "annotations": {"testbed.sidecar-drift/kubelet-version": kubelet},
            },
        }))?;
        nodes.create(&PostParams::default(), &node).await?;
    }
    Ok(())
}

/// All Nodes are ready (the API server and kwok do their work), and the default ServiceAccount exists (so does the
/// controller manager).
async fn can_run_pods(client: &Client, control_plane: &ControlPlane, options: &Options) -> Result<()> {
    let nodes: Api<Node> = Api::all(client.clone());
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), "default");
    eventually("Nodes are ready and Namespaces have their ServiceAccount", START_DEADLINE, async || {
        control_plane.check().map_err(crate::eventually::give_up)?;
        let ready = nodes.list(&ListParams::default()).await?.iter().filter(|node| is_ready(node)).count();
        if ready < options.nodes {
            return Err(anyhow!("{ready} of {} Nodes are ready", options.nodes));
        }
        accounts.get_opt("default").await.map(|found| found.map(drop)).map_err(Into::into)
    })
    .await
    .with_context(|| control_plane.others.iter().map(Process::log_tail).collect::<String>())
}

pub(crate) fn is_ready(node: &Node) -> bool {
    let conditions = node.status.iter().flat_map(|status| status.conditions.iter().flatten());
    let ready = conditions.into_iter().any(|condition| condition.type_ == "Ready" && condition.status == "True");
    // The taint of a new Node goes a moment later, and until then nothing is scheduled to it.
    let tainted = node.spec.iter().any(|spec| spec.taints.as_ref().is_some_and(|taints| !taints.is_empty()));
    ready && !tainted && !node.name_any().is_empty()
}
