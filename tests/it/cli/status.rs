//! `status`

use std::time::Duration;

use insta::assert_snapshot;
use serde_json::json;
use sidecar_drift::{
    cli::{DaemonStatus, Exit, LeaseHolder},
    core::{
        io::{Canary, Covered, StateRecord, Stop},
        model::{WorkloadKey, owner::Kind, words::Outcome},
    },
};

use super::{Fake, reports};

pub(super) fn status() -> DaemonStatus {
    let at = |time: &str| time.parse().unwrap();
    let canary = Canary {
        workloads: vec![WorkloadKey { namespace: "shop".into(), kind: Kind::DEPLOYMENT, name: "cart".into() }],
        started: at("2026-03-01T11:00:00Z"),
        converged: None,
        failed: None,
        too_early_until: None,
        covers: Covered::default(),
    };
    let record = StateRecord {
        paused: Some(Stop { reason: "upgrading\nthe mesh".to_owned(), at: at("2026-03-01T09:30:00Z") }),
        breaker: Some(Stop { reason: "2 rollouts in a row went wrong".to_owned(), at: at("2026-02-27T12:00:00Z") }),
        recent: vec![Outcome::Converged, Outcome::Failed, Outcome::TimedOut],
        canaries: [("istio-proxy image 1.27.0 → 1.27.1".to_owned(), canary)].into(),
        ..StateRecord::default()
    };
    DaemonStatus {
        namespace: "tools".to_owned(),
        record: Some(record),
        leader: Some(LeaseHolder {
            holder: "sidecar-drift-0".to_owned(),
            renewed: Some(at("2026-03-01T11:59:55Z")),
            holds: Duration::from_secs(15),
            port: None,
        }),
        api: Err("on loopback: `kubectl -n tools port-forward pod/sidecar-drift-0 8081`, then `--api …`".to_owned()),
        now: at("2026-03-01T12:00:00Z"),
    }
}

#[test]
fn everything_that_the_daemon_left_behind_is_told() {
    assert_snapshot!(Fake::new(reports::empty()).with_status(status()).command("status", Some(100)).golden());
}

#[test]
fn as_a_document() {
    assert_snapshot!(Fake::new(reports::empty()).with_status(status()).command("status -o yaml", None).golden());
}

#[test]
fn what_the_leader_says_of_itself_is_told() {
    let api = json!({
        "kind": "Status", "version": "0.1.0", "mode": "enforce", "guard": false, "synced": true, "complete": false,
        "progress": { "judged": 9, "of": 14 }, "rolloutsInFlight": 1, "rolloutsLeft": 12,
        "summary": {
            "workloads": 14, "verdicts": { "undetermined": 5, "drifted": 3, "in_sync": 6 },
            "gates": { "guard_missing": 2, "rate_limit": 1 },
        },
        "unavailable": ["may not watch poddisruptionbudgets"],
    });
    let said = DaemonStatus { api: Ok(api), ..status() };
    assert_snapshot!(Fake::new(reports::empty()).with_status(said).command("status", Some(100)).golden());
}

#[test]
fn an_address_that_is_none_is_a_wrong_flag() {
    for address in ["localhost:8081", "https://localhost:8081", "http://", "http://localhost:8081/?a=b", "x y"] {
        let ran =
            Fake::new(reports::empty()).words(&["sidecar-drift", "status", "--api", address].map(str::to_owned), None);
        assert_eq!(ran.exit, Exit::Usage, "{address}");
        assert!(ran.err.contains("an address that begins with http:// is wanted"), "{}", ran.err);
    }
}

#[test]
fn without_a_state_all_rollouts_are_paused_and_it_says_what_helps() {
    let nothing = DaemonStatus { record: None, leader: None, ..status() };
    let ran = Fake::new(reports::empty()).with_status(nothing).command("status", None);
    assert_eq!(ran.exit, Exit::Ok);
    assert_snapshot!(ran.golden());
}

#[test]
fn a_lease_that_nobody_renews_says_that_nobody_is_there() {
    let leader = status().leader.unwrap();
    assert!(!leader.is_gone("2026-03-01T12:00:10Z".parse().unwrap()));
    assert!(leader.is_gone("2026-03-01T12:00:11Z".parse().unwrap()));
}
