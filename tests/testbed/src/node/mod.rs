//! A real Node: a kubelet with containerd and runc on this machine, as root, in namespaces of its own.

mod image;

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result};
use k8s_openapi::api::core::v1::Node;
use kube::api::Api;
use tokio::net::{TcpStream, UnixListener};
use tokio::sync::watch;

use crate::Assets;
use crate::background::{self, Task};
use crate::eventually::{eventually, give_up};
use crate::namespace::random_suffix;
use crate::process::{Process, Program};
use crate::testbed::Testbed;

pub use image::{Image, ImageRoot, SERVES};

/// The first process of the Node.
const SCRIPT: &str = include_str!("node.sh");

const CGROUPS: &str = "/sys/fs/cgroup";

/// What the names of Nodes, and of their control groups, begin with.
const PREFIX: &str = "sidecar-drift-node-";

/// From nothing to ready takes ten seconds.
const DEADLINE: Duration = Duration::from_mins(3);

/// Where Debian's package has them, and where others put them.
const PLUGINS: [&str; 2] = ["/usr/lib/cni", "/opt/cni/bin"];

/// A running Node. It ends when this is dropped, and all of its containers with it.
#[derive(Debug)]
pub struct RealNode {
    name: String,
    folder: PathBuf,
    process: Process,
    connected: watch::Sender<bool>,
    _way_to_the_api_server: Task,
}

impl RealNode {
    /// Why there can be none here, if so.
    pub fn impossible() -> Option<String> {
        let missing = |program: &&str| {
            let dirs = ["/usr/bin", "/usr/sbin", "/bin", "/sbin", "/usr/local/bin", "/usr/local/sbin"];
            !dirs.iter().any(|folder| Path::new(folder).join(program).exists())
        };
        let needed = ["containerd", "ctr", "runc", "busybox", "socat", "ip", "unshare"];
        let missing: Vec<&str> = needed.into_iter().filter(missing).collect();
        if !missing.is_empty() {
            return Some(format!("no {} on this machine", missing.join(", ")));
        }
        if plugins().is_none() {
            return Some("no CNI plugins on this machine".to_owned());
        }
        if !Path::new(CGROUPS).join("cpuset/cpuset.cpus").exists() {
            return Some("the Node of the tests is made for version 1 of control groups".to_owned());
        }
        let probe = Path::new(CGROUPS).join("memory").join(format!("{PREFIX}probe"));
        let may = fs::create_dir(&probe).and_then(|()| fs::remove_dir(&probe));
        may.err().map(|error| format!("control groups cannot be made: {error}"))
    }

    /// Starts one that has these images, and waits until it is ready.
    pub async fn start(testbed: &Testbed, images: &[Image], more: &[ImageRoot]) -> Result<Self> {
        remove_groups(|name| !lives(name));
        let kubelet = tokio::task::spawn_blocking(Assets::kubelet).await??;
        let name = format!("{PREFIX}{}", random_suffix());
        let folder = testbed.directory().join(&name);
        fs::create_dir_all(folder.join("images"))?;
        let pause = Image { name: "registry.test/pause:1", script: SERVES };
        for (number, image) in images.iter().chain([&pause]).enumerate() {
            image::write(*image, Path::new("/bin/busybox"), &folder.join(format!("images/{number}.tar")))?;
        }
        for (number, image) in more.iter().enumerate() {
            image::write_root(image, &folder.join(format!("images/more-{number}.tar")))?;
        }
        fs::copy(testbed.kubeconfig(), folder.join("kubeconfig"))?;
        let script = folder.join("node.sh");
        fs::write(&script, SCRIPT)?;
        let port = testbed.api_url().rsplit(':').next().context("an API server without a port")?.to_owned();
        let connected = watch::Sender::new(true);
        let way = lead(&folder.join("api.sock"), port.parse()?, connected.subscribe())?;
        let arguments = ["--mount", "--net", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "sh"];
        let mut arguments: Vec<String> = arguments.map(ToOwned::to_owned).to_vec();
        let plugins = plugins().context("no CNI plugins")?;
        let paths = [script, folder.clone(), name.clone().into(), port.into(), kubelet, plugins];
        arguments.extend(paths.iter().map(|path| path.display().to_string()));
        let program = Program { name: "kubelet", binary: "unshare".into(), arguments };
        let process = Process::start(&program, testbed.directory())?;
        let node = Self { name, folder, process, connected, _way_to_the_api_server: way };
        let nodes: Api<Node> = Api::all(testbed.client().await?);
        eventually(format_args!("{} is ready", node.name), DEADLINE, async || {
            node.process.check().map_err(give_up)?;
            let found = nodes.get_opt(&node.name).await?;
            Ok(found.filter(crate::control_plane::is_ready).map(drop))
        })
        .await
        .with_context(|| node.process.log_tail())?;
        Ok(node)
    }

