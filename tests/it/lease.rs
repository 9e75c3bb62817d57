//! Three replicas, a server and a bad day: requests that take long, are lost or arrive after they were given up, replicas
//! that freeze, and clocks that agree neither on the time nor on its speed. Never do two lead at one moment.

use std::{
    cmp::Reverse,
    collections::{BTreeMap, BTreeSet, BinaryHeap},
    time::Duration,
};

use jiff::{SignedDuration, Timestamp};
use proptest::{collection::vec, prelude::*, strategy::ValueTree};
use sidecar_drift::core::model::{
    lease::{Election, Lease, LeaseSpec, LeaseTimes, Reply, Request, Turn},
    time::Now,
};

/// True time, in milliseconds, which nobody in here knows.
type Millis = u64;

/// A request is given up after this.
const GIVEN_UP: Millis = 5_000;

/// What becomes of a request: milliseconds to the server and back, and what else happens.
type Fate = (u16, u16, Fault);

#[derive(Clone, Copy, Debug)]
enum Fault {
    None,
    LostOnTheWay,
    AnswerLost,
    /// The replica freezes for this long, as soon as the request is on its way.
    Freeze(u16),
    /// Somebody deletes the Lease.
    Deleted,
    /// Somebody puts a label on it.
    Labelled,
}

/// How far a replica's clocks are off, and how fast they run, in percent.
type Clock = (u32, i32, u64);

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Event {
    /// This replica's turn.
    Turn(usize),
    /// This request reaches the server.
    Arrives(usize),
    /// The answer to this request reaches its replica.
    Answered(usize),
    /// This request is given up.
    GivenUp(usize),
}

struct Flight {
    by: usize,
    request: Request,
    sent: Duration,
    back: Millis,
    answer_lost: bool,
    answer: Option<Reply>,
    /// It was answered, or given up.
    over: bool,
}

struct Replica {
    election: Election,
    clock: Clock,
    frozen_until: Millis,
}

struct World {
    now: Millis,
    events: BinaryHeap<Reverse<(Millis, Event)>>,
    replicas: Vec<Replica>,
    flights: BTreeMap<usize, Flight>,
    sent: usize,
    lease: Option<Lease>,
    version: u64,
    fates: std::vec::IntoIter<Fate>,
    /// Who led at any moment.
    led: BTreeSet<usize>,
}

impl World {
    fn new(clocks: &[Clock], times: LeaseTimes, fates: Vec<Fate>) -> Self {
        let replicas = clocks.iter().enumerate().map(|(number, clock)| Replica {
            election: Election::new(format!("replica-{number}").into(), times),
            clock: *clock,
            frozen_until: 0,
        });
        let mut world = Self {
            now: 0,
            events: BinaryHeap::new(),
            replicas: replicas.collect(),
            flights: BTreeMap::new(),
            sent: 0,
            lease: None,
            version: 0,
            fates: fates.into_iter(),
            led: BTreeSet::new(),
        };
        for number in 0..clocks.len() {
            world.at(0, Event::Turn(number));
        }
        world
    }

    fn at(&mut self, when: Millis, event: Event) {
        self.events.push(Reverse((when, event)));
    }

    /// What a replica's clocks show.
    fn local(&self, number: usize) -> Now {
        let (ahead, years, speed) = self.replicas[number].clock;
        let elapsed = Duration::from_millis(u64::from(ahead) + self.now * speed / 100);
        // Where it is set back it runs backwards: nothing but that it moves may matter.
        let moved = SignedDuration::try_from(elapsed).expect("a span") * if years < 0 { -1 } else { 1 };
        let off = SignedDuration::from_hours(i64::from(years) * 8760) + moved;
        Now { elapsed, wall: Timestamp::from_millisecond(1_800_000_000_000).expect("a time") + off }
    }

