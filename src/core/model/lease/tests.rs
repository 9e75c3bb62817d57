use crate::core::model::lease::*;

const SECOND: Duration = Duration::from_secs(1);

fn at(seconds: f64) -> Now {
    let elapsed = Duration::from_secs_f64(seconds);
    let wall = "2026-05-01T10:00:00Z".parse::<Timestamp>().unwrap() + jiff::SignedDuration::from_secs_f64(seconds);
    Now { elapsed, wall }
}

fn election(me: &str) -> Election {
    Election::new(me.into(), LeaseTimes::default())
}

fn spec(holder: &str, renewed: &str) -> LeaseSpec {
    LeaseSpec {
        holder: holder.into(),
        duration: 15 * SECOND,
        acquired: "2001-01-01T00:00:00.000000Z".into(),
        renewed: renewed.into(),
        transitions: 3,
        ..LeaseSpec::default()
    }
}

fn lease(version: &str, spec: LeaseSpec) -> Lease {
    Lease { version: version.into(), spec }
}

/// What is asked now; fails if nothing is.
#[track_caller]
fn asks(election: &Election, now: f64) -> Request {
    match election.turn(at(now)) {
        Turn::Ask(request) => request,
        Turn::Wait(until) => panic!("waits until {until:?}"),
    }
}

#[track_caller]
fn waits(election: &Election, now: f64) -> Duration {
    match election.turn(at(now)) {
        Turn::Wait(until) => until,
        Turn::Ask(request) => panic!("asks {request:?}"),
    }
}

/// Answers what is asked now, at once.
#[track_caller]
fn answer(election: &mut Election, now: f64, reply: Reply) -> Request {
    let request = asks(election, now);
    let now = at(now).elapsed;
    election.answered(&request, now, reply, now);
    request
}

fn leads(election: &Election, now: f64) -> bool {
    election.tenure(at(now).elapsed).is_some()
}

/// What is asked now is written, as this version.
#[track_caller]
fn written(election: &mut Election, now: f64, version: &str) -> LeaseSpec {
    let (Request::Create(spec) | Request::Replace { spec, .. }) = asks(election, now) else { panic!("only reads") };
    answer(election, now, Reply::Is(lease(version, spec.clone())));
    spec
}

#[test]
fn the_first_one_creates_it_leads_and_renews_it() {
    let mut me = election("a");
    assert_eq!(answer(&mut me, 0.0, Reply::Missing), Request::Read);
    assert!(!leads(&me, 0.0));
    let spec = written(&mut me, 0.0, "1");
    assert_eq!(spec.holder.as_ref(), "a");
    assert_eq!(spec.renewed.as_ref(), "2026-05-01T10:00:00.000000Z");
    assert_eq!((spec.acquired, spec.transitions), (spec.renewed, 0));
    assert!(leads(&me, 0.0));
    assert_eq!(waits(&me, 1.9), 2 * SECOND);
    let Request::Replace { version, spec } = asks(&me, 2.0) else { panic!("not renewed") };
    assert_eq!((version.as_ref(), spec.transitions), ("1", 0));
    assert_eq!(spec.acquired.as_ref(), "2026-05-01T10:00:00.000000Z");
    assert_eq!(spec.renewed.as_ref(), "2026-05-01T10:00:02.000000Z");
}

#[test]
fn a_renewal_counts_from_when_it_was_sent_and_ends_without_another() {
    let mut me = election("a");
    answer(&mut me, 0.0, Reply::Missing);
    let request = asks(&me, 0.0);
    let Request::Create(spec) = &request else { panic!("{request:?}") };
    let sent = Duration::ZERO;
    me.answered(&request, sent, Reply::Is(lease("1", spec.clone())), 4 * SECOND);
    assert_eq!(me.tenure(4 * SECOND), Some(Tenure { term: 1, until: 10 * SECOND }));
    assert!(leads(&me, 9.9) && !leads(&me, 10.0));
}

#[test]
fn an_answer_that_comes_too_late_makes_no_leader() {
    let mut me = election("a");
    answer(&mut me, 0.0, Reply::Missing);
    let request = asks(&me, 0.0);
    let Request::Create(spec) = &request else { panic!("{request:?}") };
    me.answered(&request, Duration::ZERO, Reply::Is(lease("1", spec.clone())), 10 * SECOND);
    assert!(!leads(&me, 10.0));
}

