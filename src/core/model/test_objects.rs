//! Objects for the tests of this directory.

use std::collections::BTreeMap;

use jiff::Timestamp;

use crate::core::model::{
    injector::{InjectorEntry, InjectorKind, InjectorSnapshot, Selector},
    key::{ObjectKey, WorkloadKey},
    object::{
        Counts, NamespaceSnapshot, Owner, PodSnapshot, PodState, Stamp, Strategy, TemplateSnapshot, WorkloadSnapshot,
    },
    owner::{Described, Kind},
    shape::PodShape,
    time::Now,
};

pub(in crate::core) fn at(second: i64) -> Now {
    Now {
        elapsed: std::time::Duration::from_secs(second.unsigned_abs()),
        wall: Timestamp::from_second(1_700_000_000 + second).expect("a time"),
    }
}

pub(in crate::core) fn key(kind: Kind, namespace: &str, name: &str) -> WorkloadKey {
    WorkloadKey { namespace: namespace.into(), kind, name: name.into() }
}

/// A healthy workload in `shop` with three Pods, rolled one by one.
pub(in crate::core) fn workload(kind: Kind, name: &str) -> WorkloadSnapshot {
    WorkloadSnapshot {
        key: key(kind, "shop", name),
        uid: format!("uid-{name}").into(),
        resource_version: "1".into(),
        generation: 2,
        observed_generation: 2,
        terminating: false,
        paused: false,
        counts: Counts { desired: 3, current: 3, updated: 3, ready: 3, available: 3 },
        strategy: Strategy::RollingUpdate { max_unavailable: 1, max_surge: 0, partition: 0 },
        deadline_exceeded: false,
        min_ready_seconds: 0,
        refused: None,
        revision: 1,
        current_revision: "r1".into(),
        update_revision: "r1".into(),
        restarted: None,
        template_generation: 1,
        template: TemplateSnapshot {
            hash: "template".into(),
            stamp: None,
            labels: BTreeMap::from([("app".into(), name.into())]),
            has_annotations: false,
            service_account: "default".into(),
        },
        owner: None,
        says: BTreeMap::new(),
        labels: BTreeMap::new(),
        annotations: BTreeMap::new(),
        changed_by: None,
    }
}

/// A kind that a person described, with Pods of its own.
pub(in crate::core) fn described(change: impl FnOnce(&mut Described)) -> Kind {
    let mut described = Described::new("db.example.com", "v1", "Database");
    described.status.observed_generation = "status.seen".to_owned();
    described.status.updated = "status.new".to_owned();
    described.status.revision = "status.revision".to_owned();
    change(&mut described);
    Kind::describe(&described).expect("room for it")
}

pub(in crate::core) fn pod(name: &str, owner: Option<Owner>) -> PodSnapshot {
    PodSnapshot {
        key: ObjectKey { namespace: "shop".into(), name: name.into() },
        uid: format!("uid-{name}").into(),
        owner: owner.map(Into::into),
        revision: "r1".into(),
        stamped: None,
        template_generation: 1,
        service_account: "default".into(),
        created: at(-1000).wall,
        state: PodState::default(),
        shape: PodShape::default().into(),
        patched_images: Vec::new(),
    }
}

pub(in crate::core) fn namespace(name: &str, hash: &str) -> NamespaceSnapshot {
    NamespaceSnapshot {
        name: name.into(),
        labels: BTreeMap::new(),
        says: BTreeMap::new(),
        hash: hash.into(),
        terminating: false,
        changed_by: None,
    }
}

/// A webhook configuration for all Pods, behind the Service `mesh/injector`.
pub(in crate::core) fn webhook(name: &str, hash: &str) -> InjectorSnapshot {
    InjectorSnapshot {
        kind: InjectorKind::MutatingWebhookConfiguration,
        name: name.into(),
        hash: hash.into(),
        policy: "".into(),
        entries: vec![InjectorEntry {
            namespaces: Selector::default(),
            objects: Selector::default(),
            service: Some(ObjectKey { namespace: "mesh".into(), name: "injector".into() }),
            ignores_failure: false,
            timeout_seconds: 10,
            refuses_dry_run: false,
        }],
        params: None,
        changed_by: None,
    }
}

pub(in crate::core) fn stamp(at: Timestamp, fingerprint: &str) -> Stamp {
    Stamp { timestamp: at, reason: "test".to_owned(), fingerprint: Some(fingerprint.to_owned()) }
}