    /// Who leads at this moment, by its own clock.
    fn leaders(&self) -> Vec<usize> {
        let leads = |number: &usize| self.replicas[*number].election.tenure(self.local(*number).elapsed).is_some();
        (0..self.replicas.len()).filter(leads).collect()
    }

    /// Lets time pass until nothing bad will happen any more, and a while longer; the first moment at which two lead.
    fn run(&mut self) -> Option<Millis> {
        let mut end = None;
        while let Some(Reverse((when, event))) = self.events.pop() {
            let by = match event {
                Event::Turn(number) => Some(number),
                Event::Answered(flight) | Event::GivenUp(flight) => self.flights.get(&flight).map(|flight| flight.by),
                Event::Arrives(_) => None,
            };
            let thaws = by.map_or(0, |number| self.replicas[number].frozen_until);
            if thaws > when {
                self.at(thaws, event);
                continue;
            }
            self.now = when;
            self.happens(&event);
            let leaders = self.leaders();
            self.led.extend(&leaders);
            if leaders.len() > 1 {
                return Some(self.now);
            }
            if self.fates.len() == 0 && when > *end.get_or_insert(when + 120_000) {
                return None;
            }
        }
        unreachable!("there is always a next turn");
    }

    fn happens(&mut self, event: &Event) {
        match *event {
            Event::Turn(number) => self.turn(number),
            Event::Arrives(flight) => {
                let Some(request) = self.flights.get(&flight).map(|flight| flight.request.clone()) else { return };
                let reply = self.serve(&request);
                let Some(flown) = self.flights.get_mut(&flight) else { return };
                flown.answer = Some(reply);
                let (back, lost) = (flown.back, flown.answer_lost);
                if !lost {
                    self.at(self.now + back, Event::Answered(flight));
                }
            }
            Event::Answered(flight) => {
                let answer = self.flights.get_mut(&flight).and_then(|flight| flight.answer.take());
                if let Some(answer) = answer {
                    self.answered(flight, answer);
                }
            }
            // A request that is given up may be carried out all the same.
            Event::GivenUp(flight) => self.answered(flight, Reply::Failed { message: "no answer".to_owned() }),
        }
    }

    fn turn(&mut self, number: usize) {
        let now = self.local(number);
        match self.replicas[number].election.turn(now) {
            Turn::Wait(until) => {
                let speed = self.replicas[number].clock.2;
                let wait =
                    u64::try_from(until.saturating_sub(now.elapsed).as_millis()).expect("not for ever") * 100 / speed;
                self.at(self.now + wait.max(1), Event::Turn(number));
            }
            Turn::Ask(request) => {
                let (out, back, fault) = self.fates.next().unwrap_or((10, 10, Fault::None));
                let flight = self.sent;
                self.sent += 1;
                match fault {
                    Fault::Freeze(millis) => self.replicas[number].frozen_until = self.now + u64::from(millis),
                    Fault::Deleted => self.lease = None,
                    Fault::Labelled => {
                        self.version += 1;
                        self.lease.iter_mut().for_each(|lease| lease.version = self.version.to_string().into());
                    }
                    Fault::None | Fault::LostOnTheWay | Fault::AnswerLost => {}
                }
                if !matches!(fault, Fault::LostOnTheWay) {
                    self.at(self.now + u64::from(out), Event::Arrives(flight));
                }
                self.at(self.now + GIVEN_UP, Event::GivenUp(flight));
                let answer_lost = matches!(fault, Fault::AnswerLost);
                let (sent, back) = (now.elapsed, u64::from(back));
                let flown = Flight { by: number, request, sent, back, answer_lost, answer: None, over: false };
                self.flights.insert(flight, flown);
            }
        }
    }

    fn answered(&mut self, flight: usize, answer: Reply) {
        // Of an answer and the giving up only the first counts.
        let Some(flown) = self.flights.get_mut(&flight).filter(|flight| !flight.over) else { return };
        flown.over = true;
        let (by, request, sent) = (flown.by, flown.request.clone(), flown.sent);
        let now = self.local(by).elapsed;
        self.replicas[by].election.answered(&request, sent, answer, now);
        self.at(self.now, Event::Turn(by));
    }

