//! Pods as known injectors leave them, in small: what is the same Pod twice, and what is another sidecar.
//!
//! Written after the injectors' sources; none of their names is known to the comparator, only what their values look like.

#![expect(clippy::needless_pass_by_value, reason = "`json!` reads better as an argument of its own")]

use std::sync::Arc;

use serde_json::{Value, json};
use sidecar_drift::core::{
    compare::{Comparison, Mask, Rendering, SidecarSelection, compare_all, title, volatile},
    model::{shape::PodShape, words::Difference},
};

fn pod(sidecars: &[Value], more: Value) -> Value {
    let mut pod = json!({ "spec": { "containers": [{ "name": "app", "image": "app:1" }] } });
    json_patch::merge(&mut pod, &more);
    let containers = pod["spec"]["containers"].as_array_mut().expect("containers");
    containers.extend(sidecars.iter().cloned());
    pod
}

fn template(containers: &Value) -> Value {
    json!({ "spec": { "containers": containers } })
}

fn rendering(template: &Value, rendered: &Value, name: Option<&str>) -> Rendering {
    Rendering {
        template: Arc::new(PodShape::from_template(template)),
        rendered: Arc::new(PodShape::from_pod(rendered)),
        pod_name: name.map(Into::into),
        ..Rendering::default()
    }
}

fn plain() -> Value {
    template(&json!([{ "name": "app", "image": "app:1" }]))
}

fn against(running: &Value, rendered: &Value) -> Comparison {
    let renderings = [rendering(&plain(), rendered, None)];
    let (selection, mask) = (SidecarSelection::default(), Mask::default());
    compare_all(&PodShape::from_pod(running), "", &renderings, &selection, &mask, &[])
}

fn same(running: &Value, rendered: &Value) -> bool {
    against(running, rendered) == Comparison::default()
}

/// How it is called what differs.
fn called(running: &Value, rendered: &Value) -> String {
    title(&against(running, rendered).differences)
}

fn env(name: &str, value: &str) -> Value {
    json!({ "name": name, "value": value })
}

fn base64(bytes: &[u8]) -> String {
    const ALPHABET: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let at = |n: usize| u32::from(chunk.get(n).copied().unwrap_or_default());
        let bits = at(0) << 16 | at(1) << 8 | at(2);
        for n in 0..4_usize {
            let index = usize::try_from(bits >> (18 - 6 * n) & 63).expect("six bits");
            text.push(if n <= chunk.len() { char::from(ALPHABET[index]) } else { '=' });
        }
    }
    text
}

// Istio --------------------------------------------------------------------------------------------------------------

fn istio(image: &str, proxy_config: &str, ports: &str) -> Value {
    json!({
        "name": "istio-proxy",
        "image": format!("docker.io/istio/proxyv2:{image}"),
        "args": ["proxy", "sidecar", "--domain", "$(POD_NAMESPACE).svc.cluster.local", "--proxyLogLevel=warning"],
        "env": [
            { "name": "POD_NAMESPACE", "valueFrom": { "fieldRef": { "fieldPath": "metadata.namespace" } } },
            env("PROXY_CONFIG", proxy_config),
            env("ISTIO_META_POD_PORTS", ports),
            env("ISTIO_META_APP_CONTAINERS", "app"),
            env("TRUST_DOMAIN", "cluster.local"),
            env("ISTIO_META_NODE_NAME", "$(POD_NAMESPACE)"),
        ],
    })
}

#[test]
fn c5_istio_writes_its_configuration_with_other_blanks() {
    let before = pod(&[istio("1.27.0", "{\"concurrency\":2,\"tracing\":{}}\n", "[\n]")], json!({}));
    let after = pod(&[istio("1.27.0", "{ \"tracing\": {}, \"concurrency\": 2 }", "[]")], json!({}));
    assert!(same(&before, &after));
    let more = pod(&[istio("1.27.0", "{\"concurrency\":4,\"tracing\":{}}\n", "[\n]")], json!({}));
    assert_eq!(against(&before, &more).differences[0].fields[0].pointer, "/env/PROXY_CONFIG/value/#d1b");
    let ports = "[\n    {\"name\":\"http\",\"containerPort\":8080,\"protocol\":\"TCP\"}\n]";
    let opened = pod(&[istio("1.27.0", "{\"concurrency\":2,\"tracing\":{}}", ports)], json!({}));
    assert_eq!(called(&before, &opened), "istio-proxy env ISTIO_META_POD_PORTS");
}

