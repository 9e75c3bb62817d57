//! Attempts of the last day, as the state ConfigMap keeps them: what the cluster may forget of our rollouts, because revisions are
//! not retained, or a tool takes our stamps away. A few bytes each, for at 10,000 a day they have to fit into one object.

use std::{collections::BTreeMap, fmt, str::FromStr, time::Duration};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use crate::core::model::{
    Name,
    words::{Outcome, Word as _},
};

/// What is older limits nothing any more.
const KEPT: Duration = Duration::from_hours(24);
/// So many workloads are kept at most, those that were tried last. Each takes less than 70 bytes, and an object may have
/// 1 MiB.
const MOST: usize = 12_000;
/// Of one workload so many attempts are kept at most, the newest.
const MOST_OF_ONE: usize = 64;
/// So many characters are kept of a uid and of a fingerprint: chances are that no two are alike in them.
const KEPT_CHARACTERS: usize = 12;

/// One attempt to roll a workload out.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct Tried {
    /// The time of its stamp.
    pub at: Timestamp,
    /// How it ended; `None`: that is not known.
    pub outcome: Option<Outcome>,
    /// A person began it at a terminal.
    pub by_hand: bool,
    /// The end of the fingerprint that it was for.
    target: String,
}

impl Tried {
    /// One that begins.
    pub fn new(at: Timestamp, target: &str, by_hand: bool) -> Self {
        Self { at, outcome: None, by_hand, target: end(target) }
    }

    /// The same, ended so.
    #[must_use]
    pub fn ended(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// What is called so here is called otherwise there.
    pub fn translate(&mut self, here: &str, there: &str) {
        if self.was_for(here) {
            self.target = end(there);
        }
    }

    /// Whether it was for this.
    pub fn was_for(&self, target: &str) -> bool {
        !self.target.is_empty() && self.target == end(target)
    }
}

/// The last characters.
fn end(text: &str) -> String {
    let surplus = text.chars().count().saturating_sub(KEPT_CHARACTERS);
    text.chars().skip(surplus).collect()
}

/// `1772445610 converged by_hand 0a1b2c3d4e5f`
impl fmt::Display for Tried {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { at, outcome, by_hand, target } = self;
        write!(f, "{}", at.as_second())?;
        outcome.iter().try_for_each(|outcome| write!(f, " {outcome}"))?;
        f.write_str(if *by_hand { " by_hand" } else { "" })?;
        if target.is_empty() { Ok(()) } else { write!(f, " ={target}") }
    }
}

impl From<Tried> for String {
    fn from(tried: Tried) -> Self {
        tried.to_string()
    }
}

impl FromStr for Tried {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let bad = || format!("{text:?} is no attempt");
        let mut words = text.split(' ');
        let second = words.next().and_then(|word| word.parse().ok()).ok_or_else(bad)?;
        let at = Timestamp::from_second(second).map_err(|_| bad())?;
        let mut tried = Self { at, outcome: None, by_hand: false, target: String::new() };
        for word in words {
            match (word, word.strip_prefix('=')) {
                ("by_hand", _) => tried.by_hand = true,
                (_, Some(target)) => tried.target = end(target),
                // What a later version calls otherwise ended, however.
                _ => {
                    let known = Outcome::ALL.iter().find(|outcome| outcome.as_str() == word);
                    tried.outcome = Some(known.copied().unwrap_or(Outcome::Superseded));
                }
            }
        }
        Ok(tried)
    }
}

impl TryFrom<String> for Tried {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

/// By workload, and of each the oldest first.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Attempts(pub BTreeMap<String, Vec<Tried>>);

impl Attempts {
    /// Those of the workload with this uid.
    pub fn of(&self, uid: &Name) -> &[Tried] {
        self.0.get(&key(uid)).map_or(&[], Vec::as_slice)
    }

    /// One of them, by its stamp.
    pub fn find(&self, uid: &Name, at: Timestamp) -> Option<&Tried> {
        self.of(uid).iter().find(|tried| tried.at.as_second() == at.as_second())
    }

    /// One begins, or what became of it is known now. What limits nothing any more is dropped.
    pub fn note(&mut self, uid: &Name, tried: Tried, now: Timestamp) {
        self.forget_old(now);
        let all = self.0.entry(key(uid)).or_default();
        match all.iter_mut().find(|known| known.at == tried.at) {
            Some(known) => known.outcome = tried.outcome.or(known.outcome),
            None => all.push(tried),
        }
        all.sort_by_key(|tried| tried.at);
        let surplus = all.len().saturating_sub(MOST_OF_ONE);
        all.drain(..surplus);
        if self.0.len() > MOST {
            let oldest = self.0.iter().min_by_key(|(_, all)| all.last().map(|tried| tried.at));
            if let Some(oldest) = oldest.map(|(key, _)| key.clone()) {
                self.0.remove(&oldest);
            }
        }
    }

