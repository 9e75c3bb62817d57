//! The injector that is a `MutatingAdmissionPolicy`.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use testbed::injector::{PolicyInjector, Sidecar};
use testbed::workload::{bare_pod, deployment};
use testbed::{TestNamespace, Testbed, skip};

/// The image of the container `proxy`, in whichever list it is.
fn proxy(pod: &Pod) -> Option<String> {
    let spec = pod.spec.as_ref()?;
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    containers.filter(|container| container.name == "proxy").find_map(|container| container.image.clone())
}

async fn injects(ns: TestNamespace<'_>, sidecar: Sidecar) -> Result<()> {
    let mut injector = PolicyInjector::install(&ns, sidecar).await?;
    ns.deploy(deployment("web", 2).pod_label(injector.label())).await?;
    ns.deploy(deployment("plain", 1)).await?;
    for pod in ns.pods_of("Deployment", "web").await? {
        assert_eq!(proxy(&pod).as_deref(), Some("registry.test/proxy:v1"));
    }
    for pod in ns.pods_of("Deployment", "plain").await? {
        assert_eq!(proxy(&pod), None);
    }

    injector.update(|sidecar| *sidecar = sidecar.clone().version("v2").env("QUOTED", "a \"b\" \\ c\n")).await?;
    let rendered = ns.dry_run(bare_pod("probe").pod_label(injector.label())).await?;
    assert!(injector.sidecar().is_in(&rendered), "{rendered}");
    // What runs is as it was born.
    for pod in ns.pods_of("Deployment", "web").await? {
        assert_eq!(proxy(&pod).as_deref(), Some("registry.test/proxy:v1"));
    }

    let label = injector.label();
    injector.uninstall().await?;
    let rendered = ns.dry_run(bare_pod("probe").pod_label(label)).await?;
    assert!(!Sidecar::new("proxy").is_named_in(&rendered), "{rendered}");
    Ok(())
}

#[tokio::test]
async fn a_policy_injects_an_ordinary_sidecar() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !testbed.supports_mutating_admission_policy() {
        return skip("no MutatingAdmissionPolicy here");
    }
    testbed.with_namespace("policy-ordinary", async |ns| injects(ns, Sidecar::new("proxy")).await).await
}

#[tokio::test]
async fn a_policy_injects_a_native_sidecar() -> Result<()> {
    let testbed = Testbed::shared().await?;
    if !testbed.supports_mutating_admission_policy() {
        return skip("no MutatingAdmissionPolicy here");
    }
    testbed.with_namespace("policy-native", async |ns| injects(ns, Sidecar::native("proxy")).await).await
}