    /// Ends it and all of its containers at once, and removes what outlives them.
    pub async fn end(self) -> Result<()> {
        self.process.kill().await;
        eventually("its control groups are gone", DEADLINE, async || {
            remove_groups(|name| name == self.name);
            Ok((!Path::new(CGROUPS).join("memory").join(&self.name).exists()).then_some(()))
        })
        .await
    }

    /// What the containers of this name have written, one text for each Pod of the namespace; those that are gone, too, for
    /// as long as the kubelet keeps it.
    pub fn logs(&self, namespace: &str, container: &str) -> Result<Vec<String>> {
        let mut logs = Vec::new();
        for pod in fs::read_dir(self.folder.join("var/log/pods"))? {
            let pod = pod?;
            let folder = pod.path().join(container);
            if !pod.file_name().to_string_lossy().starts_with(&format!("{namespace}_")) || !folder.exists() {
                continue;
            }
            let mut text = String::new();
            for file in fs::read_dir(folder)? {
                text += &fs::read_to_string(file?.path())?;
            }
            logs.push(text);
        }
        Ok(logs)
    }

    /// Cuts it off from the API server: its Pods run on, and nobody hears of them.
    pub fn cut_off(&self) {
        self.connected.send_replace(false);
    }

    /// It reaches the API server again.
    pub fn reconnect(&self) {
        self.connected.send_replace(true);
    }

    /// Its name.
    pub fn name(&self) -> &str {
        &self.name
    }
}

fn plugins() -> Option<PathBuf> {
    PLUGINS.iter().map(PathBuf::from).find(|folder| folder.join("bridge").exists())
}

/// Lets whoever connects to the socket reach the API server, which listens where the Node's namespaces do not lead.
fn lead(socket: &Path, port: u16, connected: watch::Receiver<bool>) -> Result<Task> {
    let _background = background::enter()?;
    let listener = UnixListener::bind(socket).with_context(|| format!("cannot listen on {}", socket.display()))?;
    Task::spawn(async move {
        let mut connections = tokio::task::JoinSet::new();
        while let Ok((mut near, _)) = listener.accept().await {
            let mut connected = connected.clone();
            connections.spawn(async move {
                let carried = async {
                    let mut far = TcpStream::connect(("127.0.0.1", port)).await?;
                    tokio::io::copy_bidirectional(&mut near, &mut far).await
                };
                tokio::select! {
                    _ = connected.wait_for(|connected| !connected) => Ok((0, 0)),
                    carried = carried => carried,
                }
            });
        }
    })
}

/// Whether some process of this machine still keeps the files of this Node.
fn lives(name: &str) -> bool {
    let folders = fs::read_dir(std::env::temp_dir()).into_iter().flatten().flatten();
    folders.into_iter().any(|folder| folder.path().join(name).exists())
}

/// A control group outlives its processes; one that still has some stays.
fn remove_groups(of: impl Fn(&str) -> bool) {
    for controller in fs::read_dir(CGROUPS).into_iter().flatten().flatten() {
        for group in fs::read_dir(controller.path()).into_iter().flatten().flatten() {
            let name = group.file_name().to_string_lossy().into_owned();
            if name.starts_with(PREFIX) && of(&name) {
                remove_group(&group.path());
            }
        }
    }
}

fn remove_group(path: &Path) {
    for below in fs::read_dir(path).into_iter().flatten().flatten() {
        if below.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_group(&below.path());
        }
    }
    // Fails while somebody lives in it.
    let _ = fs::remove_dir(path);
}
