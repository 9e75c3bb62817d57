//! The Vault Agent Injector of `HashiCorp`.

use super::Product;
use super::kubelet::Execution;
use crate::assets::Assets;

/// It makes its own certificates and writes them into its webhook configuration, one of its two Pods as leader.
pub static VAULT: Product = Product {
    name: "Vault Agent Injector",
    version: "1.6.2",
    program: "vault-k8s",
    binary: Assets::vault_k8s,
    sources: Assets::vault_k8s_sources,
    manifests: "deploy",
    namespace: "vault",
    deployment: "vault-injector",
    service: "vault-agent-injector-svc",
    configuration: "vault-agent-injector-cfg",
    listen,
};

fn listen(execution: &mut Execution, port: u16) {
    execution.environment.insert("AGENT_INJECT_LISTEN".to_owned(), format!("127.0.0.1:{port}"));
}
