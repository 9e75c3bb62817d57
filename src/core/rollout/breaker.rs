//! The breaker: stops rollouts when too many go wrong, and closes only by a person's word. It opens for the namespace where they do; for
//! the cluster only when more than one namespace says so, because whoever has one must not stop the others.

use std::collections::BTreeSet;

use jiff::Timestamp;

use crate::core::{
    io::{OutcomeIn, RECENT_OUTCOMES, StateRecord, Stop},
    model::{Name, WorkloadKey, words::Outcome},
};

/// It opens on this many bad outcomes in a row ...
const BAD_IN_A_ROW: usize = 2;
/// ... or on this many (20 %) among the last [`RECENT_OUTCOMES`], once there are so many.
const BAD_AMONG_RECENT: usize = 2;
/// So many outcomes are kept at most, and of each namespace [`RECENT_OUTCOMES`]; the oldest go. Each takes less than 90 bytes.
const MOST: usize = 1_000;

/// It opened: for a namespace, or for all.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Opened {
    pub(super) namespace: Option<Name>,
    pub(super) reason: String,
}

/// Takes one more outcome in; says where that opens the breaker.
pub(super) fn saw(record: &mut StateRecord, outcome: Outcome, key: &WorkloadKey, now: Timestamp) -> Vec<Opened> {
    follow_recent(record);
    record.outcomes.push(OutcomeIn { outcome, namespace: Some(key.namespace.clone()) });
    drop_oldest(record, &key.namespace);
    record.set_recent();
    // What goes well opens nothing, whatever came before it.
    if !is_bad(outcome) {
        return Vec::new();
    }
    let stop = |reason: &str| Stop { reason: reason.to_owned(), at: now };
    let mut opened = Vec::new();
    let here = last(record, Some(&key.namespace));
    if let Some(bad) = trips(&here, 1)
        && !record.breakers.contains_key(&key.namespace)
    {
        let namespace = &key.namespace;
        let reason =
            format!("{bad} of the last {} rollouts in {namespace} went wrong, {key} last: {outcome}", here.len());
        record.breakers.insert(namespace.clone(), stop(&reason));
        opened.push(Opened { namespace: Some(namespace.clone()), reason });
    }
    let all = last(record, None);
    if let Some(bad) = trips(&all, 2)
        && record.breaker.is_none()
    {
        let reason = format!(
            "{bad} of the last {} rollouts went wrong, in more than one namespace, {key} last: {outcome}",
            all.len()
        );
        record.breaker = Some(stop(&reason));
        opened.push(Opened { namespace: None, reason });
    }
    opened
}

/// Of one rollout of this workload another outcome is told, and stands in the place of this one: it was late, or did not stay well.
pub(super) fn forget(record: &mut StateRecord, replaced: Outcome, key: &WorkloadKey) {
    follow_recent(record);
    let of = |ended: &OutcomeIn| {
        ended.outcome == replaced && ended.namespace.as_ref().is_none_or(|namespace| *namespace == key.namespace)
    };
    if let Some(at) = record.outcomes.iter().rposition(of) {
        record.outcomes.remove(at);
        record.set_recent();
    }
}

/// Whether an outcome speaks for stopping. A stamp that was taken away does: where some tool takes all of them away, each
/// workload would be restarted twice for nothing.
pub(super) fn is_bad(outcome: Outcome) -> bool {
    use Outcome::{Denied, Failed, NonConvergent, Reverted, TimedOut};
    matches!(outcome, Failed | TimedOut | NonConvergent | Denied | Reverted)
}

/// A version that does not know `outcomes` wrote outcomes, or a person's word was taken by one: where those were is not known, and
/// that counts as a namespace of its own.
fn follow_recent(record: &mut StateRecord) {
    let older = record.outcomes.len().saturating_sub(RECENT_OUTCOMES);
    if !record.outcomes.iter().skip(older).map(|ended| ended.outcome).eq(record.recent.iter().copied()) {
        record.outcomes =
            record.recent.iter().map(|outcome| OutcomeIn { outcome: *outcome, namespace: None }).collect();
    }
}

