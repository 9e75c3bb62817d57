//! What people ask of a daemon that runs: how it stands, what it knows of one workload, and all of it for support.

use std::{collections::BTreeSet, fs};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::{Testbed, eventually, injector::Sidecar, skip, workload::deployment};

use crate::support::{ACCOUNT, DEADLINE, Daemon, Injector, RELEASE, Rights, Story, story, web};

const ELECTED: [&str; 3] = ["--leader-election", "--listen=127.0.0.1:0", "--api-listen=127.0.0.1:0"];

/// A daemon that leads, and has found one workload that is out of date; where it serves metrics, and where its API.
async fn running<'t>(story: &Story<'t>, more: &[&str]) -> Result<(Daemon<'t>, String, String)> {
    let mut injector = Injector::install(&story.ns, Sidecar::new("proxy")).await?;
    story.ns.deploy(deployment("web", 1).pod_label(injector.label())).await?;
    injector.set_version("v2").await?;
    story.create_state().await?;
    let daemon = story.daemon(&[&ELECTED[..], more].concat())?;
    let metrics = daemon.address_of("/metrics").await?;
    let api = daemon.address_of("the API").await?;
    // Its log is ahead of what it serves.
    eventually("the API serves the verdict", DEADLINE, async || {
        let status: Value = serde_json::from_str(&web::body(&api, "/api/v1/status").await?)?;
        Ok((status["summary"]["verdicts"]["drifted"] == 1).then_some(()))
    })
    .await?;
    Ok((daemon, metrics, api))
}

/// What `status` says, with this more.
async fn status(story: &Story<'_>, more: &[&str]) -> Result<Value> {
    let asked = ["status", "--output=json", "--state-namespace", story.ns.name()];
    let said = story.run_anywhere(story.kubeconfig(), &[&asked[..], more].concat()).await?;
    Ok(said.document()?.0)
}

#[tokio::test]
async fn status_finds_the_lease_by_its_name_and_asks_the_api_that_it_is_shown() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("asking-status", Rights::Enforce, async |story| {
        // As the chart does: a release has its own name.
        let named = ["--lease-name", RELEASE];
        let (daemon, _, api) = running(story, &named).await?;

        let unnamed = status(story, &[]).await?;
        assert_eq!((&unnamed["state"], &unnamed["leader"]), (&json!(true), &Value::Null));
        let silent = unnamed["apiSilent"].as_str().context("no reason")?;
        assert!(silent.contains("/sidecar-drift does not say which Pod to ask"), "{silent}");

        let found = status(story, &named).await?;
        assert_eq!(found["leader"]["present"], true, "{found:#}");
        let silent = found["apiSilent"].as_str().context("no reason")?;
        assert!(silent.contains("on loopback") && silent.contains("port-forward"), "{silent}");

        let url = format!("http://{api}");
        let asked = status(story, &[&named[..], &["--api", &url]].concat()).await?;
        assert_eq!(asked["api"]["summary"]["verdicts"]["drifted"], 1, "{asked:#}");
        assert_eq!(asked["apiSilent"], Value::Null);

        ensure!(daemon.terminate().await?.success());
        let gone = status(story, &[&named[..], &["--api", &url]].concat()).await?;
        assert_eq!((&gone["leader"], &gone["api"]), (&Value::Null, &Value::Null), "{gone:#}");
        Ok(())
    })
    .await
}

