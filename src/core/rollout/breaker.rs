//! The breaker: stops all rollouts when too many go wrong, and closes only by a person's word.

use jiff::Timestamp;

use crate::core::{
    io::{StateRecord, Stop},
    model::{WorkloadKey, words::Outcome},
};

/// It opens on this many bad outcomes in a row ...
const BAD_IN_A_ROW: usize = 2;
/// ... or on this many (20 %) among the last [`MEMORY`], once there are so many.
const BAD_AMONG_RECENT: usize = 2;
const MEMORY: usize = 10;

/// Takes one more outcome in; if it opens the breaker, says why.
pub(super) fn saw(record: &mut StateRecord, outcome: Outcome, key: &WorkloadKey, now: Timestamp) -> Option<String> {
    record.recent.push(outcome);
    let excess = record.recent.len().saturating_sub(MEMORY);
    record.recent.drain(..excess);
    // What goes well opens nothing, whatever came before it.
    if record.breaker.is_some() || !is_bad(outcome) || !trips(&record.recent) {
        return None;
    }
    let bad = record.recent.iter().filter(|o| is_bad(**o)).count();
    let reason = format!("{bad} of the last {} rollouts went wrong, {key} last: {outcome}", record.recent.len());
    record.breaker = Some(Stop { reason: reason.clone(), at: now });
    Some(reason)
}

/// Of one rollout another outcome is told, and stands in the place of this one: it was late, or did not stay well.
pub(super) fn forget(record: &mut StateRecord, replaced: Outcome) {
    if let Some(at) = record.recent.iter().rposition(|outcome| *outcome == replaced) {
        record.recent.remove(at);
    }
}

/// Whether an outcome speaks for stopping. A stamp that was taken away does: where some tool takes all of them away, each
/// workload would be restarted twice for nothing.
pub(super) fn is_bad(outcome: Outcome) -> bool {
    use Outcome::{Denied, Failed, NonConvergent, Reverted, TimedOut};
    matches!(outcome, Failed | TimedOut | NonConvergent | Denied | Reverted)
}

/// Whether these outcomes, oldest first, open the breaker.
fn trips(recent: &[Outcome]) -> bool {
    let in_a_row = recent.iter().rev().take_while(|o| is_bad(**o)).count();
    let among = recent.iter().filter(|o| is_bad(**o)).count();
    in_a_row >= BAD_IN_A_ROW || (recent.len() >= MEMORY && among >= BAD_AMONG_RECENT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use Outcome::{Conflict, Converged, Denied, Failed, NonConvergent, Reverted, TimedOut};

    #[test]
    fn two_bad_outcomes_in_a_row_open_it_and_one_does_not() {
        assert!(!trips(&[Failed]) && !trips(&[Failed, Converged]) && !trips(&[Failed, Converged, Denied]));
        for bad in [Failed, TimedOut, NonConvergent, Denied, Reverted] {
            assert!(trips(&[Converged, bad, Failed]), "{bad}");
        }
    }

    #[test]
    fn two_of_the_last_ten_open_it_and_a_lost_race_is_no_failure() {
        let mut recent = vec![Converged; 10];
        recent[2] = Failed;
        assert!(!trips(&recent));
        recent[7] = Failed;
        assert!(trips(&recent));
        assert!(!trips(&[Conflict; 10]));
    }

    #[test]
    fn what_goes_well_never_opens_it() {
        let key =
            WorkloadKey { namespace: "a".into(), kind: crate::core::model::owner::Kind::DEPLOYMENT, name: "x".into() };
        let recent = [vec![Failed, Converged, Failed], vec![Converged; 6]].concat();
        let mut record = StateRecord { recent, ..StateRecord::default() };
        assert_eq!(saw(&mut record, Converged, &key, Timestamp::UNIX_EPOCH), None);
        assert!(trips(&record.recent) && saw(&mut record, Conflict, &key, Timestamp::UNIX_EPOCH).is_none());
    }

    #[test]
    fn the_outcome_of_a_late_rollout_replaces_its_delay() {
        let recent = vec![TimedOut, Converged, TimedOut, Failed];
        let mut record = StateRecord { recent, ..StateRecord::default() };
        forget(&mut record, TimedOut);
        assert_eq!(record.recent, [TimedOut, Converged, Failed]);
        forget(&mut record, TimedOut);
        forget(&mut record, TimedOut);
        assert_eq!(record.recent, [Converged, Failed]);
    }

    #[test]
    fn it_opens_once_remembers_ten_and_says_why() {
        let key =
            WorkloadKey { namespace: "a".into(), kind: crate::core::model::owner::Kind::DEPLOYMENT, name: "x".into() };
        let mut record = StateRecord::default();
        for _ in 0..20 {
            assert_eq!(saw(&mut record, Converged, &key, Timestamp::UNIX_EPOCH), None);
        }
        assert_eq!(record.recent.len(), 10);
        assert_eq!(saw(&mut record, Failed, &key, Timestamp::UNIX_EPOCH), None);
        let why = saw(&mut record, TimedOut, &key, Timestamp::UNIX_EPOCH).unwrap();
        assert_eq!(why, "2 of the last 10 rollouts went wrong, Deployment/a/x last: timed_out");
        assert_eq!(saw(&mut record, Failed, &key, Timestamp::UNIX_EPOCH), None);
    }
}
