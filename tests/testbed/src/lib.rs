//! A real Kubernetes control plane on loopback, with sidecar injectors, for tests, the demo and the benchmarks.
//!
//! [`Testbed::shared`] starts one per process: etcd, kube-apiserver, kube-controller-manager, kube-scheduler, and kwok
//! instead of kubelets. [`Testbed::with_namespace`] gives a test its own corner of it.

mod api_proxy;
mod argo;
mod assets;
mod audit;
mod background;
mod control_plane;
mod crds;
mod egress;
mod environment;
mod eventually;
mod http_server;
pub mod injector;
mod kubeconfig;
mod namespace;
mod node;
mod openkruise;
mod pki;
mod process;
mod progress;
mod run_directory;
mod terminal;
mod testbed;
mod tool;
pub mod workload;

pub use api_proxy::{ApiProxy, Held, Matcher, ProxiedRequest, When};
pub use argo::ArgoRollouts;
pub use assets::Assets;
pub use audit::{Audit, AuditEntry, Filter, Marker, Stage};
pub use control_plane::Options;
pub use environment::no_color;
pub use eventually::{eventually, give_up};
pub use http_server::{Body as ServedBody, HttpServer};
pub use kubeconfig::client;
pub use namespace::TestNamespace;
pub use node::{Image, ImageRoot, RealNode, SERVES};
pub use openkruise::OpenKruise;
pub use progress::skip;
pub use run_directory::RunDirectory;
pub use terminal::Terminal;
pub use testbed::Testbed;
pub use tool::tool;
