//! Who leads: one Lease of the cluster, held by one replica at a time.
//!
//! A state machine that says what to ask the API server next, takes in the answer, and knows until when we lead. It rests
//! on three rules:
//!
//! - **No clock but our own.** The times that are written in a Lease are for people. Whether its holder lives is known by
//!   its changing while we watch it, so two machines whose clocks differ by a year agree all the same.
//! - **A holder stops before another starts.** We lead until [`LeaseTimes::renew_deadline`] after the last renewal that
//!   succeeded was *sent*. Another takes over [`LeaseTimes::duration`], which is longer, after it *heard* of that renewal,
//!   which was later. So nothing has to be told to a leader that is frozen, or cut off, for it to lead no longer.
//! - **One writer.** Each write holds only for the version that was read, so of two who take over at once one fails.
//!
//! Time is an argument, and must count suspend (see [`Now::elapsed`]).

use std::time::Duration;

use jiff::Timestamp;

use crate::core::model::{name::Name, time::Now};

/// How long a lease lasts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeaseTimes {
    /// A lease that has not changed for this long is free. Whole seconds: that is what a Lease can say.
    pub duration: Duration,
    /// Who could not renew it for this long does not lead any more. Less than `duration`: the rest is room for clocks that
    /// do not run equally fast, and for a write that was sent at the last moment.
    pub renew_deadline: Duration,
    /// Between two looks at it, and between two renewals. Less than `renew_deadline`.
    pub retry: Duration,
}

impl Default for LeaseTimes {
    /// Those of Kubernetes' own components.
    fn default() -> Self {
        Self {
            duration: Duration::from_secs(15),
            renew_deadline: Duration::from_secs(10),
            retry: Duration::from_secs(2),
        }
    }
}

/// What a Lease says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LeaseSpec {
    /// `holderIdentity`; empty: nobody's.
    pub holder: Name,
    /// `leaseDurationSeconds`; zero if it says none.
    pub duration: Duration,
    /// `acquireTime`, by its holder's clock; empty if it says none.
    pub acquired: Name,
    /// `renewTime`, by its holder's clock; empty if it says none.
    pub renewed: Name,
    /// `leaseTransitions`: how often it went from one to another.
    pub transitions: u32,
    /// The annotation `sidecar-drift/api`: where its holder answers those who read, as `address:port`; empty: nowhere that
    /// others can reach.
    pub api: Name,
}

/// A Lease as it was read, or as it is after we wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Lease {
    /// Its `resourceVersion`.
    pub version: Name,
    /// What it says.
    pub spec: LeaseSpec,
}

/// What to ask the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Request {
    /// Read it.
    Read,
    /// Create it: there was none.
    Create(LeaseSpec),
    /// Make it say this, if it still is of that version.
    Replace {
        /// The version that the decision was made on.
        version: Name,
        /// What it is to say.
        spec: LeaseSpec,
    },
}

/// What came of a [`Request`].
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reply {
    /// It is so now.
    Is(Lease),
    /// There is none.
    Missing,
    /// Not written: somebody else was faster.
    Conflict,
    /// No answer, or one that says nothing about the Lease. A write may have been carried out.
    Failed {
        /// One sentence.
        message: String,
    },
}

/// What to do now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Turn {
    /// Ask this, and tell what came of it by [`Election::answered`].
    Ask(Request),
    /// Nothing until then.
    Wait(Duration),
}

/// An unbroken time of leading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Tenure {
    /// Which one; each later one has a higher number. What was decided in one must not be written in another: between the
    /// two somebody else may have led.
    pub term: u64,
    /// It ends then, unless it is renewed before.
    pub until: Duration,
}

/// One replica's part in the election.
#[derive(Debug)]
pub struct Election {
    me: Name,
    /// Where the others can read what we know, while we lead; empty: nowhere.
    api: Name,
    times: LeaseTimes,
    /// The Lease as it was heard of last.
    seen: Option<Seen>,
    tenure: Option<Tenure>,
    terms: u64,
    next: Next,
    /// When `next` is to be done.
    due: Duration,
    /// When what was seen was asked for.
    asked: Duration,
    /// We are about to end.
    leaving: bool,
}

#[derive(Debug)]
struct Seen {
    /// `None`: there is none.
    lease: Option<Lease>,
    /// From then on anybody may take it, unless it changes.
    free_at: Duration,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Next {
    /// What was seen may be out of date.
    Read,
    /// What was seen may be acted on.
    Write,
}

impl Election {
    /// A candidate of this identity, which no other may have, not even the same Pod's next process.
    pub fn new(identity: Name, times: LeaseTimes) -> Self {
        Self {
            me: identity,
            api: Name::default(),
            times,
            seen: None,
            tenure: None,
            terms: 0,
            next: Next::Read,
            due: Duration::ZERO,
            asked: Duration::ZERO,
            leaving: false,
        }
    }

    /// Tells the others, while we lead, where to read what we know: `address:port`.
    #[must_use]
    pub fn reached_at(self, api: Name) -> Self {
        Self { api, ..self }
    }

    /// Whether we lead at this moment, and until when at least. By the clock and not by what was done: to be asked again
    /// right before whatever only a leader may do.
    pub fn tenure(&self, now: Duration) -> Option<Tenure> {
        self.tenure.filter(|tenure| now < tenure.until && !self.leaving)
    }

