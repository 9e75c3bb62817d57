//! What real injectors made of eight workloads, as `make test-injectors` kept it in `tests/it/fixtures/pods`: a folder for
//! each injector as it was then, in it a file for each workload with its template and Pods of it.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use sidecar_drift::core::{
    compare::{Comparison, Mask, Rendering, SidecarSelection, compare_all, title, volatile},
    model::shape::PodShape,
};

/// The Pods of a workload, each as a running one and as a rendering of its template.
struct Workload {
    running: Vec<PodShape>,
    renderings: Vec<Rendering>,
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures/pods")
}

/// The workloads in a folder, by the names of their files.
fn workloads(folder: &str) -> BTreeMap<String, Workload> {
    let files = fs::read_dir(root().join(folder)).expect("a folder").map(|entry| entry.expect("an entry").path());
    files.map(|path| (path.file_stem().expect("a name").to_string_lossy().into_owned(), workload(&path))).collect()
}

fn workload(path: &Path) -> Workload {
    let kept: Value = serde_json::from_str(&fs::read_to_string(path).expect("a file")).expect("JSON");
    let template = Arc::new(PodShape::from_template(&kept["template"]));
    let pods = kept["pods"].as_array().expect("Pods");
    let rendering = |pod: &Value| Rendering {
        template: Arc::clone(&template),
        rendered: Arc::new(PodShape::from_pod(pod)),
        ..Rendering::default()
    };
    Workload {
        running: pods.iter().map(PodShape::from_pod).collect(),
        renderings: pods.iter().map(rendering).collect(),
    }
}

/// Every running Pod against every rendering; the same for all pairs, or the test fails.
fn compared(running: &Workload, rendered: &Workload) -> Comparison {
    let none = Mask::default();
    let pairs = running.running.iter().flat_map(|pod| {
        let against = |rendering: &Rendering| {
            compare_all(pod, "", std::slice::from_ref(rendering), &SidecarSelection::default(), &none, &[])
        };
        rendered.renderings.iter().map(against).collect::<Vec<_>>()
    });
    let all: BTreeSet<Comparison> = pairs.collect();
    assert_eq!(all.len(), 1, "the Pods of one template differ alike: {all:#?}");
    all.into_iter().next().expect("one")
}

#[test]
fn pods_of_one_template_by_one_injector_are_in_sync_with_one_another() {
    let mut folders = 0;
    for entry in fs::read_dir(root()).expect("the corpus") {
        let folder = entry.expect("an entry").file_name().to_string_lossy().into_owned();
        let workloads = workloads(&folder);
        assert_eq!(workloads.len(), 8, "{folder}");
        for (name, workload) in &workloads {
            assert_eq!(compared(workload, workload), Comparison::default(), "{folder}/{name}");
            let selection = SidecarSelection::default();
            for rendering in &workload.renderings {
                assert!(!selection.sidecars(rendering, None).is_empty(), "{folder}/{name} has no sidecar");
                for other in &workload.renderings {
                    assert_eq!(volatile(rendering, other), Ok(Mask::default()), "{folder}/{name}");
                }
            }
        }
        folders += 1;
    }
    assert!(folders >= 2, "the corpus has {folders} folders");
}

/// Both ways: what an upgrade changes is what going back changes.
fn exactly(older: &str, newer: &str, expected: &[(&str, &str, &[&str])]) {
    let (older, newer) = (workloads(older), workloads(newer));
    assert_eq!(older.keys().collect::<Vec<_>>(), newer.keys().collect::<Vec<_>>());
    let mut found = Vec::new();
    for (name, before) in &older {
        let after = &newer[name];
        let comparison = compared(before, after);
        assert_eq!(comparison.collateral, [], "{name}");
        let back = compared(after, before);
        assert_eq!(pointers(&comparison), pointers(&back), "{name}");
        if comparison != Comparison::default() {
            found.push((name.clone(), title(&comparison.differences), pointers(&comparison)));
        }
    }
    let expected: Vec<(String, String, Vec<String>)> = expected
        .iter()
        .map(|(name, title, pointers)| {
            ((*name).to_owned(), (*title).to_owned(), pointers.iter().map(ToString::to_string).collect())
        })
        .collect();
    assert_eq!(found, expected);
}

fn pointers(comparison: &Comparison) -> Vec<String> {
    let fields = comparison
        .differences
        .iter()
        .flat_map(|d| d.fields.iter().map(move |field| format!("{}{}", d.sidecar, field.pointer)));
    fields.collect()
}

#[test]
fn another_image_of_vault_differs_in_the_image_of_those_that_do_not_pin_it() {
    let both = "vault-agent + vault-agent-init image 1.18.5 → 1.19.0";
    let images: &[&str] = &["vault-agent/image", "vault-agent-init/image"];
    exactly(
        "vault-k8s-1.6.2-vault-1.18.5",
        "vault-k8s-1.6.2-vault-1.19.0",
        &[
            ("daemonset-agent", both, images),
            ("daemonset-collector", both, images),
            ("deployment-limits", both, images),
            ("deployment-many", both, images),
            ("deployment-one", both, images),
            ("statefulset-db", both, images),
            ("statefulset-once", "vault-agent-init image 1.18.5 → 1.19.0", &["vault-agent-init/image"]),
        ],
    );
}
