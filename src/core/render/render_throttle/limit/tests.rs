//! Against a server of which it is known how many at once it answers best.

use proptest::{collection::vec, prelude::*};

use crate::core::render::render_throttle::limit::*;

const MS: Duration = Duration::from_millis(1);
const MINUTE: Duration = Duration::from_mins(1);

/// Has so many processors, which all that is in flight share fairly.
struct Server {
    processors: f64,
    /// By how much each one beyond them slows all.
    thrashing: f64,
    /// What others leave of it, in turn, each for some answers.
    left: Vec<f64>,
    /// How long the next ones take if nothing else is asked, in turn.
    work: Vec<f64>,
    asked: usize,
    now: Duration,
    /// What is in flight: when it was asked, and the seconds of work that are left.
    in_flight: Vec<(Duration, f64)>,
}

impl Server {
    fn new(processors: f64, work: Vec<f64>) -> Self {
        Self { processors, thrashing: 0.0, left: vec![1.0], work, asked: 0, now: MINUTE, in_flight: Vec::new() }
    }

    /// A processor for each.
    fn never_busy(work: Vec<f64>) -> Self {
        Self::new(f64::INFINITY, work)
    }

    fn ask(&mut self) {
        // Some take a little longer than others.
        let jitter = [0.9, 1.1, 1.0, 0.8, 1.2, 0.95, 1.05][self.asked * 5 % 7];
        let work = self.work[self.asked % self.work.len()] * jitter;
        self.in_flight.push((self.now, work));
        self.asked += 1;
    }

    /// What each gets done in a second.
    fn speed(&self) -> f64 {
        let n = f64::from(u32::try_from(self.in_flight.len()).unwrap());
        let left = self.left[self.asked / 37 % self.left.len()];
        left * (self.processors / n).min(1.0) / (1.0 + self.thrashing * (n - self.processors).max(0.0))
    }

    /// Lets time pass until one is answered; when it was sent.
    fn answer(&mut self) -> Duration {
        let (speed, left) = (self.speed(), |(_, work): &(Duration, f64)| *work);
        let first = (0..self.in_flight.len()).min_by(|a, b| self.in_flight[*a].1.total_cmp(&self.in_flight[*b].1));
        let (asked, work) = self.in_flight.remove(first.unwrap());
        debug_assert!(self.in_flight.iter().map(left).all(|other| other >= work));
        self.in_flight.iter_mut().for_each(|(_, left)| *left -= work);
        self.now += Duration::from_secs_f64(work / speed);
        asked
    }

    /// As many as the limit allows are always in flight, until so many were answered; how many came back in a second.
    fn sweep(&mut self, limit: &mut Limit, ceiling: usize, answers: usize, mut see: impl FnMut(&Limit)) -> f64 {
        let began = self.now;
        for _ in 0..answers {
            while self.in_flight.len() < limit.most(ceiling) {
                self.ask();
            }
            let in_flight = self.in_flight.len();
            let sent = self.answer();
            limit.answered(in_flight, sent, ceiling, self.now);
            see(limit);
        }
        f64::from(u32::try_from(answers).unwrap()) / self.now.saturating_sub(began).as_secs_f64()
    }
}

/// What comes back in a second if always so many are in flight.
fn always(server: fn() -> Server, n: usize) -> f64 {
    let mut server = server();
    for _ in 0..2000 {
        while server.in_flight.len() < n {
            server.ask();
        }
        server.answer();
    }
    2000.0 / server.now.saturating_sub(MINUTE).as_secs_f64()
}

/// Settles from a ceiling of 8 near `best`, and loses next to nothing on the way.
fn settles(best: usize, server: fn() -> Server) {
    let (mut limit, mut asked) = (Limit::default(), server());
    let sweep = asked.sweep(&mut limit, 8, 500, |_| {});
    asked.sweep(&mut limit, 8, 2500, |_| {});
    let mut sum = 0;
    let later = asked.sweep(&mut limit, 8, 2500, |limit| {
        let found = limit.found(8);
        assert!((best..=best + 2).contains(&found), "{found}, but best are {best}");
        sum += found;
    });
    assert!(2 * sum <= 2500 * (2 * best + 3), "{sum} in all, but best are {best}");
    let most = (1..=8).map(|n| always(server, n)).fold(0.0, f64::max);
    assert!(later >= 0.96 * most, "{later} of {most} in a second, best {best}");
    // The first sweep of some hundreds is no slower for it.
    let without = always(server, 8);
    assert!(sweep >= 0.97 * without, "{sweep} instead of {without} in a second, best {best}");
}

#[test]
fn it_settles_where_more_at_once_would_only_wait() {
    settles(1, || Server::new(1.0, vec![0.005]));
    settles(2, || Server::new(2.0, vec![0.005]));
    settles(3, || Server::new(3.0, vec![0.005]));
    settles(5, || Server::new(5.0, vec![0.02]));
}

#[test]
fn it_settles_where_more_at_once_would_slow_all() {
    settles(2, || Server { thrashing: 0.1, ..Server::new(2.0, vec![0.005]) });
    settles(4, || Server { thrashing: 0.05, ..Server::new(4.0, vec![0.3]) });
}

#[test]
fn as_long_as_nothing_waits_it_is_never_lowered() {
    let (mut limit, mut tried) = (Limit::default(), 0);
    let mut server = Server::never_busy(vec![0.01]);
    server.sweep(&mut limit, 8, 5000, |limit| {
        assert_eq!(limit.found(8), 8);
        tried += usize::from(limit.most(8) < 8);
    });
    // It was tried once whether fewer take less, and soon seen that they do not.
    assert!((1..30).contains(&tried), "{tried}");
}

