//! What can go wrong between a person and the API server: one sentence each, which says what to do.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result};
use insta::assert_snapshot;
use serde_json::{Value, json};
use testbed::{Testbed, injector::Sidecar, skip, workload::deployment};

use crate::support::{Finished, Injector, Rights, Story, story};

/// Writes a kubeconfig that is like the story's, but for one thing.
fn kubeconfig(story: &Story<'_>, name: &str, change: impl FnOnce(&mut Value)) -> Result<PathBuf> {
    let mut kubeconfig: Value = serde_json::from_slice(&fs::read(story.kubeconfig())?)?;
    change(&mut kubeconfig);
    let path = story.testbed().directory().join(format!("{}.{name}", story.ns.name()));
    fs::write(&path, kubeconfig.to_string())?;
    Ok(path)
}

/// What a command wrote as its result, or if there is none, as its error; without what is different in each run.
fn golden(story: &Story<'_>, title: &str, ran: &Finished) -> Result<String> {
    let directory = story.testbed().directory().to_str().context("not text")?;
    let url = story.testbed().api_url().trim_end_matches('/');
    let text = if ran.out.is_empty() { &ran.err } else { &ran.out };
    let text = text.replace(directory, "DIRECTORY").replace(url, "SERVER").replace(story.ns.name(), "NAMESPACE");
    let exit_code = ran.status.code().context("killed")?;
    Ok(format!("# {title}\n{}\nexit code {exit_code}\n\n", text.trim_end()))
}

#[tokio::test]
async fn no_way_to_the_api_server_is_one_sentence_that_says_what_to_do() -> Result<()> {
    story("errors", Rights::None, async |story| {
        let directory = story.testbed().directory();
        let nonsense = directory.join(format!("{}.nonsense", story.ns.name()));
        fs::write(&nonsense, "clusters: {")?;
        let empty = directory.join(format!("{}.empty", story.ns.name()));
        fs::write(&empty, "{}")?;
        let unreachable = kubeconfig(story, "unreachable", |config| {
            config["clusters"][0]["cluster"]["server"] = json!("https://127.0.0.1:1");
        })?;
        let untrusted = kubeconfig(story, "untrusted", |config| {
            config["clusters"][0]["cluster"]["certificate-authority-data"] = Value::Null;
        })?;
        let stranger =
            kubeconfig(story, "stranger", |config| config["users"][0]["user"] = json!({"token": "not.a.token"}))?;

        let mut text = String::new();
        for (title, kubeconfig, arguments) in [
            ("a file that does not exist", directory.join("does-not-exist").as_path(), &["scan"][..]),
            ("a file that is no kubeconfig", &nonsense, &["scan"]),
            ("a kubeconfig without contexts", &empty, &["scan"]),
            ("a context that does not exist", story.kubeconfig(), &["scan", "--context", "production"]),
            ("a server that does not answer", &unreachable, &["scan"]),
            ("a server that is not trusted", &untrusted, &["scan"]),
            ("a token that is not known", &stranger, &["scan"]),
        ] {
            let ran = story.run_as(Path::new(kubeconfig), &[arguments, &["--quiet"]].concat()).await?;
            assert_eq!((ran.err.lines().count(), ran.out.as_str()), (1, ""), "{ran:?}");
            text.push_str(&golden(story, title, &ran)?);
        }
        insta::with_settings!({filters => vec![(r"\b\d+s\b", "0s")]}, { assert_snapshot!(text) });
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_right_that_is_missing_is_named() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("forbidden", Rights::None, async |story| {
        let ns = &story.ns;
        let mut injector = Injector::install(ns, Sidecar::new("proxy")).await?;
        ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
        injector.set_version("v2").await?;
        let nobody = story.kubeconfig();
        let may_look = story.account("may-look", Rights::Look).await?;
        let may_report = story.account("may-report", Rights::Report).await?;

        let mut text = String::new();
        for (title, kubeconfig, arguments, exit_code) in [
            ("nothing may be seen", nobody, &["scan"][..], 1),
            ("nothing may be seen, of one workload", nobody, &["diff", "deployment/web"], 1),
            ("no Pod may be created", &may_look, &["scan"], 0),
            ("no workload may be patched", &may_report, &["rollout", "--confirm"], 1),
        ] {
            let ran = story.run_as(kubeconfig, arguments).await?;
            assert_eq!(ran.status.code(), Some(exit_code), "{title}: {ran:?}");
            text.push_str(&golden(story, title, &ran)?);
        }
        for command in [&["pause", "--reason", "upgrade"][..], &["resume"]] {
            let ran = story.run_anywhere(nobody, &[command, &["--state-namespace", ns.name()]].concat()).await?;
            assert_eq!((ran.status.code(), ran.err.lines().count()), (Some(1), 1), "{ran:?}");
            text.push_str(&golden(story, &format!("no right to {}", command[0]), &ran)?);
        }
        insta::with_settings!({filters => vec![(r"\b\d+s\b", "0s")]}, { assert_snapshot!(text) });
        Ok(())
    })
    .await
}