    /// As the API server does: what is written holds for the version that was read.
    fn serve(&mut self, request: &Request) -> Reply {
        let write = |world: &mut Self, spec: &LeaseSpec| {
            world.version += 1;
            let lease = Lease { version: world.version.to_string().into(), spec: spec.clone() };
            world.lease = Some(lease.clone());
            Reply::Is(lease)
        };
        match (request, self.lease.clone()) {
            (Request::Read, Some(lease)) => Reply::Is(lease),
            (Request::Read | Request::Replace { .. }, None) => Reply::Missing,
            (Request::Create(spec), None) => write(self, spec),
            (Request::Replace { version, spec }, Some(lease)) if lease.version == *version => write(self, spec),
            (Request::Create(_) | Request::Replace { .. }, Some(_)) => Reply::Conflict,
        }
    }
}

fn fate() -> impl Strategy<Value = Fate> {
    let fault = prop_oneof![
        12 => Just(Fault::None),
        2 => Just(Fault::LostOnTheWay),
        2 => Just(Fault::AnswerLost),
        2 => (1_000_u16..40_000).prop_map(Fault::Freeze),
        1 => Just(Fault::Labelled),
    ];
    let millis = || prop_oneof![4 => 1_u16..200, 1 => 200_u16..9_000];
    (millis(), millis(), fault)
}

/// Clocks that are up to twelve days and fifty years off, and 8 % too fast or too slow.
fn clocks() -> impl Strategy<Value = Vec<Clock>> {
    vec((0_u32..1_000_000_000, -50_i32..50, 92_u64..=108), 3)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn two_never_lead_at_once(clocks in clocks(), fates in vec(fate(), 20..200)) {
        let mut world = World::new(&clocks, LeaseTimes::default(), fates);
        prop_assert_eq!(world.run(), None);
        // And when all is well, one does.
        prop_assert_eq!(world.leaders().len(), 1);
    }

    #[test]
    fn not_even_if_somebody_deletes_the_lease(clocks in clocks(), fates in vec(fate(), 20..200), when in 0_usize..200) {
        // All have seen it held before: who comes after that cannot know.
        let quiet = vec![(10, 10, Fault::None); 12];
        let mut fates = [quiet, fates].concat();
        let when = 12 + when % (fates.len() - 12);
        fates[when].2 = Fault::Deleted;
        let mut world = World::new(&clocks, LeaseTimes::default(), fates);
        prop_assert_eq!(world.run(), None);
        prop_assert_eq!(world.leaders().len(), 1);
    }
}

/// The world is bad enough: with a holder that believes in itself for longer than others wait, two do lead at once.
#[test]
fn a_holder_that_believes_in_itself_for_too_long_is_found_out() {
    let runner = &mut proptest::test_runner::TestRunner::deterministic();
    let times = LeaseTimes { renew_deadline: Duration::from_secs(25), ..LeaseTimes::default() };
    let both = (0..200).filter(|_| {
        let tree = (clocks(), vec(fate(), 20..200)).new_tree(runner).expect("a case");
        let (clocks, fates) = tree.current();
        World::new(&clocks, times, fates).run().is_some()
    });
    assert!(both.count() > 20);
}

/// And not so bad that nothing happens in it: leadership goes from one to another.
#[test]
fn leadership_moves() {
    let runner = &mut proptest::test_runner::TestRunner::deterministic();
    let moved = (0..200).filter(|_| {
        let tree = (clocks(), vec(fate(), 100..200)).new_tree(runner).expect("a case");
        let (clocks, fates) = tree.current();
        let mut world = World::new(&clocks, LeaseTimes::default(), fates);
        world.run();
        world.led.len() > 1
    });
    assert!(moved.count() > 50);
}
