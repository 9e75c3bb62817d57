//! Filter, order, pages.

use sidecar_drift::http::query::{Query, reject_parameters};

use super::fleet;
use crate::cli::reports;

fn names(report: &sidecar_drift::core::report::Report, query: &str) -> Vec<String> {
    let query = Query::parse(Some(query)).unwrap();
    query.select(report).workloads.iter().map(|w| format!("{}/{}", w.namespace, w.name)).collect()
}

#[test]
fn each_filter_takes_what_it_says_and_nothing_else() {
    let fleet = reports::fleet();
    for (query, found) in [
        ("verdict=rejected", &["legacy/importer"][..]),
        ("verdict=missing&verdict=rejected", &["legacy/importer", "shop/mailer"]),
        ("verdict=missing,rejected", &["legacy/importer", "shop/mailer"]),
        ("reason=unsupported_owner", &["shop/nightly-28731"]),
        ("gate=opted_out", &["payments/settlement-reconciliation-worker"]),
        ("kind=statefulset&namespace=shop", &["shop/mailer"]),
        ("kind=StatefulSet&namespace=shop&verdict=drifted", &[]),
        ("namespace=payments&sidecar=istio-proxy&q=LEDGER", &["payments/ledger"]),
        ("sidecar=nobody", &[]),
        ("change=vault-agent+missing", &["shop/mailer"]),
        ("q=ignores+failures", &["shop/basket"]),
        ("verdict=&q=&kind=daemonset", &["tools/node-agent"]),
    ] {
        assert_eq!(names(&fleet, query), found, "{query}");
    }
}

#[test]
fn pages_hold_each_workload_once_in_any_order() {
    let fleet = fleet::of(1003);
    for sort in ["name", "kind", "verdict", "pods", "change", "gate", "since"] {
        for order in ["asc", "desc"] {
            let page = |page| names(&fleet, &format!("sort={sort}&order={order}&limit=100&page={page}"));
            let all: Vec<_> = (1..=11).flat_map(page).collect();
            assert_eq!(all.len(), 1003, "{sort} {order}");
            let distinct: std::collections::BTreeSet<_> = all.iter().collect();
            let expected: std::collections::BTreeSet<_> =
                fleet.workloads.iter().map(|w| format!("{}/{}", w.namespace, w.name)).collect();
            assert_eq!(distinct.len(), expected.len(), "{sort} {order}");
            assert!(page(12).is_empty());
        }
    }
}

#[test]
fn the_order_is_by_the_word_that_was_given_and_then_by_name() {
    let fleet = reports::fleet();
    assert_eq!(names(&fleet, "sort=verdict&limit=2"), ["legacy/importer", "shop/basket"]);
    assert_eq!(names(&fleet, "sort=verdict&order=desc&limit=1"), ["tools/node-agent"]);
    assert_eq!(names(&fleet, "sort=pods&order=desc&limit=2"), ["shop/cart", "payments/ledger"]);
    assert_eq!(names(&fleet, "sort=gate&limit=3"), ["payments/ledger", "shop/cart", "shop/mailer"]);
}

#[test]
fn what_makes_no_sense_is_answered_by_one_sentence_that_says_what_would() {
    for (query, sentence) in [
        ("page=0", "`page` cannot be `0`: it is a whole number from 1"),
        ("page=-1", "`page` cannot be `-1`: it is a whole number from 1"),
        ("limit=1001", "`limit` cannot be `1001`: it is a whole number from 1 to 1000"),
        (
            "limit=99999999999999999999999",
            "`limit` cannot be `99999999999999999999999`: it is a whole number from 1 to 1000",
        ),
        ("order=down", "`order` cannot be `down`: it is one of `asc` and `desc`"),
    ] {
        assert_eq!(Query::parse(Some(query)).unwrap_err().to_string(), sentence);
    }
    let wrong = Query::parse(Some("verdict=drfted")).unwrap_err().to_string();
    assert!(wrong.starts_with("`verdict` cannot be `drfted`: it is one of `rejected`, `undetermined`"), "{wrong}");
    let wrong = Query::parse(Some("verdicts=drifted")).unwrap_err().to_string();
    assert!(wrong.starts_with("`verdicts` is no parameter here: the parameters are `verdict`,"), "{wrong}");
    assert_eq!(
        reject_parameters(Some("x=1")).unwrap_err().to_string(),
        "`x` is no parameter here: this address takes none"
    );
    assert_eq!(reject_parameters(Some("")), Ok(()));
    assert_eq!(reject_parameters(None), Ok(()));
}
