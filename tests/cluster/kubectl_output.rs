//! `-o` in kubectl's words: kubectl and we are given the same templates, columns and objects.

use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use serde_json::{Value, json};
use sidecar_drift::{
    cli::output::listing,
    config::{Listing, Output, OutputOptions},
};
use testbed::{Testbed, skip};

const FORMS: [&str; 24] = [
    "name",
    "jsonpath={.kind} of {.apiVersion}",
    "jsonpath={.items[*].metadata.name}",
    "jsonpath={.items[*]['metadata.name','spec.replicas']}",
    "jsonpath={range .items[*]}{.metadata.name}{\"\\t\"}{.spec.replicas}{\"\\n\"}{end}",
    "jsonpath={range .items[*]}{.metadata.name}:{range .spec.template.spec.containers[*]} {.name}={.image}{end};{end}",
    "jsonpath={.items[?(@.metadata.name==\"web\")].spec.template.spec.containers[-1].image}",
    "jsonpath={.items[?(@.spec.replicas>1)].metadata.name}",
    "jsonpath={.items[?(@.spec.replicas<=2)].metadata.name}",
    "jsonpath={.items[?(@.metadata.labels.team)].metadata.name}",
    "jsonpath={.items[?(@.metadata.name!='web')].metadata.name}",
    "jsonpath={.items[*].metadata.labels.example\\.com/owner}",
    "jsonpath={.items[0].metadata.labels['example\\.com/owner']}",
    "jsonpath={.items[0:2].metadata.name}|{.items[:1].metadata.name}|{.items[1:].metadata.name}|{.items[::2].metadata.name}",
    "jsonpath={.items[-1:].metadata.name}{.items[0,2].metadata.name}",
    "jsonpath={..containers[*].image}",
    "jsonpath={.items[0].spec.template.spec.containers[0].args}",
    "jsonpath={.items[*].nowhere.below}|{range .nowhere[*]}x{end}",
    "jsonpath={$.kind}{@.kind}{\"quoted\"}{'so \\'too\\''}{1}{true}",
    "jsonpath=.kind",
    "jsonpath={.items[9].kind}",
    "jsonpath={.kind[0]}",
    "custom-columns=NAME:.metadata.name,REPLICAS:.spec.replicas,IMAGES:.spec.template.spec.containers[*].image,NONE:.nowhere",
    "custom-columns=NAME:metadata.name,OWNER:{.metadata.labels.example\\.com/owner}",
];

#[tokio::test]
async fn each_form_makes_what_kubectl_makes_of_it() -> Result<()> {
    let testbed = Testbed::shared().await?;
    let Some(assets) = testbed.assets() else { return skip("kubectl is only known with our control plane") };
    testbed
        .with_namespace("kubectl-output", async |ns| {
            for (name, replicas, labels) in [
                ("api", 0, json!({ "team": "a" })),
                ("web", 2, json!({ "example.com/owner": "jane" })),
                ("worker", 1, json!({ "team": "b", "example.com/owner": "carl" })),
            ] {
                let container = |name: &str| json!({ "name": name, "image": format!("registry.test/{name}:1"), "args": ["a", "b"] });
                let pod = json!({
                    "metadata": { "labels": { "app": name } },
                    "spec": { "containers": [container(name), container("proxy")] },
                });
                ns.create(json!({
                    "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": name, "labels": labels },
                    "spec": { "replicas": replicas, "selector": { "matchLabels": { "app": name } }, "template": pod },
                }))
                .await?;
            }
            let kubectl = |form: &str, more: &[&str]| {
                let mut command = Command::new(&assets.kubectl);
                command.arg("--kubeconfig").arg(testbed.kubeconfig()).args(["-n", ns.name(), "get", "deployments"]);
                command.args(["-o", form]).args(more).output()
            };
            let document: Value = serde_json::from_slice(&kubectl("json", &[])?.stdout)?;
            for form in FORMS {
                for headers in [true, false] {
                    let theirs = kubectl(form, if headers { &[] } else { &["--no-headers"] })?;
                    let Output { format, shape } = form.parse().map_err(anyhow::Error::msg).context(form)?;
                    let options = OutputOptions {
                        format, headers, values: false, colour: false, quiet: true, logged: false, as_lines: false,
                    };
                    let items = with_names(&document);
                    let ours = listing::text(&items, Some("items"), options, &Listing { shape, sort_by: None });
                    let Ok(ours) = ours else {
                        ensure!(!theirs.status.success(), "{form}: {ours:?}, but kubectl can: {theirs:?}");
                        continue;
                    };
                    ensure!(theirs.status.success(), "{form}: {ours}, but kubectl cannot: {theirs:?}");
                    let lines = |text: &str| text.lines().map(|line| line.trim_end().to_owned()).collect::<Vec<_>>();
                    assert_eq!(lines(&ours), lines(&String::from_utf8(theirs.stdout)?), "{form}");
                }
            }
            Ok(())
        })
        .await
}

/// Our items have their names where Kubernetes' objects have them one deeper.
fn with_names(document: &Value) -> Value {
    let mut document = document.clone();
    for item in document["items"].as_array_mut().into_iter().flatten() {
        item["name"] = item["metadata"]["name"].clone();
    }
    document
}
