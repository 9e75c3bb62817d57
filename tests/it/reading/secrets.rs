//! A value that may be a secret leaves the program in no form: not as it is, not encoded, not hashed without a key.

use std::{fmt::Write as _, sync::Arc};

use serde_json::json;
use sha2::{Digest, Sha256};
use sidecar_drift::{
    core::{
        compare::{Comparison, FieldChange, Mask, Rendering, SidecarDifference, SidecarSelection, compare_all},
        model::{shape::PodShape, words::Difference},
        report::Report,
    },
    metrics,
};

use super::{get, reading};
use crate::cli::{Fake, reports};

/// With everything in it that encodings change.
const SECRET: &str = "pl4nted/secret+\"value\"&<é>=";

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    })
}

fn base64(bytes: &[u8], alphabet: &[u8; 64]) -> String {
    let mut text = String::new();
    for three in bytes.chunks(3) {
        let bits = three.iter().fold(0u32, |bits, byte| bits << 8 | u32::from(*byte)) << (8 * (3 - three.len()));
        for i in 0..=three.len() {
            text.push(char::from(alphabet[(bits >> (18 - 6 * i)) as usize & 63]));
        }
    }
    text
}

/// Each form in which the value could be recognised.
fn forms(secret: &str) -> Vec<(&'static str, String)> {
    let standard = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let for_urls = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let json = serde_json::to_string(secret).unwrap();
    let hash = hex(&Sha256::digest(secret));
    let html = secret.replace('&', "&#38;").replace('<', "&#60;").replace('>', "&#62;").replace('"', "&#34;");
    let url: String = secret
        .bytes()
        .map(|b| if b.is_ascii_alphanumeric() { char::from(b).to_string() } else { format!("%{b:02X}") })
        .collect();
    let form: String = form_urlencoded::byte_serialize(secret.as_bytes()).collect();
    vec![
        ("plain", secret.to_owned()),
        ("plain, the beginning", secret.chars().take(7).collect()),
        ("base64", base64(secret.as_bytes(), standard)),
        ("base64 for URLs", base64(secret.as_bytes(), for_urls)),
        ("JSON", json.trim_matches('"').to_owned()),
        ("JSON in JSON", serde_json::to_string(&json).unwrap().trim_matches('"').to_owned()),
        ("HTML", html),
        ("URL", url),
        ("form", form),
        ("hex", hex(secret.as_bytes())),
        // As many digits as are shown of a keyed one, at least.
        ("SHA-256", hash[..8].to_owned()),
        ("SHA-256, base64", base64(&Sha256::digest(secret), standard)[..10].to_owned()),
    ]
}

pub(crate) fn check(place: &str, text: &str) {
    check_for(SECRET, place, text);
}

pub(crate) fn check_for(secret: &str, place: &str, text: &str) {
    let lower = text.to_lowercase();
    for (form, value) in forms(secret) {
        assert!(
            !text.contains(&value) && !lower.contains(&value.to_lowercase()),
            "{place} holds the secret as {form}: {text}"
        );
    }
}

/// What comparing finds where the secret is part of the structure of values, in six encodings: the name of a member, in JSON
/// and in base64 of it; the value that tells an element of a list apart; a query string; a certificate; an argument.
pub(crate) fn structured() -> Comparison {
    let quoted = serde_json::to_string(SECRET).unwrap();
    let pod = |state: &str| {
        let member = format!("{{{quoted}:{state:?}}}");
        let standard = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let padded = |bytes: &[u8]| {
            let text = base64(bytes, standard);
            format!("{text}{}", "=".repeat((4 - text.len() % 4) % 4))
        };
        let element = |name: &str| format!("{{\"password\":{name},\"state\":{state:?}}}");
        let der =
            [&[0x30, u8::try_from(SECRET.len() + state.len()).unwrap()], SECRET.as_bytes(), state.as_bytes()].concat();
        let env = [
            ("API_KEYS", member.clone()),
            ("ENCODED", padded(member.as_bytes())),
            ("USERS", format!("[{},{}]", element(&quoted), element("\"other\""))),
            ("NESTED", format!("{{\"keys\":[{member},{member}]}}")),
            ("QUERY", format!("state={state}&token={SECRET}")),
            ("CA", format!("-----BEGIN CERTIFICATE-----\n{}\n-----END CERTIFICATE-----\n", padded(&der))),
        ];
        let env: Vec<_> = env.into_iter().map(|(name, value)| json!({ "name": name, "value": value })).collect();
        let container = |name: &str| json!({ "name": name, "image": "x:1", "env": env, "args": [format!("--key={SECRET}-{state}"), member] });
        json!({ "spec": { "containers": [container("app"), container("proxy")] } })
    };
    let template = json!({ "spec": { "containers": [pod("new")["spec"]["containers"][0]] } });
    let rendering = Rendering {
        template: PodShape::from_pod(&template).into(),
        rendered: PodShape::from_pod(&pod("new")).into(),
        ..Rendering::default()
    };
    let running = PodShape::from_pod(&pod("old"));
    compare_all(&running, "", &[rendering], &SidecarSelection::default(), &Mask::default(), &[])
}

