//! The configuration file.

use std::{fmt::Write, time::Duration};

use insta::assert_snapshot;
use sidecar_drift::{
    cli::Exit,
    config::WatchSet,
    core::{
        config::Mode,
        model::{
            owner::{Kind, Restart},
            shape::FieldSet,
            words::Difference,
        },
    },
};

use super::{Fake, Ran, reports};

fn with_file(yaml: &str, line: &str) -> Ran {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("settings.yaml");
    std::fs::write(&file, yaml).unwrap();
    let mut ran = Fake::new(reports::fleet()).command(&format!("{line} --config {}", file.display()), None);
    ran.err = ran.err.replace(&directory.path().display().to_string(), "");
    ran
}

#[test]
fn flags_beat_the_file_and_the_file_beats_defaults() {
    let yaml = "mode: enforce\ntimeout: 10m\nparallel-rollouts: 3\nact-on: [changed, missing]\nnamespace: [shop]\n";
    let ran = with_file(yaml, "run --timeout 1h30m");
    let config = ran.config();
    assert_eq!(config.policy.mode, Mode::Enforce);
    assert_eq!(config.policy.timeout, Duration::from_mins(90));
    assert_eq!(config.policy.parallel_rollouts, 3);
    assert_eq!(config.policy.act_on, [Difference::Changed, Difference::Missing].into());
    assert_eq!(config.watch, WatchSet::Namespaces(["shop".into()].into()));
    assert_eq!(config.policy.daily_cap, 2);
}

#[test]
fn of_opposites_the_flag_wins() {
    assert_eq!(with_file("namespace: [shop]", "scan -A").config().watch, WatchSet::Cluster);
    let ran = with_file("exclude-namespace: [shop]", "scan --include-namespace shop");
    assert!(ran.config().policy.filter.takes_namespace("shop", None));
}

#[test]
fn an_empty_file_changes_nothing() {
    for yaml in ["", "# nothing yet\n", "{}\n"] {
        let ran = with_file(yaml, "run");
        assert_eq!(ran.exit, Exit::Ok, "{yaml:?}: {}", ran.err);
    }
}

#[test]
fn bad_files() {
    let files = [
        "parallel-rollout: 2",
        "mode: report\nparallelRollouts: 2",
        "colour: red",
        "mode: enforced",
        "timeout: 300",
        "timeout: [5m]",
        "mode: report\ncanary: -1",
        "canary: many",
        "allow-downtime: perhaps",
        "kinds: Deployment",
        "kinds: [Gadget]",
        "kinds: []",
        "act-on: []",
        "mode: report\nmode: enforce",
        "mode: [",
        "- mode",
        "just words",
        "include-namespace: [a]\nexclude-namespace: [b]",
        "namespace: [a]\nall-namespaces: true",
        "all-namespaces: false",
        "listen: 8080",
        "max-rollouts-per-hour: some",
        "request-timeout: 0s",
    ];
    let mut golden = String::new();
    for file in files {
        let ran = with_file(file, "run");
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{file}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{file}: {}", ran.err);
        _ = write!(golden, "{file}\n    {}", ran.err);
    }
    assert_snapshot!(golden);
}

/// What takes ten lines to say, and what it means.
#[test]
fn a_kind_is_described_in_the_file_and_named_like_any_other() {
    let yaml = "owners:\n  - api: db.example.com/v1\n    kind: Postgres\n    plural: postgreses\n";
    let ran = with_file(yaml, "run");
    let config = ran.config();
    let [kind] = config.owners[..] else { panic!("{:?}", config.owners) };
    let row = kind.row();
    assert_eq!((row.name, row.group, row.version, row.plural), ("Postgres", "db.example.com", "v1", "postgreses"));
    assert_eq!((row.template, row.restart), (&["spec", "template"][..], Restart::Stamp));
    let status = &kind.described().unwrap().status;
    assert_eq!((&*status.observed_generation, &*status.desired), ("status.observedGeneration", "spec.replicas"));
    // Looked at beside the usual ones, unless a person names others.
    assert_eq!(config.policy.kinds, Kind::usual().chain([kind]).collect());
    assert_eq!(with_file(yaml, "run --kinds deployments").config().policy.kinds, [Kind::DEPLOYMENT].into());
    assert_eq!(with_file(yaml, "scan --kinds postgres").config().policy.kinds, [kind].into());
    let named = with_file(yaml, "diff postgres/main").config().policy.only.clone();
    assert_eq!(named, Some((kind, "main".into())));
    // A person at a terminal rolls what he names by a flag; these are the daemon's.
    assert_eq!(with_file(yaml, "rollout").config().policy.kinds, [Kind::DEPLOYMENT].into());
}

