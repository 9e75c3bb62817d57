//! Asking for renderings: who is next, what is asked, and what came back.

use std::{
    collections::{BTreeMap, BTreeSet, HashMap},
    time::Duration,
};

use super::{
    budget::TokenBucket,
    queue::{Priority, RenderQueue},
    render_throttle::{self, Limits, RenderThrottle, SendPermit, SentRendering},
};
use crate::core::{
    compare::RenderedFor,
    config::Policy,
    injection::{Scope, VersionVector, View, entries_of, exchanged},
    inventory::{Index, Pod, PodClass, Revision, revisions},
    io::{Confirmation, Effect, Notice, Outbox, RenderOutcome, RenderReply, RenderRequest, WorkloadRef},
    model::{Name, WorkloadKey, WorkloadSnapshot, owner::Kind, time::Now, words::UndeterminedReason},
};

/// A workload whose history could not be read is read again after this long.
const READ_AGAIN: Duration = Duration::from_secs(5);

/// Who waits for the exchange of an injector is looked at again after this long.
const HELD: Duration = Duration::from_secs(5);

/// Fewer templates are read one by one.
const FEW: usize = 3;

/// Workloads that one step lets others pass.
const PASSED: usize = 64;

/// What is wanted of the API server for a workload, so that its verdict gets better.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Nothing, also nothing that was wanted before; what a rollout waits for stays.
    Nothing,
    /// A rendering, not before then.
    Render(Duration, Priority),
    /// A rendering once what moved has settled, not before then; what keeps moving does not put it off for ever.
    Settle(Duration, Priority),
    /// The periodic look, then.
    Periodic(Duration),
}

/// What a rollout needs of a rendering of its workload.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Need {
    /// A rollout is under way.
    pub rollout: bool,
    /// It waits for one more rendering.
    pub confirmation: bool,
    /// The workload's history is to be read with it.
    pub history: bool,
}

/// A request under way.
#[derive(Clone, Debug)]
pub struct Asked {
    ticket: u64,
    /// What was asked for: the object that holds the template.
    pub revision: Name,
    /// Under what.
    pub versions: VersionVector,
    /// For a rollout that is about to take its next step.
    pub confirm: bool,
}

/// An answer that somebody still waits for.
#[derive(Debug)]
pub struct Answered {
    /// Whose.
    pub key: WorkloadKey,
    /// What was asked.
    pub asked: Asked,
    /// What came of it.
    pub outcome: RenderOutcome,
    /// The workload as it was read with it, and its history.
    pub confirmation: Option<Box<Confirmation>>,
}

/// Tells whom the newest rendering of a revision is for.
pub(super) type LastRendered<'a> = &'a dyn Fn(&WorkloadKey, &Name) -> RenderedFor;

/// What could not be sent.
#[derive(Debug, Default)]
pub struct Unsent {
    /// Workloads whose injector is too slow to be asked now.
    pub throttled: Vec<WorkloadKey>,
    /// Workloads that a rollout waits for, and that have nothing that could be rendered.
    pub nothing_to_render: Vec<WorkloadKey>,
}

/// The queue of workloads that want a rendering, the budget, and what is under way.
#[derive(Debug)]
pub struct Renders {
    queue: RenderQueue,
    /// Workloads in the queue of which not the current revision is wanted, but this one.
    older: BTreeMap<WorkloadKey, Name>,
    /// Workloads in the queue whose templates were named to be read together with another's.
    read_ahead: BTreeSet<WorkloadKey>,
    render_tokens: TokenBucket,
    /// How fast each injector may be asked.
    throttle: RenderThrottle,
    /// Requests whose answer is outstanding, also those that nobody waits for any more.
    in_flight: HashMap<u64, (WorkloadKey, SentRendering)>,
    /// What each workload waits for.
    pending: BTreeMap<WorkloadKey, Asked>,
    /// Renderings wait for others to come back.
    at_inflight_limit: bool,
    /// Renderings asked for since the start.
    total: u64,
}

impl Renders {
    /// With a full budget.
    pub fn new(policy: &Policy, now: Now) -> Self {
        Self {
            queue: RenderQueue::default(),
            older: BTreeMap::new(),
            read_ahead: BTreeSet::new(),
            render_tokens: TokenBucket::full(policy.renders_per_second, policy.render_burst.max(1), now.elapsed),
            throttle: RenderThrottle::default(),
            in_flight: HashMap::new(),
            pending: BTreeMap::new(),
            at_inflight_limit: false,
            total: 0,
        }
    }

