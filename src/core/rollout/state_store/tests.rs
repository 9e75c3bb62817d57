use super::*;
use crate::core::{
    io::{Canary, Stop},
    model::{owner::Kind, test_objects, words::Outcome},
};

const S: Duration = Duration::from_secs(1);

fn read(version: u32, change: impl FnOnce(&mut StateRecord)) -> StateRecord {
    let mut record = StateRecord { resource_version: Some(version.to_string().into()), ..StateRecord::default() };
    change(&mut record);
    record
}

fn stop(reason: &str) -> Stop {
    Stop { reason: reason.to_owned(), at: test_objects::at(0).wall }
}

fn canary(name: &str) -> Canary {
    let workloads = vec![test_objects::key(Kind::DEPLOYMENT, "shop", name)];
    Canary { workloads, ..Canary::new(test_objects::at(0).wall) }
}

/// Read at version 1, and changed since.
fn changed(change: impl FnOnce(&mut StateRecord)) -> StateStore {
    let mut record = StateStore::default();
    record.take_in(Some(read(1, |r| drop(r.canaries.insert("old".to_owned(), canary("a"))))), S);
    change(record.wanted.as_mut().unwrap());
    record
}

#[test]
fn what_nobody_read_is_missing_and_nothing_is_to_be_written() {
    let mut record = StateStore::default();
    assert!(record.get().is_none() && !record.unwritten());
    record.take_in(None, S);
    assert!(record.get().is_none() && !record.unwritten());
    record.take_in(Some(read(1, |_| {})), S);
    assert!(record.get().is_some() && !record.unwritten());
}

#[test]
fn what_others_wrote_and_what_we_want_are_both_kept() {
    let mut record = changed(|mine| {
        mine.recent.push(Outcome::Failed);
        mine.canaries.insert("new".to_owned(), canary("b"));
    });
    record.take_in(
        Some(read(2, |theirs| {
            theirs.paused = Some(stop("incident"));
            theirs.canaries.insert("theirs".to_owned(), canary("c"));
        })),
        S,
    );
    let now = record.get().unwrap();
    assert_eq!((now.paused.clone(), now.recent.clone()), (Some(stop("incident")), vec![Outcome::Failed]));
    assert_eq!(now.canaries.keys().collect::<Vec<_>>(), ["new", "theirs"]);
    assert!(record.unwritten());
    assert_eq!(now.resource_version.as_deref(), Some("2"));
}

#[test]
fn a_canary_that_we_dropped_does_not_come_back_with_the_answer() {
    let mut record = changed(|mine| mine.canaries.clear());
    record.take_in(Some(read(2, |theirs| drop(theirs.canaries.insert("old".to_owned(), canary("a"))))), S);
    assert!(record.get().unwrap().canaries.is_empty() && record.unwritten());
}

#[test]
fn a_person_who_resumes_overrules_what_we_did_not_touch() {
    let mut record = StateStore::default();
    record.take_in(Some(read(1, |r| r.breaker = Some(stop("two failed")))), S);
    record.take_in(Some(read(2, |r| r.breaker = None)), S);
    assert_eq!(record.get().unwrap().breaker, None);
}

#[test]
fn what_we_want_outlives_a_moment_in_which_it_cannot_be_read() {
    let mut record = changed(|mine| mine.breaker = Some(stop("two failed")));
    record.take_in(None, S);
    assert!(record.get().is_none() && !record.unwritten());
    record.take_in(Some(read(3, |_| {})), S);
    assert_eq!(record.get().unwrap().breaker, Some(stop("two failed")));
    assert!(record.unwritten());
}

/// A ConfigMap that was made anew, and says so.
fn anew(version: u32, change: impl FnOnce(&mut StateRecord)) -> StateRecord {
    StateRecord { incarnation: Some("another".into()), ..read(version, change) }
}

#[test]
fn a_state_that_was_made_anew_takes_nothing_back_and_adds_what_it_says() {
    for (by, made) in [("the chart", anew(9, |_| {})), ("pause", anew(9, |r| r.paused = Some(stop("incident"))))] {
        let mut store = StateStore::default();
        let known = read(1, |r| {
            r.incarnation = Some("first".into());
            r.breaker = Some(stop("two failed"));
            r.recent = vec![Outcome::Failed, Outcome::Failed];
            r.canaries.insert("old".to_owned(), canary("a"));
        });
        store.take_in(Some(known.clone()), S);
        store.take_in(None, S);
        store.take_in(Some(made.clone()), S);
        let now = store.get().unwrap();
        assert_eq!(
            (&now.breaker, &now.recent, &now.canaries),
            (&known.breaker, &known.recent, &known.canaries),
            "{by}"
        );
        assert_eq!(now.paused, made.paused, "{by}");
        assert!(
            store.unwritten() && store.take_write(S * 9).is_some_and(|w| w.resource_version.as_deref() == Some("9"))
        );
    }
}

#[test]
fn an_emptied_state_takes_nothing_back_and_a_persons_pause_stays() {
    let mut store = StateStore::default();
    store
        .take_in(Some(StateRecord { incarnation: Some("first".into()), ..read(1, |r| r.paused = Some(stop("x"))) }), S);
    store.take_in(Some(read(2, |_| {})), S);
    assert_eq!(store.get().unwrap().paused, Some(stop("x")));
}

#[test]
fn what_resume_made_anew_says_all() {
    let mut store = StateStore::default();
    store.take_in(
        Some(StateRecord { incarnation: Some("first".into()), ..read(1, |r| r.breaker = Some(stop("x"))) }),
        S,
    );
    store.take_in(None, S);
    store.take_in(Some(anew(9, |r| r.resumed = Some(test_objects::at(9).wall))), S);
    assert_eq!(store.get().unwrap().breaker, None);
    // And so does the one that it finds, as ever.
    store.take_in(Some(anew(10, |r| r.breaker = Some(stop("y")))), S);
    store.take_in(Some(anew(11, |_| {})), S);
    assert_eq!(store.get().unwrap().breaker, None);
}

#[test]
fn a_write_that_changes_nothing_is_repeated_ever_more_seldom() {
    let mut record = changed(|mine| mine.recent.push(Outcome::Failed));
    let mut waits = Vec::new();
    for _ in 0..8 {
        record.writing = true;
        record.take_in(Some(read(1, |r| drop(r.canaries.insert("old".to_owned(), canary("a"))))), S * 100);
        waits.push(record.rests_until.saturating_sub(S * 100).as_secs());
    }
    assert_eq!(waits, [1, 2, 4, 8, 16, 32, 60, 60]);
    // Somebody else's write is no failure of ours: at once again.
    record.writing = true;
    record.take_in(Some(read(2, |_| {})), S * 200);
    assert!(record.rests_until <= S * 200 && record.unwritten());
}

#[test]
fn who_does_not_lead_any_more_wants_nothing_of_its_own() {
    let mut record = changed(|mine| mine.recent.push(Outcome::Failed));
    record.drop_changes();
    assert!(!record.unwritten());
    assert!(record.get().unwrap().recent.is_empty());
}