#[test]
fn everything_about_a_described_kind_can_be_said() {
    let yaml = "owners:
  - api: apps.example.com/v1beta2
    kind: StatefulSet
    name: ShardedSet
    plural: statefulsets
    template: spec.shard.pod
    restart: spec.restartAt
    labels: {example.com/set: '{name}'}
    revision-label: example.com/revision
    paused: [spec.suspend, status.held]
    status:
      observed-generation: status.seen
      desired: status.wanted
      updated: status.new
      revision: status.revision
      restarted: status.restarted
  - {api: jobs.example.com/v1, kind: Server, restart: none, pods: replicasets}
";
    let config = with_file(yaml, "run").config().clone();
    let [set, server] = config.owners[..] else { panic!("{:?}", config.owners) };
    assert_eq!(
        (set.row().template, set.row().restart),
        (&["spec", "shard", "pod"][..], Restart::Field(&["spec", "restartAt"]))
    );
    assert!(set.has_template_only() && !set.has_replica_sets());
    assert_eq!(set.described().unwrap().status.updated, "status.new");
    assert_eq!(Kind::from_owner("apps.example.com/v1beta2", "StatefulSet"), None, "it is none of the usual ones");
    assert_eq!((server.row().restart, server.has_replica_sets()), (Restart::Nothing, true));
    // What cannot be obeyed without a restart is refused when the file is read again.
    let said = config.changed_to(&yaml.replace("status.new", "status.newer")).unwrap_err().to_string();
    assert!(said.contains("`owners` can only change with a restart"), "{said}");
    assert_eq!(config.changed_to(yaml).unwrap().owners, config.owners);
}

#[test]
fn bad_descriptions_of_kinds() {
    let whole = |rest: &str| format!("{{api: bad.example.com/v1, kind: Bad{rest}}}");
    let files = [
        "kind: Bad".to_owned(),
        "{kind: Bad}".to_owned(),
        "{api: bad.example.com/v1}".to_owned(),
        "{api: bad.example.com/v1, kind: bad}".to_owned(),
        "{api: v1, kind: Bad}".to_owned(),
        "{api: bad.example.com, kind: Bad}".to_owned(),
        "{api: apps/v1, kind: Deployment}".to_owned(),
        "{api: argoproj.io/v1alpha1, kind: Rollout}".to_owned(),
        "{api: bad.example.com/v1, kind: StatefulSet}".to_owned(),
        whole(", plural: Bads"),
        whole(", name: my-bad"),
        whole(", name: Deploy"),
        whole(", template: template"),
        whole(", template: spec.a.b.c.template"),
        whole(", template: 'spec.templates[0]'"),
        whole(", restart: now"),
        whole(", restart: status.restartAt"),
        whole(", restart: spec.restartAt"),
        whole(", restart: spec.template, status: {restarted: status.at}"),
        whole(", status: {restarted: status.at}"),
        whole(", status: {revision: status.at}"),
        whole(", status: {updated: updatedReplicas}"),
        whole(", status: {done: status.done}"),
        whole(", paused: spec.paused"),
        whole(", paused: [metadata.paused]"),
        whole(", pods: theirs"),
        whole(", pods: replicasets, revision-label: a"),
        whole(", labels: {'a b': c}"),
        whole(", labels: {a: 'c d'}"),
        whole(", revision-label: '-'"),
        whole(", colour: red"),
        format!("{}\n- {}", whole(""), whole("")),
        format!("{}\n- {}", whole(""), whole(", name: Other")),
    ];
    let mut golden = String::new();
    for file in files {
        let ran = with_file(&format!("owners:\n- {file}\n"), "run");
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{file}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{file}: {}", ran.err);
        _ = write!(golden, "{file}\n    {}", ran.err);
    }
    assert_snapshot!(golden);
}

#[test]
fn fields_are_left_out_by_rules_in_the_file_alone() {
    let yaml = "ignore:\n  - env: DD_*\n  - {sidecar: vault-*, field: args/*}\nfields: resources\n";
    let ran = with_file(yaml, "scan");
    let policy = &ran.config().policy;
    let rules: Vec<_> = policy.ignore.iter().map(ToString::to_string).collect();
    assert_eq!(rules, ["env DD_* of *", "field args/* of vault-*"]);
    assert_eq!(policy.fields, FieldSet::Resources);
    for wrong in ["- {env: A, field: b}", "- sidecar: proxy", "- env: ''", "- {env: A, pod: b}", "[{}]"] {
        let ran = with_file(&format!("ignore:\n  {wrong}\n"), "scan");
        assert_eq!((ran.exit, ran.asked.len()), (Exit::Usage, 0), "{wrong}: {}", ran.err);
        assert_eq!(ran.err.lines().count(), 1, "{wrong}: {}", ran.err);
    }
}

#[test]
fn an_element_of_a_list_is_named_by_its_member_and_never_by_its_place() {
    let rule = |field: &str| with_file(&format!("ignore:\n  - {{field: '{field}'}}\n"), "scan");
    let named = rule("env/X/value/[destination=/etc/tls]/contents");
    let shown: Vec<_> = named.config().policy.ignore.iter().map(ToString::to_string).collect();
    assert_eq!(shown, ["field env/X/value/[destination=~1etc~1tls]/contents of *"]);
    for place in ["[destination 1]", "[destination ?]", "[destination #3f2]"] {
        let ran = rule(&format!("env/X/value/{place}/contents"));
        assert_eq!(ran.exit, Exit::Usage, "{place}");
        assert!(ran.err.contains(&format!("names an element of a list by its place, `{place}`")), "{}", ran.err);
    }
}