    /// Another configuration holds from here on. The budget begins with nothing, so that nobody gets more by changing it
    /// often.
    pub fn reload(&mut self, policy: &Policy, now: Now) {
        self.render_tokens = TokenBucket::empty(policy.renders_per_second, policy.render_burst.max(1), now.elapsed);
    }

    /// Takes the answer to a rendering in; `None`: nobody waits for it any more.
    pub fn take(&mut self, reply: RenderReply, policy: &Policy, now: Now, out: &mut Outbox) -> Option<Answered> {
        let RenderReply { ticket, took, outcome, confirmation } = reply;
        let (sent, most) = (self.in_flight.remove(&ticket), policy.renders_in_flight);
        if let Some((_, sent)) = &sent {
            for scope in self.throttle.came_back(sent, took, most, now.elapsed) {
                let seconds = render_throttle::REST.as_secs();
                out.notify(Notice::InjectorSlow { scope: scope.to_string(), seconds });
            }
        }
        if let RenderOutcome::Undetermined { reason: UndeterminedReason::Throttled, retry_after, .. } = &outcome {
            let at = sent.as_ref().map_or(now.elapsed, |(_, sent)| sent.sent);
            self.throttle.refused(*retry_after, at, most, now.elapsed);
        }
        for (scope, limit) in self.throttle.take_news() {
            out.notify(Notice::RenderLimit { scope: scope.map(|scope| scope.to_string()), limit });
        }
        let (key, _) = sent?;
        let asked = self.pending.get(&key).is_some_and(|asked| asked.ticket == ticket);
        let asked = if asked { self.pending.remove(&key) } else { None }?;
        Some(Answered { key, asked, outcome, confirmation })
    }

    /// Takes a wish in, for a revision that is not the current one, if one is given. As long as an answer is outstanding nothing
    /// else is asked for: that decides what is wanted next.
    pub fn wish(&mut self, key: &WorkloadKey, wish: Wish, revision: Option<&Name>, now: Now) {
        let asking = self.is_pending(key);
        match revision.filter(|_| wish != Wish::Nothing && !asking) {
            Some(revision) => drop(self.older.insert(key.clone(), revision.clone())),
            None => drop(self.older.remove(key)),
        }
        match wish {
            Wish::Nothing => self.queue.drop_wish(key),
            Wish::Render(due, priority) if !asking => {
                self.queue.schedule(key, due.max(now.elapsed), priority, now.elapsed);
            }
            Wish::Settle(due, priority) if !asking => {
                self.queue.settle(key, due.max(now.elapsed), priority, now.elapsed);
            }
            Wish::Periodic(due) if !asking => self.queue.schedule(key, due, Priority::Periodic, now.elapsed),
            Wish::Render(..) | Wish::Settle(..) | Wish::Periodic(_) => {}
        }
    }

    /// A rollout waits for a rendering, not before then.
    pub fn confirm(&mut self, key: &WorkloadKey, at: Duration, now: Now) {
        self.queue.schedule(key, at, Priority::Confirm, now.elapsed);
    }

    /// The workload is gone, or not looked at any more: nothing of it is wanted, and its answer will mean nothing.
    pub fn forget(&mut self, key: &WorkloadKey) {
        self.queue.cancel(key);
        self.older.remove(key);
        self.read_ahead.remove(key);
        self.pending.remove(key);
    }

    /// An injector is gone.
    pub fn forget_scope(&mut self, scope: &Scope) {
        self.throttle.forget(scope);
    }

