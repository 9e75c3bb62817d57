//! `deploy/`: plain manifests for those who do not use Helm, rendered from the chart.

use std::{collections::BTreeMap, fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use testbed::Testbed;

use super::helm;

const NAME: &str = "sidecar-drift";

/// Its labels hold the Pods of the namespace to the strictest standard.
const NAMESPACE: &str = "\
# Helm does not make namespaces, so neither does the chart.
apiVersion: v1
kind: Namespace
metadata:
  name: sidecar-drift
  labels:
    pod-security.kubernetes.io/enforce: restricted
";

/// Set, it lets the tests write what they would else compare.
const GENERATE: &str = "SIDECAR_DRIFT_GENERATE";

/// A rendering without what only Helm needs, document by document.
fn documents(values: &Value) -> Result<Vec<String>> {
    let text = helm::template(NAME, NAME, values)?;
    let text = text.replace("  annotations:\n    helm.sh/resource-policy: keep\n", "");
    let of_helm = ["# Source: ", "    helm.sh/chart: ", "    app.kubernetes.io/managed-by: Helm"];
    let lines = text.lines().filter(|line| !of_helm.iter().any(|prefix| line.starts_with(prefix)));
    let text = lines.map(str::trim_end).collect::<Vec<_>>().join("\n");
    let documents = text.split("\n---").map(|document| document.trim_start_matches("---").trim());
    Ok(documents.filter(|document| !document.is_empty()).map(|document| format!("{document}\n")).collect())
}

fn id(object: &Value) -> String {
    let meta = &object["metadata"];
    format!("{} {} {}", object["kind"], meta["namespace"], meta["name"])
}

fn by_id(documents: &[String]) -> Result<BTreeMap<String, Value>> {
    let objects = documents.iter().map(|document| helm::objects(document));
    let objects = objects.collect::<Result<Vec<_>>>()?.concat();
    Ok(objects.into_iter().map(|object| (id(&object), object)).collect())
}

/// Everything in `deploy/` that is made from the chart.
fn files() -> Result<Vec<(&'static str, String)>> {
    let header = "# Rendered from charts/sidecar-drift by `make generate`; do not edit.\n";
    let whole = |documents: &[String]| format!("{header}{}", documents.join("---\n"));
    let mut base = documents(&json!({}))?;
    base.insert(0, NAMESPACE.to_owned());
    let enforce = documents(&json!({ "mode": "enforce" }))?;
    let known = by_id(&base)?;
    let (mut more, mut changed) = (Vec::new(), Vec::new());
    for document in enforce {
        let objects = by_id(std::slice::from_ref(&document))?;
        let (id, object) = objects.first_key_value().context("no object")?;
        match known.get(id) {
            None => more.push(document),
            Some(before) if before != object => changed.push(document),
            Some(_) => {}
        }
    }
    let mut schedule = documents(&json!({ "schedule": "0 6 * * 1-5" }))?;
    schedule.insert(0, NAMESPACE.to_owned());
    Ok(vec![
        ("deploy/base/install.yaml", whole(&base)),
        ("deploy/overlays/enforce/correct.yaml", whole(&more)),
        ("deploy/overlays/enforce/changes.yaml", whole(&changed)),
        ("deploy/cronjob/install.yaml", whole(&schedule)),
    ])
}

#[test]
#[expect(clippy::disallowed_methods, reason = "whether to compare or to write is not the product's configuration")]
fn what_is_in_deploy_is_what_the_chart_renders() -> Result<()> {
    for (path, fresh) in files()? {
        let file = helm::repository(path);
        if std::env::var_os(GENERATE).is_some() {
            fs::create_dir_all(file.parent().context("a file has a folder")?)?;
            fs::write(&file, fresh)?;
        } else {
            let stored = fs::read_to_string(&file).unwrap_or_default();
            assert!(stored == fresh, "{path} is not what the chart renders: run `make generate`");
        }
    }
    Ok(())
}

#[tokio::test]
async fn kustomize_makes_of_the_overlays_what_helm_makes_of_the_modes() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let Some(assets) = testbed.assets() else { return testbed::skip("kubectl is only known with our control plane") };
    for (overlay, values) in [("report", json!({})), ("enforce", json!({ "mode": "enforce" }))] {
        let folder = helm::repository(&format!("deploy/overlays/{overlay}"));
        let built = Command::new(&assets.kubectl).arg("kustomize").arg(folder).output()?;
        ensure!(built.status.success(), "{}", String::from_utf8(built.stderr)?);
        let mut built = by_id(&[String::from_utf8(built.stdout)?])?;
        let namespace = helm::objects(NAMESPACE)?.pop().context("a Namespace")?;
        assert_eq!(built.remove(&id(&namespace)), Some(namespace), "{overlay}");
        let rendered = by_id(&documents(&values)?)?;
        assert!(built.keys().eq(rendered.keys()), "{overlay}: {:?}, not {:?}", built.keys(), rendered.keys());
        for (id, object) in &built {
            let differs = rendered.get(id).map(|rendered| json_patch::diff(rendered, object).0);
            assert_eq!(differs.unwrap_or_default(), [], "{overlay}: {id}");
        }
    }
    Ok(())
}