#[test]
fn a_lease_that_changes_is_left_alone_whatever_its_times_say() {
    let mut me = election("b");
    for look in 0..100 {
        let now = f64::from(look) * 2.0;
        // Its holder's clock stands a quarter of a century behind ours.
        let renewed = format!("2001-01-01T00:00:{look:02}.000000Z");
        assert_eq!(answer(&mut me, now, Reply::Is(lease("1", spec("a", &renewed)))), Request::Read);
        assert!(!leads(&me, now));
        assert_eq!(waits(&me, now), at(now + 2.0).elapsed);
    }
    assert_eq!(me.holder().map(AsRef::as_ref), Some("a"));
}

#[test]
fn a_lease_that_does_not_change_is_taken_after_its_duration_and_not_before() {
    let mut me = election("b");
    // Its holder's clock runs ahead of ours: it was renewed next year.
    let idle = || Reply::Is(lease("7", spec("a", "2027-05-01T10:00:00.000000Z")));
    for now in [0.0, 2.0, 4.0, 6.0, 8.0, 10.0, 12.0, 14.0] {
        assert_eq!(answer(&mut me, now, idle()), Request::Read);
    }
    assert_eq!(waits(&me, 15.9), 16 * SECOND);
    assert_eq!(answer(&mut me, 16.0, idle()), Request::Read);
    let Request::Replace { version, spec } = asks(&me, 16.0) else { panic!("not taken") };
    assert_eq!((version.as_ref(), spec.holder.as_ref(), spec.transitions), ("7", "b", 4));
    assert!(!leads(&me, 16.0));
    written(&mut me, 16.0, "8");
    assert!(leads(&me, 16.0));
}

#[test]
fn a_label_on_the_lease_is_no_sign_of_life() {
    let mut me = election("b");
    for now in [0.0, 5.0, 10.0, 15.0] {
        let version = format!("{now}");
        answer(&mut me, now, Reply::Is(lease(&version, spec("a", "x"))));
    }
    let Request::Replace { version, .. } = asks(&me, 15.0) else { panic!("not taken") };
    assert_eq!(version.as_ref(), "15");
}

#[test]
fn a_longer_promise_is_kept_and_a_shorter_one_is_not_believed() {
    for (seconds, free) in [(60, 60.0), (1, 15.0), (0, 15.0)] {
        let idle = || {
            let spec = LeaseSpec { duration: Duration::from_secs(seconds), ..spec("a", "x") };
            Reply::Is(lease("1", spec))
        };
        let mut me = election("b");
        answer(&mut me, 0.0, idle());
        answer(&mut me, free - 0.1, idle());
        waits(&me, free - 0.1);
        answer(&mut me, free + 2.0, idle());
        assert!(matches!(asks(&me, free + 2.0), Request::Replace { .. }), "{seconds}");
    }
}

#[test]
fn who_gives_it_back_is_followed_at_once() {
    let mut old = election("a");
    answer(&mut old, 0.0, Reply::Missing);
    written(&mut old, 0.0, "1");
    let Some(Request::Replace { version, spec }) = old.release(SECOND) else { panic!("kept") };
    assert_eq!((version.as_ref(), spec.holder.as_ref(), spec.duration), ("1", "", SECOND));
    assert!(!leads(&old, 0.0), "leads on");
    // A renewal was under way when it was asked to stop, so its version was gone.
    let renewed = lease("1.5", LeaseSpec { renewed: "x".into(), ..spec.clone() });
    let renewed = Lease { spec: LeaseSpec { holder: "a".into(), ..renewed.spec }, ..renewed };
    old.answered(&Request::Read, SECOND, Reply::Is(renewed), SECOND);
    let Some(Request::Replace { version, .. }) = old.release(SECOND) else { panic!("kept") };
    assert_eq!(version.as_ref(), "1.5");
    assert!(!leads(&old, 1.0), "leads again");

    let mut new = election("b");
    answer(&mut new, 1.0, Reply::Is(lease("2", spec)));
    assert_eq!(written(&mut new, 1.0, "3").transitions, 1);
    assert!(leads(&new, 1.0));
}

#[test]
fn what_is_not_ours_is_not_given_back() {
    let mut me = election("b");
    assert_eq!(me.release(SECOND), None);
    let mut me = election("b");
    answer(&mut me, 0.0, Reply::Is(lease("1", spec("a", "x"))));
    assert_eq!(me.release(SECOND), None);
    let mut me = election("b");
    answer(&mut me, 0.0, Reply::Missing);
    written(&mut me, 0.0, "1");
    assert_eq!(me.release(10 * SECOND), None, "it has run out");
}