    /// Sends as many renderings as the budget and the injectors allow. `need` tells what rollouts need.
    ///
    /// `last` tells whom the newest rendering of a revision is for: the next one of it is for another Pod, as far as there are Pods
    /// that differ (rule R3).
    pub fn send(
        &mut self,
        view: View<'_>,
        need: &dyn Fn(&WorkloadKey) -> Need,
        last: LastRendered<'_>,
        out: &mut Outbox,
    ) -> Unsent {
        let mut unsent = Unsent::default();
        let now = view.now;
        // What is waited for next is no answer then: there may be none under way.
        self.at_inflight_limit = false;
        if self.throttle.resumes(now.elapsed).is_some() {
            return unsent;
        }
        // Those whose injector is busy let others pass, but not without end: each step should be short.
        let (mut patience, mut held, most) = (PASSED, 0, view.policy.renders_in_flight);
        while held < PASSED
            && unsent.throttled.len() < PASSED
            && !self.throttle.is_at_limit(most)
            && self.queue.next_due(now.elapsed).is_some_and(|due| due <= now.elapsed)
            && self.render_tokens.ready(now.elapsed).is_ok()
        {
            let Self { queue, throttle, .. } = self;
            let permit = |key: &WorkloadKey| {
                let versions = view.versions_of(view.index.workload(key)?);
                Some((throttle.permit(&versions, most, now.elapsed), versions))
            };
            let may = |key: &WorkloadKey| permit(key).is_none_or(|(permit, _)| permit != SendPermit::Busy);
            let Some((key, priority)) = queue.pop(now.elapsed, &mut patience, may) else { break };
            let needed = need(&key);
            if view.lifecycle.stopping && !needed.rollout {
                continue;
            }
            // Rule R9. A verdict wants nothing then, and wants it again at the end; a sample or a probe comes from elsewhere.
            if !needed.rollout && is_held(&key, view) {
                self.queue.schedule(&key, now.elapsed + HELD, priority, now.elapsed);
                held += 1;
                continue;
            }
            match permit(&key) {
                None | Some((SendPermit::Busy, _)) => {}
                Some((SendPermit::Go, versions)) => {
                    self.request(&key, priority, versions, (needed, last), view, &mut unsent, out);
                }
                Some((SendPermit::Slow(until), _)) => {
                    self.queue.schedule(&key, until, priority, now.elapsed);
                    unsent.throttled.push(key);
                }
            }
        }
        // Something is in flight, and its answer is the next occasion.
        self.at_inflight_limit = self.throttle.is_at_limit(most) || patience < PASSED;
        unsent
    }