fn drop_oldest(record: &mut StateRecord, namespace: &Name) {
    let of = |ended: &OutcomeIn| ended.namespace.as_ref() == Some(namespace);
    if record.outcomes.iter().filter(|ended| of(ended)).count() > RECENT_OUTCOMES
        && let Some(oldest) = record.outcomes.iter().position(of)
    {
        record.outcomes.remove(oldest);
    }
    let surplus = record.outcomes.len().saturating_sub(MOST);
    record.outcomes.drain(..surplus);
}

/// The last outcomes, of this namespace or of all, oldest first.
fn last<'a>(record: &'a StateRecord, namespace: Option<&Name>) -> Vec<&'a OutcomeIn> {
    let of = |ended: &&OutcomeIn| namespace.is_none() || ended.namespace.as_ref() == namespace;
    let mut all: Vec<_> = record.outcomes.iter().rev().filter(of).take(RECENT_OUTCOMES).collect();
    all.reverse();
    all
}

/// How many of these outcomes, oldest first, are bad, if that opens the breaker: bad ones of so many namespaces are wanted.
fn trips(recent: &[&OutcomeIn], namespaces: usize) -> Option<usize> {
    let bad: Vec<_> = recent.iter().filter(|ended| is_bad(ended.outcome)).collect();
    let in_a_row: Vec<_> = recent.iter().rev().take_while(|ended| is_bad(ended.outcome)).collect();
    let wide = |bad: &[&&OutcomeIn]| bad.iter().map(|e| &e.namespace).collect::<BTreeSet<_>>().len() >= namespaces;
    let opens = in_a_row.len() >= BAD_IN_A_ROW && wide(&in_a_row)
        || recent.len() >= RECENT_OUTCOMES && bad.len() >= BAD_AMONG_RECENT && wide(&bad);
    opens.then_some(bad.len())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::core::model::{owner::Kind, test_objects};
    use Outcome::{Conflict, Converged, Denied, Failed, NonConvergent, Reverted, TimedOut};

    /// What these outcomes open, each in its namespace; `*`: everything.
    fn opens(outcomes: &[(&str, Outcome)]) -> Vec<String> {
        opens_in(&mut StateRecord::default(), outcomes)
    }

    fn opens_in(record: &mut StateRecord, outcomes: &[(&str, Outcome)]) -> Vec<String> {
        let mut all = Vec::new();
        for (namespace, outcome) in outcomes {
            let key = test_objects::key(Kind::DEPLOYMENT, namespace, "web");
            let opened = saw(record, *outcome, &key, Timestamp::UNIX_EPOCH);
            all.extend(opened.into_iter().map(|o| o.namespace.map_or_else(|| "*".to_owned(), |ns| ns.to_string())));
        }
        all
    }

    #[test]
    fn two_bad_outcomes_in_a_row_open_it_for_their_namespace_and_one_does_not() {
        assert_eq!(opens(&[("a", Failed)]), [""; 0]);
        assert_eq!(opens(&[("a", Failed), ("a", Converged), ("a", Denied)]), [""; 0]);
        for bad in [Failed, TimedOut, NonConvergent, Denied, Reverted] {
            assert_eq!(opens(&[("a", Converged), ("a", bad), ("a", Failed)]), ["a"], "{bad}");
        }
    }

    #[test]
    fn bad_outcomes_of_two_namespaces_open_it_for_all_and_those_of_one_never_do() {
        assert_eq!(opens(&[("a", Failed), ("b", Failed)]), ["*"]);
        assert_eq!(opens(&[("a", Failed), ("b", Converged), ("a", Failed)]), ["a"]);
        assert_eq!(opens(&[("a", Failed); 30]), ["a"]);
        // What others do well in between does not hide it.
        let mut mixed = vec![("a", Failed)];
        mixed.extend([("b", Converged); 8]);
        mixed.push(("b", Failed));
        assert_eq!(opens(&mixed), ["*"]);
    }

    #[test]
    fn two_of_the_last_ten_open_it_and_a_lost_race_is_no_failure() {
        let mut ten = vec![("a", Converged); 10];
        (ten[0], ten[5], ten[9]) = (("a", Failed), ("a", Conflict), ("a", Failed));
        assert_eq!(opens(&ten), ["a"]);
        assert_eq!(opens(&ten[5..]), [""; 0]);
        ten[0] = ("a", Converged);
        assert_eq!(opens(&ten), [""; 0]);
    }

    #[test]
    fn an_outcome_that_replaces_another_is_counted_once() {
        let mut record = StateRecord::default();
        let key = test_objects::key(Kind::DEPLOYMENT, "a", "web");
        assert_eq!(opens_in(&mut record, &[("b", TimedOut), ("a", TimedOut)]), ["*"]);
        forget(&mut record, TimedOut, &key);
        assert_eq!(record.outcomes.iter().map(|e| e.namespace.as_deref()).collect::<Vec<_>>(), [Some("b")]);
    }

    #[test]
    fn what_an_older_version_wrote_counts_as_a_namespace_of_its_own() {
        let mut record = StateRecord { recent: vec![Converged, Failed], ..StateRecord::default() };
        assert_eq!(opens_in(&mut record, &[("a", Failed)]), ["*"]);
        let mut record = StateRecord { recent: vec![Failed, Converged], ..StateRecord::default() };
        assert_eq!(opens_in(&mut record, &[("a", Failed), ("a", Failed)]), ["a"]);
        // Its `resume` lifted what it knows of: what it settled is settled.
        let mut record = StateRecord::default();
        opens_in(&mut record, &[("a", Failed)]);
        (record.breaker, record.recent) = (None, Vec::new());
        assert_eq!(opens_in(&mut record, &[("b", Failed)]), [""; 0]);
    }

    #[test]
    fn a_person_resumes_one_namespace_or_all() {
        let mut record = StateRecord::default();
        assert_eq!(opens_in(&mut record, &[("a", Failed), ("a", Failed), ("b", Failed)]), ["a", "*"]);
        record.resume_in(&"a".into());
        assert!(record.breaker.is_some() && record.breakers.is_empty());
        assert_eq!((record.recent.clone(), record.outcomes.len()), (vec![Failed], 1));
        record.resume(Timestamp::UNIX_EPOCH);
        assert!(record.breaker.is_none() && record.outcomes.is_empty() && record.recent.is_empty());
    }

    #[test]
    fn a_thousand_are_kept_in_less_than_100_kb_and_the_oldest_go() {
        let mut record = StateRecord::default();
        for n in 0..1_200 {
            let namespace = format!("{n:0>60}");
            opens_in(&mut record, &[(&namespace, Converged)]);
        }
        assert_eq!((record.outcomes.len(), record.recent.len()), (MOST, RECENT_OUTCOMES));
        assert!(serde_json::to_string(&record.outcomes).is_ok_and(|text| text.len() < 100_000));
        opens_in(&mut record, &[("a", Converged); 20]);
        assert_eq!(record.outcomes.iter().filter(|e| e.namespace.as_deref() == Some("a")).count(), RECENT_OUTCOMES);
    }

    #[test]
    fn an_outcome_is_written_as_two_words_and_one_of_a_later_version_is_not_guessed() {
        let ended = OutcomeIn { outcome: TimedOut, namespace: Some("shop".into()) };
        assert_eq!(serde_json::to_string(&ended).ok().as_deref(), Some("\"timed_out shop\""));
        assert_eq!(serde_json::from_str::<OutcomeIn>("\"timed_out shop\"").ok(), Some(ended));
        assert!(serde_json::from_str::<OutcomeIn>("\"exploded shop\"").is_err());
    }
}