#[test]
fn who_was_taken_over_knows_it_when_it_hears_so_and_leads_again_in_another_term() {
    let mut me = election("a");
    answer(&mut me, 0.0, Reply::Missing);
    written(&mut me, 0.0, "1");
    answer(&mut me, 2.0, Reply::Conflict);
    // Nothing is known yet: it may have been a label.
    assert!(leads(&me, 3.0));
    assert_eq!(answer(&mut me, 4.0, Reply::Is(lease("2", spec("b", "x")))), Request::Read);
    assert!(!leads(&me, 4.0));
    answer(&mut me, 6.0, Reply::Is(lease("3", LeaseSpec::default())));
    written(&mut me, 6.0, "4");
    assert_eq!(me.tenure(at(6.0).elapsed).map(|tenure| tenure.term), Some(2));
}

#[test]
fn a_conflict_with_a_label_breaks_nothing() {
    let mut me = election("a");
    answer(&mut me, 0.0, Reply::Missing);
    let spec = written(&mut me, 0.0, "1");
    answer(&mut me, 2.0, Reply::Conflict);
    assert_eq!(answer(&mut me, 4.0, Reply::Is(lease("2", spec))), Request::Read);
    written(&mut me, 4.0, "3");
    assert_eq!(me.tenure(at(9.0).elapsed), Some(Tenure { term: 1, until: 14 * SECOND }));
}

#[test]
fn who_is_cut_off_stops_and_a_lapse_is_a_new_term_even_if_nobody_else_led() {
    let mut me = election("a");
    answer(&mut me, 0.0, Reply::Missing);
    let spec = written(&mut me, 0.0, "1");
    for now in [2.0, 4.0, 6.0, 8.0, 10.0] {
        assert!(leads(&me, now - 0.1));
        answer(&mut me, now, Reply::Failed { message: "no route to host".to_owned() });
    }
    assert!(!leads(&me, 10.0));
    answer(&mut me, 12.0, Reply::Is(lease("1", spec)));
    written(&mut me, 12.0, "2");
    assert_eq!(me.tenure(at(12.0).elapsed), Some(Tenure { term: 2, until: 22 * SECOND }));
}

#[test]
fn a_frozen_leader_does_not_lead_when_it_wakes() {
    let mut me = election("a");
    answer(&mut me, 0.0, Reply::Missing);
    written(&mut me, 0.0, "1");
    // Nothing was asked of it meanwhile.
    assert!(!leads(&me, 3600.0));
    assert_eq!(asks(&me, 3600.0), Request::Read, "writes before it looks");
}

#[test]
fn a_lost_answer_is_read_again_before_anything_else() {
    let mut me = election("a");
    answer(&mut me, 0.0, Reply::Missing);
    let Request::Create(spec) = answer(&mut me, 0.0, Reply::Failed { message: "reset".to_owned() }) else {
        panic!("not created");
    };
    assert!(!leads(&me, 1.0), "leads by a write of which nobody knows");
    waits(&me, 1.0);
    assert_eq!(answer(&mut me, 2.0, Reply::Is(lease("1", spec))), Request::Read);
    assert!(!leads(&me, 2.0), "leads by what somebody else may have changed since");
    written(&mut me, 2.0, "2");
    assert!(leads(&me, 2.0));
}

#[test]
fn a_deleted_lease_is_not_taken_while_its_holder_may_not_know() {
    let mut me = election("b");
    answer(&mut me, 0.0, Reply::Is(lease("1", spec("a", "x"))));
    for now in [2.0, 9.0, 16.9] {
        assert_eq!(answer(&mut me, now, Reply::Missing), Request::Read);
        waits(&me, now);
    }
    assert_eq!(answer(&mut me, 19.0, Reply::Missing), Request::Read);
    assert!(matches!(asks(&me, 19.0), Request::Create(_)));
}

#[test]
fn a_leader_whose_lease_was_deleted_stops_and_makes_it_again() {
    let mut me = election("a");
    answer(&mut me, 0.0, Reply::Missing);
    written(&mut me, 0.0, "1");
    answer(&mut me, 2.0, Reply::Missing);
    assert_eq!(answer(&mut me, 4.0, Reply::Missing), Request::Read);
    assert!(!leads(&me, 4.0), "a replica that never saw it would take over at once");
    assert!(matches!(asks(&me, 4.0), Request::Create(_)));
    written(&mut me, 4.0, "2");
    assert_eq!(me.tenure(at(4.0).elapsed).map(|tenure| tenure.term), Some(2));
}
