//! Reading a folder of Pods, and the claims that hold of every such folder.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
    sync::Arc,
};

use serde_json::Value;
use sidecar_drift::core::{
    compare::{Comparison, Mask, Rendering, SidecarSelection, compare_all, target_fingerprint, title, volatile},
    config::WhatIf,
    model::{owner::Kind, shape::PodShape, words::Difference},
    render::dry_run_pod::{BodyRequest, OwnerIdentity, Template, pod_body},
};

/// A folder with a ReplicaSet, its running Pods and renderings of its template.
pub(super) struct Folder {
    path: PathBuf,
    template: Arc<PodShape>,
}

impl Folder {
    pub(super) fn open(path: PathBuf) -> Self {
        let replica_set = read(&path.join("replicaset.json"));
        let template = PodShape::from_template(&replica_set["spec"]["template"]);
        Self { path, template: Arc::new(template) }
    }

    pub(super) fn ours(name: &str) -> Self {
        Self::open(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/fixtures").join(name))
    }

    pub(super) fn rendering(&self, name: &str) -> Rendering {
        let rendered = PodShape::from_pod(&read(&self.path.join(format!("rendering-{name}.json"))));
        Rendering { template: Arc::clone(&self.template), rendered: Arc::new(rendered), ..Rendering::default() }
    }

    pub(super) fn renderings(&self) -> Vec<Rendering> {
        self.numbered("rendering").into_iter().map(|number| self.rendering(&number)).collect()
    }

    pub(super) fn running(&self) -> Vec<PodShape> {
        let read = |number: String| read(&self.path.join(format!("running-{number}.json")));
        self.numbered("running").into_iter().map(|number| PodShape::from_pod(&read(number))).collect()
    }

    fn numbered(&self, kind: &str) -> Vec<String> {
        let numbers = (1..).map(|n: u32| n.to_string());
        let found: Vec<_> = numbers.take_while(|n| self.path.join(format!("{kind}-{n}.json")).exists()).collect();
        assert!(found.len() > 1, "{} has too few Pods of kind {kind}", self.path.display());
        found
    }

    /// What every running Pod is against one rendering; the same for all of them, or the test fails.
    pub(super) fn comparison(&self, rendering: &Rendering) -> Comparison {
        let all: BTreeSet<Comparison> = self.running().iter().map(|pod| against(pod, rendering)).collect();
        assert_eq!(all.len(), 1, "the Pods of one template differ in the same way: {all:#?}");
        all.into_iter().next().expect("one")
    }

    /// The differences to one rendering as text: the title, then `container/pointer`, sorted.
    pub(super) fn differences(&self, rendering: &Rendering) -> (String, Vec<String>) {
        let comparison = self.comparison(rendering);
        assert_eq!(comparison.collateral, [], "nothing but sidecars");
        let mut pointers: Vec<String> = comparison
            .differences
            .iter()
            .flat_map(|d| d.fields.iter().map(move |f| format!("{}{}", d.sidecar, f.pointer)))
            .collect();
        pointers.sort();
        (title(&comparison.differences), pointers)
    }
}

pub(super) fn against(running: &PodShape, rendering: &Rendering) -> Comparison {
    let renderings = std::slice::from_ref(rendering);
    compare_all(running, "", renderings, &SidecarSelection::default(), &Mask::default(), &[])
}

fn read(path: &Path) -> Value {
    let text = std::fs::read_to_string(path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    serde_json::from_str(&text).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// Nothing changed between these: every running Pod is in sync with every rendering, no field is volatile, all Pods
/// share one shape, and the target of a rollout is one and the same.
pub(super) fn nothing_drifts(folder: &Folder, sidecars: &[&str]) {
    let renderings = folder.renderings();
    for rendering in &renderings {
        assert_eq!(folder.comparison(rendering), Comparison::default());
        let found = SidecarSelection::default().sidecars(rendering, None);
        assert_eq!(found.iter().map(|name| &**name).collect::<Vec<_>>(), sidecars);
        for other in &renderings {
            assert_eq!(volatile(rendering, other), Ok(Mask::default()));
        }
    }
    let target = |r: &Rendering| {
        target_fingerprint(std::slice::from_ref(r), &SidecarSelection::default(), &Mask::default(), &[])
    };
    assert_eq!(renderings.iter().map(target).collect::<BTreeSet<_>>().len(), 1);
    let shapes: BTreeSet<String> = folder.running().iter().map(|pod| format!("{pod:?}")).collect();
    assert_eq!(shapes.len(), 1, "ten thousand replicas of one template hold one projection");
}

/// What we would send for the template is what the controller sent for the running Pods, as far as it is to be seen
/// after admission (rules R1, R2).
pub(super) fn the_body_is_the_controllers(folder: &Folder) {
    let replica_set = read(&folder.path.join("replicaset.json"));
    let text = |pointer: &str| replica_set.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned();
    let owner = OwnerIdentity {
        api_version: text("/apiVersion"),
        kind: text("/kind"),
        name: text("/metadata/name"),
        uid: text("/metadata/uid"),
    };
    let template = Template::of(&replica_set["spec"]["template"]);
    let body = pod_body(&BodyRequest {
        kind: Kind::DEPLOYMENT,
        owner: &owner,
        workload: None,
        template: &template,
        revision: "",
        ordinals: None,
        other_than: None,
        existing: false,
        node: None,
        attempt: 0,
        block_owner_deletion: true,
        what_if: &WhatIf::default(),
    });
    let body = body.expect("a template").json();
    for number in folder.numbered("running") {
        let running = read(&folder.path.join(format!("running-{number}.json")));
        for field in ["generateName", "ownerReferences"] {
            assert_eq!(body["metadata"][field], running["metadata"][field], "{field}");
        }
        for (label, value) in body["metadata"]["labels"].as_object().expect("labels") {
            assert_eq!(running["metadata"]["labels"].get(label), Some(value), "{label}");
        }
        assert_eq!(body.pointer("/spec/nodeName"), None);
        assert_eq!(body.get("status"), None);
    }
}

/// The injector was down and failed open: every sidecar is `removed`, which is believed only after more renderings.
pub(super) fn everything_is_removed(folder: &Folder, rendering: &Rendering) {
    let comparison = folder.comparison(rendering);
    assert!(!comparison.differences.is_empty());
    assert!(comparison.differences.iter().all(|d| d.difference == Difference::Removed), "{comparison:#?}");
}

#[test]
fn c3_c4_a_native_sidecar_that_copies_the_token_volumes_name_is_in_sync() {
    nothing_drifts(&Folder::ours("mesh"), &["mesh-init", "mesh-proxy"]);
}

#[test]
fn r2_the_body_is_the_one_that_the_controller_sends() {
    the_body_is_the_controllers(&Folder::ours("mesh"));
    the_body_is_the_controllers(&Folder::ours("agent"));
}

#[test]
fn c5_an_agent_whose_configuration_is_written_in_random_order_is_in_sync() {
    nothing_drifts(&Folder::ours("agent"), &["agent", "agent-init"]);
}

#[test]
fn an_upgraded_injector_gives_exactly_the_expected_differences() {
    let mesh = Folder::ours("mesh");
    let (title, fields) = mesh.differences(&mesh.rendering("upgraded"));
    assert_eq!(title, "mesh-init image 2.4.0 → 2.5.0 + mesh-proxy image 2.4.0 → 2.5.0, env CONTEXT");
    assert_eq!(fields, ["mesh-init/image", "mesh-proxy/env/CONTEXT/value/#008", "mesh-proxy/image"]);

    let agent = Folder::ours("agent");
    let (title, fields) = agent.differences(&agent.rendering("upgraded"));
    assert_eq!(title, "agent + agent-init image 1.20.0 → 1.20.1, env AGENT_CONFIG");
    assert_eq!(
        fields,
        [
            "agent-init/env/AGENT_CONFIG/value/#d80",
            "agent-init/image",
            "agent/env/AGENT_CONFIG/value/#d80",
            "agent/image",
        ]
    );
}

#[test]
fn c5_one_changed_template_among_reordered_ones_is_drift() {
    let agent = Folder::ours("agent");
    let (_, fields) = agent.differences(&agent.rendering("new-template"));
    let changed = "env/AGENT_CONFIG/value/#5cd/#d09/#d1b";
    assert_eq!(fields, [format!("agent-init/{changed}"), format!("agent/{changed}")]);
}

#[test]
fn c2_a_move_out_of_the_init_containers_is_only_a_placement() {
    let mesh = Folder::ours("mesh");
    let (title, fields) = mesh.differences(&mesh.rendering("ordinary"));
    assert_eq!(title, "mesh-proxy → ordinary");
    assert_eq!(fields, ["mesh-proxy/placement"]);
}

#[test]
fn r7_an_injector_that_fails_open_looks_like_a_removal() {
    let mesh = Folder::ours("mesh");
    everything_is_removed(&mesh, &mesh.rendering("injector-down"));
}