    #[expect(clippy::too_many_arguments, reason = "one request is made of all of these")]
    fn request(
        &mut self,
        key: &WorkloadKey,
        priority: Priority,
        versions: VersionVector,
        (need, last): (Need, LastRendered<'_>),
        view: View<'_>,
        unsent: &mut Unsent,
        out: &mut Outbox,
    ) {
        let View { policy, index, now, .. } = view;
        let confirm = need.confirmation || need.history;
        if self.is_pending(key) {
            return; // Its answer decides whether another one is wanted.
        }
        // A rollout is for the current revision.
        let older = self.older.remove(key).filter(|_| !confirm);
        let wanted = index.workload(key).and_then(|workload| {
            let mut all = revisions(workload, index);
            let at = all.iter().position(|revision| Some(&revision.name) == older.as_ref()).unwrap_or(0);
            let wanted = (at < all.len()).then(|| all.swap_remove(at))?;
            let may_have = policy.all_workloads || need.history || workload.counts.desired > 0;
            (may_have || !wanted.classes.is_empty()).then_some((workload, wanted))
        });
        let Some((workload, Revision { name: revision, classes })) = wanted else {
            if need.confirmation {
                unsent.nothing_to_render.push(key.clone());
            } else if need.history {
                self.queue.schedule(key, now.elapsed + READ_AGAIN, Priority::Confirm, now.elapsed);
            }
            return;
        };
        let last = last(key, &revision);
        let sample = classes.iter().filter_map(PodClass::youngest).map(|pod| &pod.key.name).min().cloned();
        let ordinals = (key.kind.row().ordinals)
            .then(|| ordinals(&key.name, index.pods_of(workload).iter().map(|p| &p.key.name)))
            .flatten();
        let timeouts = entries_of(workload, index).map(|(_, entry)| entry.timeout_seconds);
        let timeout = timeouts.filter(|seconds| *seconds > 0).min();
        let timeout = timeout.map_or(render_throttle::DEFAULT_TIMEOUT, |seconds| Duration::from_secs(seconds.into()));
        let together = if confirm || older.is_some() { Vec::new() } else { self.together(key, priority, view) };
        let ticket = out.ticket();
        self.throttle.sent(&versions);
        let sent = SentRendering { versions: versions.clone(), timeout, sent: now.elapsed };
        self.in_flight.insert(ticket, (key.clone(), sent));
        self.pending.insert(key.clone(), Asked { ticket, revision: revision.clone(), versions, confirm });
        // One budget for all: a confirmation is one more dry run.
        _ = self.render_tokens.take(now.elapsed);
        self.total += 1;
        out.push(Effect::Render(RenderRequest {
            ticket,
            workload: WorkloadRef { key: key.clone(), uid: workload.uid.clone() },
            revision,
            ordinals,
            other_than: last.ordinal,
            node: if key.kind == Kind::DAEMON_SET { node(workload, last.node.as_ref(), index) } else { None },
            sample: sample.filter(|_| key.kind.described().is_some() && key.kind.has_template_only()),
            confirm,
            together,
            fields: policy.fields,
            what_if: policy.what_if.clone(),
        }));
    }

    /// The templates of Deployments that are asked for right after this one, unless they were named to be read already.
    fn together(&mut self, key: &WorkloadKey, priority: Priority, view: View<'_>) -> Vec<Name> {
        if self.read_ahead.remove(key) || key.kind != Kind::DEPLOYMENT {
            return Vec::new();
        }
        let hash = |key: &WorkloadKey| {
            let newest = view.index.newest_replica_set(view.index.workload(key)?)?;
            (!newest.hash.is_empty()).then(|| newest.hash.clone())
        };
        let next = self.queue.rest_of_turn(key, priority).filter(|next| next.kind == Kind::DEPLOYMENT);
        let next: Vec<_> = next.filter_map(|next| Some((next.clone(), hash(next)?))).collect();
        if next.len() < FEW {
            return Vec::new();
        }
        let own = hash(key);
        let (keys, hashes): (Vec<_>, Vec<_>) = next.into_iter().unzip();
        self.read_ahead.extend(keys);
        own.into_iter().chain(hashes).collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// When the next rendering can be sent, as far as time decides; `None`: an answer is waited for, or nothing is wanted.
    pub fn next_send(&mut self, now: Now) -> Option<Duration> {
        if self.at_inflight_limit {
            return None;
        }
        let due = self.queue.next_due(now.elapsed)?;
        let due = self.render_tokens.ready(now.elapsed).err().map_or(due, |token| due.max(token));
        Some(self.throttle.resumes(now.elapsed).map_or(due, |until| due.max(until)))
    }

    /// Whether an answer is outstanding that this workload waits for.
    pub fn is_pending(&self, key: &WorkloadKey) -> bool {
        self.pending.contains_key(key)
    }

    /// Whether a rendering of this workload is asked for, or will be soon.
    pub fn awaits(&self, key: &WorkloadKey) -> bool {
        self.is_pending(key) || self.queue.wants(key)
    }

    /// When this workload is asked for next.
    pub fn due(&self, key: &WorkloadKey) -> Option<Duration> {
        self.queue.due(key)
    }

    /// Whether no answer is outstanding at all.
    pub fn is_idle(&self) -> bool {
        self.in_flight.is_empty()
    }

    /// Renderings asked for since the start.
    pub fn total(&self) -> u64 {
        self.total
    }

    /// How many workloads wait for a rendering, and how long the one that has waited longest is overdue.
    pub fn queued(&self, now: Now) -> (usize, Duration) {
        (self.queue.len(), self.queue.overdue(now.elapsed))
    }

    /// How many renderings may be in flight, as far as is known.
    pub fn limits(&self, policy: &Policy) -> Limits {
        self.throttle.limits(policy.renders_in_flight)
    }

    /// Entries of every map: what must not grow with what is gone.
    #[cfg(test)]
    pub fn sizes(&self) -> [usize; 5] {
        [self.queue.entries(), self.older.len(), self.read_ahead.len(), self.in_flight.len(), self.pending.len()]
    }
}

/// Whether the backends of an injector that may touch this workload's Pods are mixed.
fn is_held(key: &WorkloadKey, view: View<'_>) -> bool {
    view.index.workload(key).is_some_and(|workload| exchanged(workload, view.index).is_some())
}

/// The Node of one of a DaemonSet's living Pods, if possible another one than this; without any Pod a Node that is there.
fn node(workload: &WorkloadSnapshot, last: Option<&Name>, index: &Index) -> Option<Name> {
    let living = index.pod_classes_of(workload).filter(|class| !class.state.terminating && !class.state.finished);
    let nodes: BTreeSet<_> = living.flat_map(|class| class.pods()).filter_map(Pod::node).collect();
    let another = nodes.iter().find(|node| Some(**node) != last).or(nodes.first());
    another.copied().or_else(|| index.any_node()).cloned()
}

/// The lowest and the highest ordinal among a StatefulSet's Pods.
fn ordinals<'a>(set: &str, pods: impl Iterator<Item = &'a Name>) -> Option<(u32, u32)> {
    let ordinals = pods.filter_map(|name| name.strip_prefix(set)?.strip_prefix('-')?.parse::<u32>().ok());
    ordinals.fold(None, |range, n| Some(range.map_or((n, n), |(low, high): (u32, u32)| (low.min(n), high.max(n)))))
}
