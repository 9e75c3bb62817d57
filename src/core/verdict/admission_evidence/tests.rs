use super::*;
use crate::core::model::InjectorKind;

fn mesh() -> Scope {
    Scope::Injector(InjectorKind::MutatingWebhookConfiguration, "mesh".into())
}

fn under(scope: Scope, version: u64) -> VersionVector {
    BTreeMap::from([(Scope::Cluster, 1), (Scope::Namespace("shop".into()), 1), (scope, version)])
}

fn names(names: &[&str]) -> BTreeSet<Name> {
    names.iter().map(|name| Name::from(*name)).collect()
}

const S: Duration = Duration::from_secs(1);

fn at(second: i64) -> Timestamp {
    Timestamp::from_second(second).unwrap()
}

/// A Pod that has its proxy otherwise.
fn otherwise(pod: &str, born: i64) -> ContradictingPod {
    let (namespace, name) = pod.split_once('/').unwrap();
    ContradictingPod {
        pod: ObjectKey { namespace: namespace.into(), name: name.into() },
        uid: Uid::from(pod),
        born: at(born),
        sidecars: names(&["proxy"]),
        evidence: format!("Pod {pod}"),
    }
}

#[test]
fn a_contradiction_holds_for_its_sidecars_until_the_scope_moves_or_a_pod_agrees() {
    let mut evidence = AdmissionEvidence::default();
    let (vector, proxy, shop) = (under(mesh(), 1), names(&["proxy"]), Name::from("shop"));
    assert_eq!(evidence.contradict(&vector, &otherwise("shop/a", 10)), News::Here);
    assert_eq!(evidence.contradict(&vector, &otherwise("shop/a", 10)), News::None);
    assert_eq!(evidence.contradicted(&vector, &shop, proxy.iter()), Some("Pod shop/a"));
    assert_eq!(evidence.contradicted(&vector, &shop, names(&["agent"]).iter()), None);
    assert_eq!(evidence.contradicted(&under(mesh(), 2), &shop, proxy.iter()), None);
    evidence.agree(&vector, &shop, &names(&["agent"]), at(11));
    evidence.agree(&vector, &shop, &proxy, at(10));
    evidence.agree(&vector, &"bank".into(), &proxy, at(11));
    assert!(evidence.contradicted(&vector, &shop, proxy.iter()).is_some());
    evidence.agree(&vector, &shop, &proxy, at(11));
    assert_eq!(evidence.contradicted(&vector, &shop, proxy.iter()), None);
    assert!(evidence.is_uncontradicted());
}

#[test]
fn r12_one_namespace_speaks_for_itself_and_two_for_all() {
    let mut evidence = AdmissionEvidence::default();
    let (vector, proxy) = (under(mesh(), 1), names(&["proxy"]));
    let believed =
        |evidence: &AdmissionEvidence, ns: &str| evidence.contradicted(&vector, &ns.into(), proxy.iter()).is_none();
    assert_eq!(evidence.contradict(&vector, &otherwise("evil/a", 10)), News::Here);
    assert_eq!(evidence.contradict(&vector, &otherwise("evil/b", 10)), News::Here);
    assert!(!believed(&evidence, "evil") && believed(&evidence, "shop"));
    assert_eq!(evidence.contradict(&vector, &otherwise("bank/a", 12)), News::Everywhere);
    assert!(!believed(&evidence, "bank") && !believed(&evidence, "shop"));
    // What it saw itself since counts for more, and there alone.
    evidence.agree(&vector, &"shop".into(), &proxy, at(13));
    assert!(believed(&evidence, "shop") && !believed(&evidence, "other"));
    evidence.contradict(&vector, &otherwise("bank/b", 14));
    evidence.contradict(&vector, &otherwise("evil/c", 14));
    assert!(!believed(&evidence, "shop"), "and younger ones for more again");
}

#[test]
fn evidence_goes_when_its_pod_goes_and_not_before() {
    let mut evidence = AdmissionEvidence::default();
    let (vector, proxy) = (under(mesh(), 1), names(&["proxy"]));
    for pod in ["evil/a", "bank/a"] {
        evidence.contradict(&vector, &otherwise(pod, 10));
    }
    assert!(evidence.forget_pods(|_, _| true).is_empty());
    assert!(evidence.contradicted(&vector, &"shop".into(), proxy.iter()).is_some());
    // Another one of that name is another one.
    assert_eq!(evidence.forget_pods(|pod, _| &*pod.namespace == "bank"), BTreeSet::from([mesh()]));
    assert_eq!(evidence.contradicted(&vector, &"shop".into(), proxy.iter()), None);
    assert_eq!(evidence.contradicted(&vector, &"bank".into(), proxy.iter()), Some("Pod bank/a"));
    evidence.forget_pods(|_, _| false);
    assert_eq!(evidence.len(), 0);
}

