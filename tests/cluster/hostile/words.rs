//! A person's word is never lost.

use anyhow::{Result, ensure};
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{Patch, PatchParams};
use serde_json::{Value, json};
use testbed::workload::deployment;

use crate::support::{Rights, Story, story};

async fn state(story: &Story<'_>) -> Result<String> {
    let found = story.ns.api::<ConfigMap>().get("sidecar-drift-state").await?;
    Ok(found.data.and_then(|data| data.get("state.json").cloned()).unwrap_or_default())
}

async fn put(story: &Story<'_>, text: &str) -> Result<()> {
    let patch = Patch::Merge(json!({ "data": { "state.json": text } }));
    story.ns.api::<ConfigMap>().patch("sidecar-drift-state", &PatchParams::default(), &patch).await?;
    Ok(())
}

#[tokio::test]
async fn only_resume_begins_anew_what_is_missing_corrupt_or_newer() -> Result<()> {
    story("hostile-words", Rights::Enforce, async |story| {
        let ns = &story.ns;
        ns.deploy(deployment("web", 1)).await?;
        let retry = ["retry", "deployment/web", "--namespace", ns.name(), "--yes"];
        let pause = ["pause", "--reason", "upgrade"];
        let say = async |arguments: &[&str]| {
            let here = ["--state-namespace", ns.name()];
            story.run_anywhere(story.testbed().kubeconfig(), &[arguments, &here].concat()).await
        };

        let ran = say(&retry).await?;
        ensure!(ran.status.code() == Some(1) && ran.err.contains("it is missing"), "{ran:?}");
        ensure!(ns.api::<ConfigMap>().get_opt("sidecar-drift-state").await?.is_none(), "it was made");
        say(&pause).await?.success()?;
        ensure!(state(story).await?.contains("upgrade"), "not paused");

        for text in ["not JSON", "[]", r#"{"paused":{"until":"2030-01-01"}}"#, r#"{"recent":["sealed"]}"#] {
            put(story, text).await?;
            for words in [&retry[..], &pause] {
                let ran = say(words).await?;
                ensure!(ran.status.code() == Some(1) && ran.err.contains("cannot be read"), "{text}: {ran:?}");
                ensure!(ran.err.contains("`sidecar-drift resume`"), "{text}: {ran:?}");
                ensure!(state(story).await? == text, "{text} was replaced");
            }
        }
        let ran = say(&["resume"]).await?.success()?;
        ensure!(ran.err.contains("could not be read"), "{ran:?}");
        let fresh: Value = serde_json::from_str(&state(story).await?)?;
        ensure!(fresh["paused"].is_null() && fresh["recent"] == json!([]), "{fresh}");

        put(story, r#"{"breaker":{"reason":"three","at":"2030-01-01T00:00:00Z","by":"x"},"later":{"a":[1]}}"#).await?;
        say(&retry).await?.success()?;
        let kept: Value = serde_json::from_str(&state(story).await?)?;
        ensure!(kept["breaker"]["by"] == "x" && kept["later"] == json!({ "a": [1] }), "{kept}");
        ensure!(kept["retries"].as_object().is_some_and(|retries| retries.len() == 1), "{kept}");
        Ok(())
    })
    .await
}