#[test]
fn namespaces_of_very_different_latency_do_not_lower_it() {
    for work in [vec![0.005, 0.2], vec![0.005, 0.005, 0.005, 1.0], vec![0.002, 0.02, 0.2]] {
        let (mut limit, mut server) = (Limit::default(), Server::never_busy(work.clone()));
        let rate = server.sweep(&mut limit, 8, 3000, |limit| assert_eq!(limit.found(8), 8, "{work:?}"));
        let mut free = Server::never_busy(work);
        let began = free.now;
        for _ in 0..3000 {
            while free.in_flight.len() < 8 {
                free.ask();
            }
            free.answer();
        }
        assert!(rate >= 0.97 * 3000.0 / free.now.saturating_sub(began).as_secs_f64());
    }
}

#[test]
fn a_server_that_others_ask_by_turns_is_not_asked_less_than_it_answers() {
    let server = || {
        let left = vec![1.0, 0.5, 0.9, 0.3, 0.6, 1.0, 0.8, 0.2, 0.7, 0.9, 0.4];
        Server { left, ..Server::new(8.0, vec![0.01]) }
    };
    for answers in [500, 5000] {
        let (mut limit, mut asked, mut free) = (Limit::default(), server(), server());
        let rate = asked.sweep(&mut limit, 8, answers, |_| {});
        for _ in 0..answers {
            while free.in_flight.len() < 8 {
                free.ask();
            }
            free.answer();
        }
        let most = f64::from(u32::try_from(answers).unwrap()) / free.now.saturating_sub(MINUTE).as_secs_f64();
        assert!(rate >= 0.95 * most, "{rate} of {most} in a second");
    }
}

#[test]
fn a_namespace_that_is_slow_after_one_that_is_quick_does_not_lower_it() {
    let mut limit = Limit::default();
    let mut server = Server::never_busy(vec![0.005]);
    for work in [0.005, 0.5, 0.005, 0.5] {
        server.work = vec![work];
        server.sweep(&mut limit, 8, 400, |limit| assert_eq!(limit.found(8), 8));
    }
}

#[test]
fn refused_it_is_halved_at_once_and_climbs_back() {
    let mut limit = Limit::default();
    let mut server = Server::never_busy(vec![0.01]);
    server.sweep(&mut limit, 8, 100, |_| {});
    let at = server.now;
    limit.halve(0, at, 8, at + MS);
    assert_eq!(limit.most(8), 4);
    // All those that were under way then are refused, too.
    (1..7).for_each(|ms| limit.halve(0, at + MS, 8, at + (1 + ms) * MS));
    assert_eq!(limit.most(8), 4);
    // One that was sent afterwards.
    limit.halve(0, at + 10 * MS, 8, at + 20 * MS);
    assert_eq!(limit.most(8), 2);
    for later in 2..9 {
        limit.halve(0, at + (20 * later - 1) * MS, 8, at + 20 * MS * later);
    }
    assert_eq!(limit.most(8), 1);
    server.now = at + 300 * MS;
    server.in_flight.clear();
    server.sweep(&mut limit, 8, 1000, |_| {});
    assert_eq!(limit.found(8), 8);
}

#[test]
fn what_was_found_is_forgotten_minute_by_minute() {
    let mut limit = Limit::default();
    (1..4).for_each(|n| limit.halve(0, MINUTE + (n * 10 - 1) * MS, 8, MINUTE + n * 10 * MS));
    assert_eq!(limit.found(8), 1);
    // One in flight at a time says nothing of how many could be.
    for (minutes, found) in [(1, 1), (2, 2), (3, 3), (10, 8)] {
        limit.answered(0, MINUTE, 8, MINUTE * minutes + 40 * MS);
        assert_eq!(limit.found(8), found, "after {minutes} minutes");
    }
}

#[test]
fn what_is_not_held_back_by_it_says_nothing() {
    // Always one less than allowed, and ever slower.
    let mut limit = Limit::default();
    for n in 1..2000 {
        limit.answered(7, MINUTE + MS * 9 * n, 8, MINUTE + MS * 10 * n);
        assert_eq!(limit.most(8), 8);
    }
}

proptest! {
    #[test]
    fn it_is_never_above_the_ceiling_and_never_nothing(
        events in vec((0_usize..12, 0_u64..2000, 0_u64..90_000, 1_usize..12, 0_u8..8), 1..400),
    ) {
        let (mut limit, mut now) = (Limit::default(), MINUTE);
        for (in_flight, took, passed, ceiling, kind) in events {
            // Seldom a long time.
            now += MS * u32::try_from(if passed > 80_000 { passed } else { passed % 50 }).unwrap();
            let sent = now.saturating_sub(Duration::from_millis(took));
            match kind {
                0 => limit.halve(in_flight, sent, ceiling, now),
                1 => limit.answered(in_flight, sent, ceiling, now),
                _ => limit.answered(limit.most(ceiling), sent, ceiling, now),
            }
            for ceiling in [0, 1, ceiling, 100] {
                prop_assert!((1..=ceiling.max(1)).contains(&limit.most(ceiling)));
                prop_assert!((1..=ceiling.max(1)).contains(&limit.found(ceiling)));
            }
        }
    }
}