#[test]
fn c2_istio_moves_its_proxy_when_the_last_old_node_is_gone() {
    let mut native = istio("1.27.0", "{}", "[]");
    native["restartPolicy"] = json!("Always");
    let (before, mut after) = (pod(&[istio("1.27.0", "{}", "[]")], json!({})), pod(&[], json!({})));
    after["spec"]["initContainers"] = json!([native]);
    let found = against(&before, &after);
    let all: Vec<_> = found.differences.iter().map(|d| (&*d.sidecar, d.difference)).collect();
    assert_eq!(all, [("istio-proxy", Difference::Placement)]);
    assert_eq!(found.collateral, []);
}

#[test]
fn c1_istio_fills_a_proxy_that_the_template_customises() {
    let own = json!([
        { "name": "app", "image": "app:1" },
        { "name": "istio-proxy", "image": "auto", "env": [env("EXTRA", "1")] },
    ]);
    let filled = |image: &str| {
        let mut proxy = istio(image, "{}", "[]");
        proxy["env"].as_array_mut().expect("env").push(env("EXTRA", "1"));
        pod(&[proxy], json!({}))
    };
    let renderings = [rendering(&template(&own), &filled("1.27.1"), None)];
    let (selection, mask) = (SidecarSelection::default(), Mask::default());
    let found = compare_all(&PodShape::from_pod(&filled("1.27.0")), "", &renderings, &selection, &mask, &[]);
    assert_eq!(title(&found.differences), "istio-proxy image 1.27.0 → 1.27.1");
    assert_eq!(found.collateral, []);
}

// Linkerd ------------------------------------------------------------------------------------------------------------