    /// Who holds the Lease as it was heard of last.
    pub fn holder(&self) -> Option<&Name> {
        self.held().map(|spec| &spec.holder)
    }

    /// What the Lease said last, if somebody holds it.
    pub fn held(&self) -> Option<&LeaseSpec> {
        let lease = self.seen.as_ref()?.lease.as_ref()?;
        Some(&lease.spec).filter(|spec| !spec.holder.is_empty())
    }

    /// What to do now. One request at a time: the next one only after the answer to the last.
    pub fn turn(&self, now: Now) -> Turn {
        if now.elapsed < self.due {
            return Turn::Wait(self.due);
        }
        match &self.seen {
            // Unless we were frozen in between: then it is somebody else's turn, most likely.
            Some(seen) if self.next == Next::Write && now.elapsed < self.asked + self.times.renew_deadline => {
                Turn::Ask(self.claim(seen.lease.as_ref(), now.wall))
            }
            _ => Turn::Ask(Request::Read),
        }
    }

    /// Takes in what came of a request that was sent at `sent` and answered, or given up, at `now`.
    pub fn answered(&mut self, request: &Request, sent: Duration, reply: Reply, now: Duration) {
        let again = sent + self.times.retry;
        let lease = match reply {
            Reply::Is(lease) => Some(lease),
            Reply::Missing if *request == Request::Read => None,
            // A conflict is read at the next turn and not at once, so that two who write by turns leave each other time.
            Reply::Missing | Reply::Conflict | Reply::Failed { .. } => {
                (self.next, self.due) = (Next::Read, again);
                return;
            }
        };
        self.asked = sent;
        let ours = self.observe(lease, now);
        if !ours {
            self.tenure = None;
        }
        if *request != Request::Read && ours {
            // From when it was sent: until then nobody can have heard of it, so nobody counts from an earlier moment.
            let until = sent + self.times.renew_deadline;
            let unbroken = self.tenure(now).map(|tenure| tenure.term);
            let term = unbroken.unwrap_or_else(|| {
                self.terms += 1;
                self.terms
            });
            self.tenure = Some(Tenure { term, until });
            (self.next, self.due) = (Next::Write, again);
        } else if self.seen.as_ref().is_some_and(|seen| seen.free_at <= now) {
            (self.next, self.due) = (Next::Write, now);
        } else {
            (self.next, self.due) = (Next::Read, again);
        }
    }

    /// Leads no longer, and gives the Lease back, if it is ours: what is returned is to be asked. Should that fail, this may
    /// be asked again after the Lease was read.
    pub fn release(&mut self, now: Duration) -> Option<Request> {
        self.leaving = true;
        // One that has run out may be another's by now.
        self.tenure.filter(|tenure| now < tenure.until)?;
        let Lease { version, spec } =
            self.seen.as_ref()?.lease.as_ref().filter(|lease| lease.spec.holder == self.me)?;
        // Others that read such a lease (client-go's do) want a duration above zero.
        let spec = LeaseSpec {
            holder: Name::default(),
            duration: Duration::from_secs(1),
            api: Name::default(),
            ..spec.clone()
        };
        Some(Request::Replace { version: version.clone(), spec })
    }

    /// Takes in how the Lease is now; whether it is ours.
    fn observe(&mut self, lease: Option<Lease>, now: Duration) -> bool {
        let ours = lease.as_ref().is_some_and(|lease| lease.spec.holder == self.me);
        let last = self.seen.take();
        let known = |seen: &Seen| seen.lease.as_ref().map(|l| &l.spec) == lease.as_ref().map(|l| &l.spec);
        let held = |lease: &Lease| !lease.spec.holder.is_empty();
        let free_at = match (&lease, last) {
            // Only its version is another: somebody put a label on it, and its holder has not been heard of.
            (_, Some(last)) if known(&last) => last.free_at,
            // Ours may be the longer one: then its holder promised less than we are used to, and waiting longer is safe.
            (Some(lease), _) if held(lease) && !ours => now + lease.spec.duration.max(self.times.duration),
            // Somebody deleted it. Who held it last may not know that yet, and be another than we have heard of.
            (None, Some(last)) if last.lease.as_ref().is_some_and(held) && self.tenure(now).is_none() => {
                now + self.times.duration
            }
            _ => now,
        };
        self.seen = Some(Seen { lease, free_at });
        ours
    }

    /// The write that makes it ours, or keeps it so.
    fn claim(&self, lease: Option<&Lease>, wall: Timestamp) -> Request {
        let at = micro_time(wall);
        let mut spec = LeaseSpec {
            holder: self.me.clone(),
            duration: self.times.duration,
            acquired: at.clone(),
            renewed: at,
            transitions: 0,
            api: self.api.clone(),
        };
        let Some(Lease { version, spec: last }) = lease else { return Request::Create(spec) };
        if last.holder == self.me {
            spec.acquired = last.acquired.clone();
            spec.transitions = last.transitions;
        } else {
            spec.transitions = last.transitions.saturating_add(1);
        }
        Request::Replace { version: version.clone(), spec }
    }
}

/// As Kubernetes writes a `MicroTime`: RFC 3339 with six decimals.
fn micro_time(at: Timestamp) -> Name {
    at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string().into()
}

#[cfg(test)]
mod tests;