    /// A stamp of the future, whoever's clock is wrong, is kept as long as one of now.
    fn forget_old(&mut self, now: Timestamp) {
        let recent = |tried: &Tried| now.duration_since(tried.at).unsigned_abs() < KEPT;
        self.0.retain(|_, all| {
            all.retain(recent);
            !all.is_empty()
        });
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Without those of which nothing is known but that they were begun by the daemon: their stamps tell that.
    pub fn that_matter(&self) -> impl Iterator<Item = (&String, &Tried)> {
        let all = self.0.iter().flat_map(|(key, all)| all.iter().map(move |tried| (key, tried)));
        all.filter(|(_, tried)| tried.by_hand || tried.outcome.is_some())
    }
}

/// The beginning of a uid, which is a number at random.
fn key(uid: &Name) -> String {
    uid.chars().filter(|c| *c != '-').take(KEPT_CHARACTERS).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(1_772_000_000 + second).unwrap()
    }

    fn uid(n: u32) -> Name {
        Name::from(format!("{n:08x}-0000-4000-8000-000000000000"))
    }

    #[test]
    fn an_attempt_is_written_in_a_few_bytes_and_read_again() {
        let tried = Tried::new(at(0), "v1:0123456789abcdef", true);
        assert_eq!(tried.to_string(), "1772000000 by_hand =456789abcdef");
        let tried = tried.ended(Outcome::NonConvergent);
        assert_eq!(tried.to_string().parse(), Ok(tried.clone()));
        assert!(tried.was_for("v1:0123456789abcdef") && !tried.was_for("v1:0123456789abcdee"));
        assert!(!Tried::new(at(0), "", false).was_for(""));
        assert_eq!("1772000000 exploded".parse::<Tried>().map(|t| t.outcome), Ok(Some(Outcome::Superseded)));
        assert!("soon".parse::<Tried>().is_err() && "99999999999999".parse::<Tried>().is_err());
    }

    #[test]
    fn a_day_of_ten_thousand_fits_into_one_object_and_what_is_older_goes() {
        let mut all = Attempts::default();
        for n in 0..10_000 {
            let tried = Tried::new(at(8 * i64::from(n)), &format!("v1:{n:064x}"), false).ended(Outcome::Converged);
            all.note(&uid(n), tried, at(8 * i64::from(n)));
        }
        let size = serde_json::to_string(&all).unwrap().len();
        assert!(all.0.len() == 10_000 && size < 700_000, "{} workloads take {size} bytes", all.0.len());
        let later = at(8 * 9_999 + 24 * 3600 - 1);
        all.note(&uid(1), Tried::new(later, "", false), later);
        assert_eq!((all.0.len(), all.of(&uid(1)).len()), (2, 1));
    }

    #[test]
    fn workloads_and_attempts_of_each_are_bounded_and_the_oldest_go() {
        let mut all = Attempts::default();
        for n in 0..=12_000 {
            all.note(&uid(n), Tried::new(at(i64::from(n)), "", false), at(12_000));
        }
        assert!(all.0.len() == MOST && all.of(&uid(0)).is_empty() && !all.of(&uid(12_000)).is_empty());
        for n in 0..100 {
            all.note(&uid(5), Tried::new(at(20_000 + n), "", false), at(20_000));
        }
        assert_eq!((all.of(&uid(5)).len(), all.of(&uid(5))[0].at), (MOST_OF_ONE, at(20_036)));
    }

    #[test]
    fn what_became_of_one_replaces_what_was_known() {
        let (mut all, uid) = (Attempts::default(), uid(1));
        all.note(&uid, Tried::new(at(0), "x", false), at(0));
        assert_eq!(all.that_matter().count(), 0);
        all.note(&uid, Tried::new(at(0), "x", false).ended(Outcome::TimedOut), at(300));
        all.note(&uid, Tried::new(at(0), "x", false).ended(Outcome::Converged), at(400));
        assert_eq!(all.find(&uid, at(0)).map(|tried| tried.outcome), Some(Some(Outcome::Converged)));
        assert_eq!(all.that_matter().count(), 1);
    }
}
