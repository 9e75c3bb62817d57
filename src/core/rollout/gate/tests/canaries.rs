//! Who goes first, and who waits for it.

use crate::core::rollout::gate::tests::*;

#[test]
fn a_canary_holds_the_others_until_it_has_soaked() {
    let canary = |name: &str, converged: Option<i64>| with(|case| case.canary(&mesh(), name, converged));
    assert_eq!(canary("other", None).gate(), Some(Gate::Canary));
    assert_eq!(canary("other", Some(-599)).gate(), Some(Gate::Canary));
    assert_eq!(canary("other", Some(-600)).gate(), None);
    // It is the canary itself; there is room for another; there are none.
    assert_eq!(canary("web", None).gate(), None);
    let mut roomy = canary("other", None);
    roomy.policy.canary = 2;
    assert_eq!(roomy.gate(), None);
    roomy.policy.canary = 0;
    assert_eq!(roomy.gate(), None);
}

#[test]
fn nobody_goes_after_a_canary_that_came_too_early_before_it_would_prove_something() {
    let early = |until: i64| {
        with(|case| {
            case.canary(&mesh(), "other", None);
            case.policy.canary = 2;
            for canary in case.record.iter_mut().flat_map(|record| record.canaries.values_mut()) {
                canary.too_early_until = Some(test_objects::at(until).wall);
            }
        })
    };
    assert_eq!(early(90).gate(), Some(Gate::Canary));
    assert_eq!(early(90).ask(|c, s| ends::ends(Gate::Canary, c, s)), Some(now().elapsed + Duration::from_secs(90)));
    assert_eq!(early(0).gate(), None, "there is room for another");
}

#[test]
fn a_canary_holds_whoever_depends_on_its_scope_whatever_made_them_differ() {
    let other = Scope::Injector(InjectorKind::MutatingAdmissionPolicy, "mesh".into());
    assert_eq!(with(|case| case.canary(&other, "other", None)).gate(), None);
    let by_namespace = with(|case| {
        case.canary(&mesh(), "other", None);
        case.causes = BTreeSet::from([Scope::Namespace("shop".into())]);
    });
    assert_eq!(by_namespace.gate(), Some(Gate::Canary));
}

#[test]
fn a_place_beside_a_canary_is_only_for_those_who_prove_the_same() {
    let beside = |cause: Scope| {
        let case = with(|case| {
            case.canary(&mesh(), "other", None);
            case.policy.canary = 2;
            case.causes = BTreeSet::from([cause]);
        });
        case.gate()
    };
    assert_eq!(beside(mesh()), None);
    assert_eq!(beside(Scope::Namespace("shop".into())), Some(Gate::Canary));
}

#[test]
fn a_canary_proves_what_made_it_differ_or_else_every_injector_that_may_have() {
    let proves = |case: &Case| case.ask(|c, _| c.proves());
    let namespace = Scope::Namespace("shop".into());
    assert_eq!(proves(&Case::free()), [mesh()]);
    let known = with(|case| case.causes = BTreeSet::from([namespace.clone()]));
    assert_eq!(proves(&known), std::slice::from_ref(&namespace));
    let blind = with(|case| case.scopes.retain(|scope, _| *scope != mesh()));
    assert_eq!(proves(&blind), [namespace]);
}