/// A port that is forwarded to `deploy/…` is a follower's as often as not (B12).
#[tokio::test]
async fn a_follower_knows_nothing_and_status_names_who_does() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("asking-follower", Rights::Enforce, async |story| {
        let (leader, _, leads) = running(story, &[]).await?;
        let second = story.account("second", Rights::Enforce).await?;
        let follower = story.daemon_as(&second, &ELECTED)?;
        let follows = follower.address_of("the API").await?;
        let unknown = eventually("it watches, and knows who leads", DEADLINE, async || {
            let status: Value = serde_json::from_str(&web::body(&follows, "/api/v1/status").await?)?;
            Ok((status["synced"] == true && status["leaderName"].is_string()).then_some(status))
        })
        .await?;
        for at in ["progress", "summary", "changes", "rolloutsInFlight"] {
            assert_eq!(unknown.get(at), Some(&Value::Null), "{at}: {unknown:#}");
        }
        let page = web::body(&follows, "/").await?;
        assert!(page.contains("This replica does not lead") && !page.contains("drifted"), "{page}");

        let asked = status(story, &["--api", &format!("http://{follows}")]).await?;
        assert_eq!(asked["api"], Value::Null, "{asked:#}");
        let silent = asked["apiSilent"].as_str().context("no reason")?;
        assert!(silent.contains("does not lead") && silent.contains("port-forward pod/"), "{silent}");
        let asked = status(story, &["--api", &format!("http://{leads}")]).await?;
        assert_eq!(asked["api"]["summary"]["verdicts"]["drifted"], 1, "{asked:#}");
        ensure!(follower.terminate().await?.success());
        ensure!(leader.terminate().await?.success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_look_beside_a_daemon_takes_none_of_its_ports_and_explains_one_workload() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("asking-beside", Rights::Enforce, async |story| {
        let (daemon, metrics, api) = running(story, &[]).await?;
        let ports = [format!("--listen={metrics}"), format!("--api-listen={api}")];
        let once = ["run", "--once", "--state-namespace", story.ns.name(), &ports[0], &ports[1]];
        let ran = story.run(&once).await?.success()?;
        assert!(ran.err.contains("Deployment") && ran.err.contains("web"), "{}", ran.err);
        let explained = story.run(&["explain", "deployment/web"]).await?;
        for word in ["drifted", "registry.test/proxy:v1", "registry.test/proxy:v2", "report_only"] {
            assert!(explained.out.contains(word), "{word} is not in {}", explained.out);
        }
        ensure!(daemon.terminate().await?.success());
        Ok(())
    })
    .await
}

#[tokio::test]
async fn a_bundle_holds_what_the_daemon_says_and_writes_nothing_into_the_cluster() -> Result<()> {
    if !Injector::supported(Testbed::shared().await?) {
        return skip("there is no injector that this cluster can have");
    }
    story("asking-bundle", Rights::Enforce, async |story| {
        let (daemon, metrics, api) = running(story, &[]).await?;
        let looks = story.account("looks", Rights::Enforce).await?;
        let beginning = story.marker()?;
        let directory = story.testbed().directory().join(format!("{}-bundle", story.ns.name()));
        let given = [
            format!("--directory={}", directory.display()),
            format!("--api=http://{api}"),
            format!("--metrics=http://{metrics}"),
            format!("--state-namespace={}", story.ns.name()),
        ];
        let asked: Vec<&str> = ["debug", "bundle"].into_iter().chain(given.iter().map(String::as_str)).collect();
        story.run_anywhere(&looks, &asked).await?.success()?;

        let read = |name: &str| fs::read_to_string(directory.join(name)).with_context(|| name.to_owned());
        let there: BTreeSet<_> = fs::read_dir(&directory)?
            .map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()))
            .collect::<Result<_>>()?;
        let contents = read("README.txt")?;
        assert!(!contents.contains("is not there"), "{contents}");
        for name in there.iter().filter(|name| *name != "README.txt") {
            assert!(contents.lines().any(|line| line == name), "{name} is not in {contents}");
        }
        assert!(read("metrics.txt")?.contains("\nsidecar_drift_leader 1\n"));
        let state: Value = serde_json::from_str(&read("state.json")?)?;
        assert_eq!(state["leader"]["present"], true, "{state:#}");
        let status: Value = serde_json::from_str(&read("status.json")?)?;
        assert_eq!(status["summary"]["verdicts"]["drifted"], 1, "{status:#}");
        ensure!(daemon.terminate().await?.success());

        let Some(beginning) = beginning else { return Ok(()) };
        let asked = story.asked_by("looks", beginning).await?;
        assert!(!asked.is_empty() && !asked.iter().any(testbed::AuditEntry::writes), "{asked:#?}");
        let theirs = story.asked_by(ACCOUNT, beginning).await?;
        let patched = theirs.iter().any(|entry| entry.writes() && entry.api_group == "apps");
        assert!(!patched, "{theirs:#?}");
        Ok(())
    })
    .await
}