#[test]
fn of_each_namespace_the_youngest_pods_are_kept() {
    let mut evidence = AdmissionEvidence::default();
    let vector = under(mesh(), 1);
    for n in 0..100 {
        evidence.contradict(&vector, &otherwise(&format!("evil/{n}"), n));
    }
    evidence.contradict(&vector, &otherwise("bank/a", 0));
    let kept = &evidence.contradicted[&mesh()].pods;
    assert_eq!((kept.len(), kept.iter().map(|p| p.born).max()), (PODS + 1, Some(at(99))));
}

#[test]
fn what_flaps_for_one_workload_is_not_believed_of_another_for_a_while() {
    let mut evidence = AdmissionEvidence::default();
    let vector = under(mesh(), 1);
    let container = Name::from("proxy");
    let unstable = Unstable { container: container.clone(), images: (Some("p:1".into()), Some("p:2".into())) };
    let key = |name: &str| WorkloadKey {
        kind: crate::core::model::owner::Kind::DEPLOYMENT,
        namespace: "shop".into(),
        name: name.into(),
    };
    let workload = key("a");
    let resync = Duration::from_hours(6);
    assert!(evidence.flapped(&vector, (&unstable, 1), &workload, resync, S * 10));
    assert!(!evidence.flapped(&vector, (&unstable, 1), &key("b"), resync, S * 10), "the others know already");
    let difference = |sidecar: &str, pointer: &str| SidecarDifference {
        sidecar: sidecar.into(),
        difference: crate::core::model::words::Difference::Changed,
        fields: vec![compare::FieldChange { pointer: pointer.to_owned(), plain: None, running: None, rendered: None }],
    };
    let flapping = |evidence: &AdmissionEvidence, who: &str, d: SidecarDifference, now| {
        evidence.flapping(&key(who), &vector, [d].iter(), (resync, now))
    };
    let image = || difference("proxy", "/image");
    let found = flapping(&evidence, "c", image(), S * 11).unwrap();
    assert!(found.why.contains("p:1, then p:2"));
    let until = S * 10 + UNCERTAIN_RETRY;
    assert_eq!((found.looks, found.until), (false, until + ANSWERED_WITHIN), "one looks, the others wait for it");
    let looks = flapping(&evidence, "a", image(), S * 11).unwrap();
    assert_eq!((looks.looks, looks.until), (true, until));
    assert_eq!(flapping(&evidence, "c", difference("proxy", "/args/0"), S * 11), None);
    assert_eq!(flapping(&evidence, "c", difference("agent", "/image"), S * 11), None);
    assert_eq!(flapping(&evidence, "c", image(), S * 10 + UNCERTAIN_RETRY + ANSWERED_WITHIN), None);
    // What goes on for hours is looked at ever more seldom, and a move of the injector is looked at soon.
    let (mut looks, mut now) = (0, S * 10);
    while now < Duration::from_hours(24) {
        now = flapping(&evidence, "a", image(), now).unwrap().until;
        evidence.flapped(&vector, (&unstable, 1), &workload, resync, now);
        looks += 1;
    }
    assert!((30..60).contains(&looks), "{looks}");
    let moved = evidence.flapping(&key("a"), &under(mesh(), 2), [image()].iter(), (resync, now)).unwrap();
    assert_eq!(moved.until, now + UNCERTAIN_RETRY);
    assert!(!evidence.agreed(&key("b"), SETTLED) && !evidence.agreed(&key("a"), SETTLED - 1));
    assert!(evidence.agreed(&key("a"), SETTLED), "it has made up its mind");
    assert_eq!(flapping(&evidence, "c", image(), now), None);
    // In another namespace only once a second one finds the same.
    let elsewhere = |evidence: &AdmissionEvidence, now| {
        let key = WorkloadKey { namespace: "bank".into(), ..key("c") };
        evidence.flapping(&key, &vector, [image()].iter(), (resync, now)).is_some()
    };
    evidence.flapped(&vector, (&unstable, 1), &workload, resync, now);
    assert!(!elsewhere(&evidence, now + S));
    evidence.flapped(&vector, (&unstable, 1), &WorkloadKey { namespace: "other".into(), ..workload }, resync, now + S);
    assert!(elsewhere(&evidence, now + S * 2));
}

#[test]
fn where_no_injector_is_known_the_namespace_is_blamed() {
    let mut evidence = AdmissionEvidence::default();
    let vector = |ns: &str| VersionVector::from([(Scope::Cluster, 1), (Scope::Namespace(ns.into()), 1)]);
    evidence.contradict(&vector("shop"), &otherwise("shop/a", 1));
    assert!(evidence.contradicted(&vector("shop"), &"shop".into(), names(&["proxy"]).iter()).is_some());
    assert!(evidence.contradicted(&vector("bank"), &"bank".into(), names(&["proxy"]).iter()).is_none());
}
