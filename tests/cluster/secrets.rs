//! Values of env can be secrets: those of the cluster's Pods are in nothing that the daemon says.

use std::fmt::Write as _;

use anyhow::Result;
use kube::api::ListParams;
use serde_json::json;
use sha2::{Digest, Sha256};
use testbed::{Testbed, eventually, injector::Sidecar, skip, workload::deployment};

use crate::support::{DEADLINE, Injector, Rights, story};

/// Planted into the app's container, into the sidecar before the change, and into the sidecar after it.
const SECRETS: [&str; 3] =
    ["pl4nted-app/secret+\"a\"&<b>", "pl4nted-old/secret+\"c\"&<d>", "pl4nted-new/secret+\"e\"&<f>"];

/// What a secret could be recognised by. The beginning is the same in all encodings that leave letters alone.
fn forms(secret: &str) -> [String; 3] {
    let hash = Sha256::digest(secret).iter().take(4).fold(String::new(), |mut text, byte| {
        _ = write!(text, "{byte:02x}");
        text
    });
    // The first nine letters fill whole groups of base64.
    let beginning = match &secret[8..11] {
        "app" => "cGw0bnRlZC1h",
        "old" => "cGw0bnRlZC1v",
        _ => "cGw0bnRlZC1u",
    };
    [secret[..11].to_owned(), beginning.to_owned(), hash]
}

#[tokio::test]
async fn an_env_value_is_in_no_log_answer_page_event_or_recording() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector");
    }
    story("secrets", Rights::Enforce, async |story| {
        let [app, old, new] = SECRETS;
        let ns = &story.ns;
        story.create_state().await?;
        let mut injector = Injector::install(ns, Sidecar::new("proxy").env("TOKEN", old)).await?;
        let with_secret = |workload: &mut serde_json::Value| {
            workload["spec"]["template"]["spec"]["containers"][0]["env"] =
                json!([{ "name": "PASSWORD", "value": app }]);
        };
        ns.deploy(deployment("web", 2).pod_label(injector.label()).with(with_secret)).await?;
        // The most that can be said, the lines of libraries included.
        let recording = story.testbed().directory().join(format!("{}.jsonl", ns.name()));
        let record = format!("--record={}", recording.display());
        let daemon = story.daemon(&["--log-level=trace", "--api-listen=127.0.0.1:0", "--events", &record])?;
        daemon.until_verdict("Deployment/web", "in_sync", None).await?;
        injector.change(|sidecar| *sidecar = sidecar.clone().env("TOKEN", new)).await?;
        daemon.until_verdict("Deployment/web", "drifted", None).await?;

        let at = format!("workloads/{}/Deployment/web", ns.name());
        // The log is ahead of what is published.
        let shown = async || {
            let page = daemon.fetch(&format!("/{at}")).await?;
            Ok((page.contains("/env/TOKEN") && page.contains("masked ")).then_some(()))
        };
        eventually("the difference is shown", DEADLINE, shown).await?;
        let mut said = String::new();
        for path in
            ["/", "/workloads", &format!("/{at}"), &format!("/api/v1/{at}"), "/api/v1/workloads", "/api/v1/plan"]
        {
            said += &daemon.fetch(path).await?;
        }
        for line in daemon.lines()? {
            _ = writeln!(said, "{line:?}");
        }
        assert!(said.contains("DEBUG"), "the log is not that of debugging");
        for command in [&["scan"][..], &["diff"], &["diff", "-o", "json"]] {
            let ran = story.run(command).await?;
            _ = write!(said, "{ran:?}");
        }
        let bundle = story.testbed().directory().join(format!("{}-bundle", ns.name()));
        let api = daemon.address_of("the API").await?;
        let [directory, api, recorded] = [
            format!("--directory={}", bundle.display()),
            format!("--api=http://{api}"),
            format!("--recording={}", recording.display()),
        ];
        let here = ["--state-namespace", ns.name()];
        let asked = [&["debug", "bundle", &directory, &api, &recorded][..], &here].concat();
        story.run_anywhere(story.kubeconfig(), &asked).await?.success()?;
        for entry in std::fs::read_dir(&bundle)? {
            said += &std::fs::read_to_string(entry?.path())?;
        }
        let events = ns.dynamic("events.k8s.io", "v1", "Event");
        let drift = async || {
            let all = events.list(&ListParams::default()).await?;
            let text = serde_json::to_string(&all)?;
            Ok(text.contains("DriftDetected").then_some(text))
        };
        said += &eventually("an Event tells of it", DEADLINE, drift).await?;
        assert!(daemon.terminate().await?.success());
        let recorded = std::fs::read_to_string(recording)?;
        assert!(recorded.contains("TOKEN"), "the recording has nothing of the sidecar");
        said += &recorded;
        for (secret, form) in SECRETS.iter().flat_map(|secret| forms(secret).map(|form| (secret, form))) {
            assert!(!said.contains(&form), "{secret} is there as {form}");
        }
        Ok(())
    })
    .await
}