#[test]
fn c4_linkerd_copies_the_name_of_the_token_volume() {
    let linkerd = |suffix: &str| {
        let volume = format!("kube-api-access-{suffix}");
        let proxy = json!({
            "name": "linkerd-proxy", "image": "cr.l5d.io/linkerd/proxy:edge-26.8.1",
            "env": [env("LINKERD2_PROXY_IDENTITY_DIR", "/var/run/linkerd"), env("_l5d_volume", &volume)],
            "volumeMounts": [{ "name": volume, "mountPath": "/var/run/secrets/kubernetes.io/serviceaccount" }],
        });
        let volumes =
            json!([{ "name": volume, "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } }]);
        pod(&[proxy], json!({ "spec": { "volumes": volumes } }))
    };
    assert!(same(&linkerd("4x7k2"), &linkerd("zz9qp")));
}

// Vault, Consul, Dapr ------------------------------------------------------------------------------------------------

#[test]
fn c5_a_vault_agent_with_templates_in_another_order_is_the_same() {
    let agent = |order: [&str; 3], address: &str| {
        let template = |name: &&str| json!({ "destination": format!("/vault/secrets/{name}"), "contents": format!("{{{{{name}}}}}") });
        let templates: Vec<_> = order.iter().map(template).collect();
        let config = json!({ "vault": { "address": address }, "template": templates }).to_string();
        let agent = json!({ "name": "vault-agent", "image": "vault:1.20", "env": [env("VAULT_CONFIG", &base64(config.as_bytes()))] });
        pod(&[agent], json!({}))
    };
    let running = agent(["db", "api", "tls"], "https://vault");
    for order in [["api", "db", "tls"], ["tls", "api", "db"], ["api", "tls", "db"]] {
        assert!(same(&running, &agent(order, "https://vault")), "{order:?}");
    }
    let moved = against(&running, &agent(["tls", "db", "api"], "https://other"));
    let pointers: Vec<_> = moved.differences[0].fields.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(pointers, ["/env/VAULT_CONFIG/value/#e6f/#d80"]);
}

#[test]
fn c7_consul_notes_the_whole_pod_in_an_annotation() {
    let consul = |noted: &str| {
        let dataplane = json!({ "name": "consul-dataplane", "image": "hashicorp/consul-dataplane:1.9", "args": ["-addresses", "c"] });
        pod(&[dataplane], json!({ "metadata": { "annotations": { "consul.hashicorp.com/original-pod": noted } } }))
    };
    assert!(same(&consul("{\"spec\":{\"volumes\":[\"kube-api-access-1\"]}}"), &consul("{}")));
}

#[test]
fn r3_dapr_calls_the_application_by_the_name_of_the_pod() {
    let dapr = |pod_name: &str, version: &str| {
        let args = json!(["/daprd", "--app-id", pod_name, "--dapr-http-port", "3500"]);
        let id = env("APP_ID", &format!("{pod_name}.db.svc"));
        pod(
            &[json!({ "name": "daprd", "image": format!("daprio/daprd:{version}"), "args": args, "env": [id] })],
            json!({}),
        )
    };
    let compared = |rendered: &Value| {
        let renderings = [rendering(&plain(), rendered, Some("db-6"))];
        let (selection, mask) = (SidecarSelection::default(), Mask::default());
        compare_all(&PodShape::from_pod(&dapr("db-0", "1.15")), "db-0", &renderings, &selection, &mask, &[])
    };
    assert_eq!(compared(&dapr("db-6", "1.15")), Comparison::default());
    assert_eq!(title(&compared(&dapr("db-6", "1.16")).differences), "daprd image 1.15 → 1.16");
}

#[test]
fn c10_dapr_is_given_its_trust_anchors_in_another_order() {
    let der = |n: u8| base64(&[0x30, 0x03, 0x02, 0x01, n]);
    let block = |n: u8| format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", der(n));
    let dapr =
        |anchors: String| pod(&[json!({ "name": "daprd", "env": [env("DAPR_TRUST_ANCHORS", &anchors)] })], json!({}));
    assert!(same(&dapr(block(1) + &block(2)), &dapr((block(2) + &block(1)).replace('\n', "\r\n"))));
    assert!(!same(&dapr(block(1)), &dapr(block(1) + &block(2))), "one root more");
}

// OpenTelemetry, Datadog, Azure --------------------------------------------------------------------------------------

#[test]
fn c3_open_telemetry_refers_to_variables_that_stand_before() {
    let collector = |names: &[&str], attributes: &str| {
        let mut all: Vec<_> = names
            .iter()
            .map(|name| json!({ "name": name, "valueFrom": { "fieldRef": { "fieldPath": "metadata.name" } } }))
            .collect();
        all.push(env("OTEL_RESOURCE_ATTRIBUTES", attributes));
        pod(&[json!({ "name": "otc-container", "image": "otel/collector:0.110", "env": all })], json!({}))
    };
    let text = "k8s.pod.name=$(POD_NAME),k8s.node.name=$(NODE_NAME)";
    let running = collector(&["POD_NAME", "NODE_NAME"], text);
    assert!(same(&running, &collector(&["NODE_NAME", "POD_NAME"], text)), "both stand before in both");
    assert!(!same(&running, &collector(&["POD_NAME"], text)), "one is not defined any more");
}

#[test]
fn c6_datadog_mounts_in_the_order_of_a_map() {
    let agent = |paths: [&str; 2]| {
        let mounts: Vec<_> = paths.iter().map(|path| json!({ "name": "datadog", "mountPath": path })).collect();
        pod(&[json!({ "name": "datadog-agent-injected", "image": "agent:7", "volumeMounts": mounts })], json!({}))
    };
    assert!(same(&agent(["/a", "/b"]), &agent(["/b", "/a"])));
}

#[test]
fn c4_azure_hashes_the_name_of_the_pod_into_a_volume() {
    let proxy = |hash: &str| {
        let volume = format!("azure-identity-token-{hash}");
        let container = json!({
            "name": "azwi-proxy", "image": "mcr.microsoft.com/proxy:1", "args": ["--token", format!("/var/{volume}/token")],
            "env": [env("AZURE_FEDERATED_TOKEN_FILE", &format!("/var/run/{volume}/token"))],
        });
        let volumes =
            json!([{ "name": volume, "projected": { "sources": [{ "serviceAccountToken": { "path": "t" } }] } }]);
        pod(&[container], json!({ "spec": { "volumes": volumes } }))
    };
    assert!(same(&proxy("0f3a91c2"), &proxy("beef0123")));
}

// Whatever comes next ------------------------------------------------------------------------------------------------

#[test]
fn r8_an_unknown_injector_that_draws_ports_names_and_times_is_in_sync_once_it_is_known() {
    let odd = |port: u32, id: &str, level: &str| {
        let config = json!({ "listener": { "port": port, "id": id }, "level": level }).to_string();
        let container = json!({
            "name": "odd", "image": "odd:1", "args": ["--id", id, "--level", level],
            "env": [env("CONFIG", &base64(config.as_bytes())), env("STARTED", &format!("2026-03-0{}T10:00:00Z", port % 9))],
        });
        pod(&[container], json!({}))
    };
    let renderings: Vec<_> =
        [(31, "aa"), (32, "bb")].iter().map(|(port, id)| rendering(&plain(), &odd(*port, id, "info"), None)).collect();
    let mask = volatile(&renderings[0], &renderings[1]).expect("no other image");
    let compared = |running: &Value| {
        compare_all(&PodShape::from_pod(running), "", &renderings, &SidecarSelection::default(), &mask, &[])
    };
    assert_eq!(compared(&odd(7, "zz", "info")), Comparison::default());
    let found = compared(&odd(7, "zz", "debug"));
    let pointers: Vec<_> = found.differences[0].fields.iter().map(|f| f.pointer.as_str()).collect();
    assert_eq!(pointers, ["/args/3", "/env/CONFIG/value/#008"]);
}