/// The fleet with the secret in each place where a value can be.
pub(crate) fn planted() -> Report {
    let mut report = reports::fleet();
    let change = |pointer: &str, running: Option<&str>, rendered: Option<&str>| FieldChange {
        pointer: pointer.to_owned(),
        plain: None,
        running: running.map(Into::into),
        rendered: rendered.map(Into::into),
    };
    let places = || {
        vec![
            change("/args/1", Some(SECRET), Some("x")),
            change("/command/0", None, Some(SECRET)),
            change("/env/TOKEN/value", Some("x"), Some(SECRET)),
            change("/env/CONFIG/value/deep/0", Some(SECRET), None),
            change("/resources/limits", Some(SECRET), Some("x")),
        ]
    };
    for w in &mut report.workloads {
        for group in &mut Arc::make_mut(w).differing {
            group.differences.push(SidecarDifference {
                sidecar: "istio-proxy".into(),
                difference: Difference::Changed,
                fields: places(),
            });
            let found = structured();
            group.differences.extend(found.differences);
            group.collateral.extend(found.collateral);
            group
                .collateral
                .extend(["/app/env/PASSWORD/value", "/app/args/0"].map(|at| change(at, Some(SECRET), Some("x"))));
        }
    }
    report
}

#[test]
fn the_test_finds_what_it_looks_for() {
    for (form, value) in forms(SECRET) {
        let found = std::panic::catch_unwind(|| check("here", &format!("a {value} b")));
        assert!(found.is_err(), "{form}");
    }
    assert_eq!(base64(b"hunter2", b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"), "aHVudGVyMg");
}

#[test]
fn what_values_are_made_of_is_found_and_shown_as_tags() {
    let found = structured();
    let of_proxy = &found.differences[0].fields;
    let (pointers, plain): (Vec<_>, Vec<_>) = of_proxy.iter().map(|f| (f.pointer.as_str(), f.plain.as_deref())).unzip();
    assert_eq!(pointers.len(), 11, "{pointers:?}");
    assert_eq!(found.collateral.len(), 11, "{:?}", found.collateral);
    for pointer in pointers.iter().copied().chain(found.collateral.iter().map(|f| f.pointer.as_str())) {
        check("a pointer", pointer);
        assert!(!pointer.contains("password") && !pointer.contains("keys"), "{pointer}");
    }
    assert!(plain.iter().flatten().any(|plain| plain.contains("[password=pl4nted")), "{plain:?}");
}

#[tokio::test]
async fn no_answer_and_no_page_holds_a_secret() {
    let report = planted();
    assert!(format!("{report:?}").contains("pl4nted"), "nothing was planted");
    let mut paths: Vec<String> = ["status", "workloads?limit=1000", "generations", "rollouts", "plan", "openapi.json"]
        .map(|path| format!("/api/v1/{path}"))
        .into();
    paths.extend(["/", "/workloads", "/plan", "/activity"].map(str::to_owned));
    for w in &report.workloads {
        let at = format!("workloads/{}/{}/{}", w.namespace, w.kind, w.name);
        paths.extend([format!("/{at}"), format!("/api/v1/{at}")]);
    }
    let router = reading(report);
    let mut masked = 0;
    for path in paths {
        let answer = get(&router, &path).await;
        assert_eq!(answer.status, 200, "{path}");
        check(&path, &answer.body);
        masked += answer.body.matches("masked ").count();
    }
    assert!(masked > 50, "the planted values were not even shown masked");
    // Nor can it be found by asking for it.
    let asked = get(&router, "/api/v1/workloads?q=pl4nted").await.json();
    assert_eq!(asked["total"], 0);
}

#[test]
fn no_command_prints_a_secret() {
    for line in [
        "scan",
        "scan --all",
        "scan -o json",
        "scan -o yaml",
        "diff",
        "diff -o json",
        "rollout",
        "rollout --confirm -o json",
    ] {
        let ran = Fake::new(planted()).command(line, None);
        assert!(!ran.out.is_empty(), "{line}");
        check(line, &ran.out);
        check(line, &ran.err);
    }
}

#[test]
fn no_metric_holds_a_secret() {
    let metrics = metrics::install(true).unwrap();
    let text = metrics.render(Some(&planted()));
    assert!(text.contains("sidecar_drift_workloads"), "{text}");
    check("/metrics", &text);
}
