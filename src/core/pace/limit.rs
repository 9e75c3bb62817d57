//! How many renderings at once the API server and the injectors answer best, found out by how long they take.
//!
//! The shortest answer says how long a rendering takes by itself. What answers take longer now, they have waited: with
//! `n` in flight that are `n × (1 − shortest / now)` renderings in a queue somewhere. A few keep everybody busy; more only
//! make real Pods wait behind ours. (The idea is TCP Vegas'.)

use std::{collections::VecDeque, time::Duration};

/// Fewer that wait are no burden: one more may be sent at once.
const FEW: f64 = 3.0;
/// More that wait are one too many.
const MANY: f64 = 6.0;
/// How many answers "now" is: fewer are chance.
const RECENT: usize = 8;
/// The shortest one is forgotten after twice so many, because the cluster may be slower than it was.
const EPOCH: usize = 200;
/// What a process begins with: what is allowed where no webhook is asked.
const FIRST: f64 = 8.0;

/// The limit, and what it is found by.
#[derive(Debug)]
pub(super) struct Limit {
    most: f64,
    recent: VecDeque<Duration>,
    /// The shortest of this epoch, and of the last one.
    shortest: Option<Duration>,
    shortest_before: Option<Duration>,
    seen: usize,
}

impl Default for Limit {
    fn default() -> Self {
        Self { most: FIRST, recent: VecDeque::new(), shortest: None, shortest_before: None, seen: 0 }
    }
}

impl Limit {
    /// So many at once, never more than the ceiling that a person gave.
    pub(super) fn at_once(&self, ceiling: usize) -> usize {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "between 1 and a small number")]
        let most = self.most as usize;
        most.clamp(1, ceiling.max(1))
    }

    /// One took so long, while `in_flight` were under way.
    pub(super) fn took(&mut self, took: Duration, in_flight: usize, ceiling: usize) {
        self.recent.push_back(took);
        if self.recent.len() > RECENT {
            self.recent.pop_front();
        }
        self.shortest = Some(self.shortest.map_or(took, |shortest| shortest.min(took)));
        self.seen += 1;
        if self.seen.is_multiple_of(EPOCH) {
            self.shortest_before = self.shortest.take();
        }
        let shortest = self.shortest.into_iter().chain(self.shortest_before).min().unwrap_or(took);
        let mut sorted: Vec<_> = self.recent.iter().collect();
        sorted.sort_unstable();
        let now = sorted.get(sorted.len() / 2).map_or(took, |median| **median);
        let alone = if now > shortest { shortest.as_secs_f64() / now.as_secs_f64() } else { 1.0 };
        let waiting = self.most * (1.0 - alone);
        if waiting > MANY {
            self.most = (self.most - 1.0 / self.most).max(1.0);
        } else if waiting < FEW && in_flight + 1 >= self.at_once(ceiling) {
            // Only when the limit is what held us back.
            self.most = (self.most + 1.0 / self.most).min(f64::from(u32::try_from(ceiling).unwrap_or(u32::MAX)));
        }
    }

    /// The API server said that we are too many (429).
    pub(super) fn refused(&mut self) {
        self.most = (self.most / 2.0).max(1.0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);

    /// A server that does so many at once, each in 5 ms; the rest wait in line.
    fn after(renderings: usize, servers: usize, ceiling: usize) -> usize {
        let mut limit = Limit::default();
        for _ in 0..renderings {
            let in_flight = limit.at_once(ceiling);
            let took = MS * 5 * u32::try_from(in_flight.max(servers)).unwrap() / u32::try_from(servers).unwrap();
            limit.took(took, in_flight, ceiling);
        }
        limit.at_once(ceiling)
    }

    #[test]
    fn it_keeps_all_servers_busy_and_few_waiting() {
        for servers in [1, 2, 8, 20] {
            let found = after(2000, servers, 100);
            assert!((servers..=servers + 7).contains(&found), "{found} for {servers}");
        }
    }

    #[test]
    fn it_never_exceeds_the_ceiling_and_one_may_always_go() {
        assert_eq!(after(2000, 50, 8), 8);
        assert_eq!(after(2000, 50, 0), 1);
        let mut limit = Limit::default();
        (0..10).for_each(|_| limit.refused());
        assert_eq!(limit.at_once(8), 1);
    }

    #[test]
    fn a_refusal_halves_it_and_it_comes_back() {
        let mut limit = Limit::default();
        for _ in 0..100 {
            limit.took(MS, limit.at_once(8), 8);
        }
        assert_eq!(limit.at_once(8), 8);
        limit.refused();
        assert_eq!(limit.at_once(8), 4);
        for _ in 0..100 {
            limit.took(MS, limit.at_once(8), 8);
        }
        assert_eq!(limit.at_once(8), 8);
    }
}
