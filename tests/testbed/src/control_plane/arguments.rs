//! The command lines of the control plane, with the reason for each flag that is not a matter of course.

use crate::control_plane::{Files, Options, Ports};

/// Not advertised to clients; only inside this process and its children.
const LOOPBACK: &str = "127.0.0.1";

pub(super) fn etcd(files: &Files, ports: Ports) -> Vec<String> {
    let client = format!("http://{LOOPBACK}:{}", ports.etcd_client);
    let peer = format!("http://{LOOPBACK}:{}", ports.etcd_peer);
    vec![
        "--name=testbed".to_owned(),
        format!("--data-dir={}", files.etcd_data.display()),
        format!("--listen-client-urls={client}"),
        format!("--advertise-client-urls={client}"),
        format!("--listen-peer-urls={peer}"),
        format!("--initial-advertise-peer-urls={peer}"),
        format!("--initial-cluster=testbed={peer}"),
        // The data lives as long as the test.
        "--unsafe-no-fsync".to_owned(),
        // One member elects itself; it need not wait a second to do so.
        "--heartbeat-interval=50".to_owned(),
        "--election-timeout=250".to_owned(),
        "--log-level=warn".to_owned(),
    ]
}

pub(super) fn kube_apiserver(files: &Files, ports: Ports, options: &Options) -> Vec<String> {
    let mut arguments = vec![
        format!("--etcd-servers=http://{LOOPBACK}:{}", ports.etcd_client),
        format!("--bind-address={LOOPBACK}"),
        format!("--secure-port={}", ports.kube_apiserver),
        format!("--tls-cert-file={}", files.server_certificate.display()),
        format!("--tls-private-key-file={}", files.server_key.display()),
        format!("--client-ca-file={}", files.authority.display()),
        "--authorization-mode=RBAC".to_owned(),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        format!("--service-account-key-file={}", files.service_account_public_key.display()),
        format!("--service-account-signing-key-file={}", files.service_account_key.display()),
        "--service-cluster-ip-range=10.96.0.0/16".to_owned(),
        // The Endpoints of the Service `kubernetes` must not be loopback addresses, and nobody needs them here.
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--egress-selector-config-file={}", files.egress.display()),
        format!("--audit-policy-file={}", files.audit_policy.display()),
        format!("--audit-log-path={}", files.audit_log.display()),
        // Never rotate: a test reads from a position that it noted before.
        "--audit-log-maxsize=1000000".to_owned(),
        // As on clusters where nobody may hold up the deletion of what is not his: controllers may, most others may not.
        "--enable-admission-plugins=OwnerReferencesPermissionEnforcement".to_owned(),
        "--allow-privileged=true".to_owned(),
        "--profiling=false".to_owned(),
    ];
    if options.static_webhooks {
        arguments.push(format!("--admission-control-config-file={}", files.admission.display()));
    }
    arguments.extend(options.emulated_version.iter().map(|version| format!("--emulated-version={version}")));
    arguments
}

pub(super) fn kube_controller_manager(files: &Files, options: &Options) -> Vec<String> {
    let mut arguments = vec![
        format!("--kubeconfig={}", files.kube_controller_manager.display()),
        // Each controller under its own name, as in real clusters: injectors look at who creates a Pod.
        "--use-service-account-credentials=true".to_owned(),
        format!("--service-account-private-key-file={}", files.service_account_key.display()),
        format!("--root-ca-file={}", files.authority.display()),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        // The default of 20 requests a second makes fifty Pods a matter of seconds.
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        "--profiling=false".to_owned(),
    ];
    arguments.extend(options.emulated_version.iter().map(|version| format!("--emulated-version={version}")));
    arguments
}

pub(super) fn kube_scheduler(files: &Files, options: &Options) -> Vec<String> {
    let mut arguments = vec![
        format!("--kubeconfig={}", files.kube_scheduler.display()),
        "--leader-elect=false".to_owned(),
        "--secure-port=0".to_owned(),
        "--kube-api-qps=500".to_owned(),
        "--kube-api-burst=1000".to_owned(),
        "--profiling=false".to_owned(),
    ];
    arguments.extend(options.emulated_version.iter().map(|version| format!("--emulated-version={version}")));
    arguments
}

pub(super) fn kwok(files: &Files) -> Vec<String> {
    vec![
        format!("--kubeconfig={}", files.kwok.display()),
        format!("--config={}", files.stages.display()),
        "--manage-all-nodes=true".to_owned(),
        // Keeps the Nodes alive in the eyes of the controller manager.
        "--node-lease-duration-seconds=40".to_owned(),
        "--cidr=10.128.0.0/12".to_owned(),
        "--node-ip=10.64.0.1".to_owned(),
    ]
}
