//! What the API server answers, and what the daemon makes of it.

use std::time::Duration;

use anyhow::Result;
use sidecar_drift::core::{
    compare::Rendering,
    io::{
        AlertsAnswer, AlertsReply, Confirmation, Input, PatchOutcome, PatchReply, PatchRequest, RenderOutcome,
        RenderReply, RenderRequest, StateRecord, WatchKind,
    },
    model::{Name, words::UndeterminedReason},
};

use super::{
    cluster::{Template, Workload},
    injection::{Answer, Asked, Content, Down, trouble},
    process::LEASE,
    truth::{Behind, Write},
    world::{Call, Event, World},
};

/// A request that nobody answers is given up after this long.
const TIMEOUT: Duration = Duration::from_secs(10);

impl World {
    pub(super) fn call(&mut self, place: usize, call: Call) -> Result<()> {
        match call {
            Call::Hears(input) => self.hear(place, *input)?,
            Call::Watch(source, events) => {
                for event in events {
                    self.hear(place, Input::Watch { source: source.clone(), event })?;
                }
            }
            Call::Relists(source) => {
                let at = self.at;
                let cut = self.process(place).is_some_and(|p| p.is_partitioned(at)) || self.troubles.down;
                if cut {
                    self.later(place, (800, 5000), Call::Relists(source));
                } else {
                    self.relist(place, &source);
                }
            }
            Call::Wakes(at) => {
                let Some(process) = self.process(place) else { return Ok(()) };
                if process.wake == Some(at) {
                    process.wake = None;
                    self.hear(place, Input::Timer)?;
                }
            }
            Call::Resumes => self.resume(place)?,
            Call::Elects => self.elect(place)?,
            Call::Renews(sent) => self.renew(place, sent)?,
            Call::Renders(request, sent) => self.render(place, &request, sent),
            Call::Reads(request) => self.read_for_patch(place, request),
            Call::Patches(request) => self.patch(place, &request)?,
            Call::SendsEviction(request) => self.send_eviction(place, request),
            Call::Evicts(request) => self.evict(place, &request)?,
            Call::WritesState(record) => self.write_state(place, *record),
            Call::HearsOfState => self.hear_of_state(place),
            Call::Probes => {
                let refused = !self.troubles.no_guard && !self.lost(place);
                self.reply(place, Input::Guard(refused));
            }
            Call::AsksAlerts(ticket) => self.answer_alerts(place, ticket),
        }
        Ok(())
    }

    fn answer_alerts(&mut self, place: usize, ticket: u64) {
        let cut = self.processes[place].as_ref().is_some_and(|p| p.is_partitioned(self.at));
        if cut || self.troubles.prometheus_down {
            let answer = AlertsAnswer::Unknown { message: "no connection".to_owned() };
            return self.reply_late(place, Input::Alerts(AlertsReply { ticket, answer }));
        }
        let names = if self.troubles.alert_fires { ["DiskFull".into()].into() } else { [].into() };
        self.reply(place, Input::Alerts(AlertsReply { ticket, answer: AlertsAnswer::Firing(names) }));
    }

    /// No request of this process arrives now.
    pub(super) fn lost(&self, place: usize) -> bool {
        let cut = self.processes[place].as_ref().is_some_and(|p| p.is_partitioned(self.at));
        cut || self.troubles.down
    }

    pub(super) fn reply(&mut self, place: usize, input: Input) {
        self.later(place, (5, 100), Call::Hears(Box::new(input)));
    }

    pub(super) fn reply_late(&mut self, place: usize, input: Input) {
        let at = self.at + TIMEOUT;
        self.later_at(place, at, Call::Hears(Box::new(input)));
    }

    // Dry runs -------------------------------------------------------------------------------------------------------

    fn render(&mut self, place: usize, request: &RenderRequest, sent: Duration) {
        let took = self.at.saturating_sub(sent);
        let key = &request.workload.key;
        if self.lost(place) {
            let outcome = trouble(UndeterminedReason::ApiError);
            let reply = RenderReply { ticket: request.ticket, took: took + TIMEOUT, outcome, confirmation: None };
            return self.reply_late(place, Input::Rendered(Box::new(reply)));
        }
        let outcome = self.rendering(request);
        let there = self.cluster.workload(key).filter(|w| w.uid == request.workload.uid);
        let read = request.confirm && !(self.troubles.replies_lost && self.random.percent(50));
        let confirmation = there.filter(|_| read).map(|workload| {
            Box::new(Confirmation {
                workload: workload.clone(),
                history: self.cluster.history(key),
                templates: self.cluster.templates(key),
            })
        });
        if confirmation.is_some() {
            let world = (&self.cluster, &self.injector);
            self.truth.confirmed(place, key, world, self.at);
        }
        let confirmation = self.tamper.confirmation(confirmation);
        let reply = RenderReply { ticket: request.ticket, took, outcome, confirmation };
        self.reply(place, Input::Rendered(Box::new(reply)));
    }

    fn rendering(&mut self, request: &RenderRequest) -> RenderOutcome {
        let key = &request.workload.key;
        let there = self.cluster.workload(key).is_some_and(|w| w.uid == request.workload.uid);
        let known = self.cluster.workloads.get(key).filter(|_| there);
        let newest = |w: &Workload| w.revisions.iter().max_by_key(|r| r.number).cloned();
        let named = |w: &Workload| w.revisions.iter().find(|r| r.name == request.revision).cloned();
        let Some(revision) = known.and_then(|w| if request.revision.is_empty() { newest(w) } else { named(w) }) else {
            return RenderOutcome::Gone;
        };
        if let Some(reason) = self.injector.troubles.get(&key.namespace) {
            return trouble(*reason);
        }
        if self.troubles.throttles && self.random.percent(3) {
            let (reason, retry_after) = (UndeterminedReason::Throttled, self.retry_after());
            return RenderOutcome::Undetermined { reason, message: "too many requests".to_owned(), retry_after };
        }
        // It is another one than that of the rendering before, so that two of them show what follows from it.
        let ordinal = request.ordinals.map_or(0, |(_, last)| last + 1);
        let ordinal = if request.other_than == Some(ordinal) { ordinal + 1 } else { ordinal };
        match self.injector.admit(Asked { key, app: revision.app, ordinal, at: self.at }, true) {
            Answer::Refused => RenderOutcome::Rejected { message: "a policy refuses it".to_owned() },
            Answer::Failed => trouble(UndeterminedReason::InjectorUnavailable),
            Answer::Created(content) => RenderOutcome::Rendered(Rendering {
                template: self.cluster.shapes.of(Content::plain(revision.app)),
                rendered: self.cluster.shapes.of(content),
                pod_name: request.ordinals.map(|_| Name::from(format!("{}-{ordinal}", key.name))),
                ..Rendering::default()
            }),
        }
    }

    // The patch ------------------------------------------------------------------------------------------------------

    /// The workload is read, and looked at whether we lead, before the patch is sent.
    fn read_for_patch(&mut self, place: usize, request: Box<PatchRequest>) {
        let failed = |message: &str| PatchOutcome::Failed { message: message.to_owned(), retry_after: None };
        let found = self.cluster.workload(&request.workload.key).map(|w| (w.uid.clone(), w.resource_version.clone()));
        let at = self.at;
        let leads = self.processes[place].as_ref().is_some_and(|p| p.may_write(at)) || self.tamper.ignores_lease();
        let outcome = match found {
            _ if self.lost(place) => Some(failed("connection refused")),
            None => Some(PatchOutcome::Gone),
            Some((uid, _)) if uid != request.workload.uid => Some(PatchOutcome::Gone),
            Some((_, version)) if version != request.resource_version => Some(PatchOutcome::Conflict),
            Some(_) if self.troubles.patches_conflict => Some(PatchOutcome::Conflict),
            Some(_) if self.troubles.patches_denied => Some(PatchOutcome::Denied { message: "a policy".to_owned() }),
            Some(_) if self.refuses_for_now() => {
                Some(PatchOutcome::Failed { message: "too many requests".to_owned(), retry_after: self.retry_after() })
            }
            Some(_) if !leads => Some(PatchOutcome::NotLeader),
            Some(_) => None,
        };
        match outcome {
            Some(outcome) => self.reply(place, Input::Patched(PatchReply { ticket: request.ticket, outcome })),
            None => {
                self.later(place, (5, 150), Call::Patches(request));
            }
        }
    }

    /// The API server is busy.
    fn refuses_for_now(&mut self) -> bool {
        let percent = if self.troubles.patches_fail { 70 } else { 15 };
        (self.troubles.patches_fail || self.troubles.throttles) && self.random.percent(percent)
    }

    /// What it says of when it will not be.
    pub(super) fn retry_after(&mut self) -> Option<Duration> {
        let long = self.troubles.throttles && self.random.percent(50);
        let seconds = if long { self.random.one_of(&[86_400, u64::MAX]) } else { 7 };
        self.random.percent(50).then_some(Duration::from_secs(seconds))
    }

    fn patch(&mut self, place: usize, request: &PatchRequest) -> Result<()> {
        let unknown = || PatchOutcome::Unknown { message: "connection reset".to_owned() };
        let late = |outcome| Input::Patched(PatchReply { ticket: request.ticket, outcome });
        if self.lost(place) {
            self.reply_late(place, late(unknown()));
            return Ok(());
        }
        let lost = self.troubles.replies_lost && self.random.percent(60);
        // Some of those that are lost never arrived.
        if lost && self.random.percent(30) {
            self.reply_late(place, late(unknown()));
            return Ok(());
        }
        let outcome = self.arrive(place, request)?;
        if lost {
            self.reply_late(place, late(unknown()));
        } else {
            self.reply(place, late(outcome));
        }
        Ok(())
    }

    /// A patch is there, with what it holds for.
    pub(super) fn arrive(&mut self, place: usize, request: &PatchRequest) -> Result<PatchOutcome> {
        let key = &request.workload.key;
        let found = self.cluster.workload(key).filter(|w| w.uid == request.workload.uid);
        Ok(match found.map(|w| w.resource_version.clone()) {
            None => PatchOutcome::Gone,
            Some(version) if version != request.resource_version => PatchOutcome::Conflict,
            Some(_) => {
                self.written(place, request)?;
                PatchOutcome::Patched { generation: self.cluster.workload(key).map_or(0, |w| w.generation) }
            }
        })
    }

    /// The stamp is in the cluster.
    fn written(&mut self, place: usize, request: &PatchRequest) -> Result<()> {
        let key = request.workload.key.clone();
        self.write_down(|| format!("API: {key} has the stamp of process {place}"));
        let by_holder = self.lease.holder.is_some_and(|(holder, _)| holder == place);
        let write = Write { at: self.at, place, by_holder, request: request.clone(), unseen: false };
        let behind = self.behind(place);
        let plain = self.injector.is_plain() && self.injector.down == Down::No;
        self.truth.written(write, &self.cluster, behind, plain)?;
        self.cluster.edit_template(&key, Template::Stamp(request.stamp.clone()));
        if let Some(until) = self.fought.get(&key).copied().filter(|until| self.at < *until) {
            let soon = self.at + self.random.seconds(1, 8);
            self.schedule(soon, Event::Fights(key.clone(), until));
        }
        self.appoint(&key);
        Ok(())
    }

    pub(super) fn behind(&self, place: usize) -> Behind {
        let Some(process) = self.processes[place].as_ref() else {
            return Behind { workloads: false, pods: false, budgets: false };
        };
        let suspended = process.suspended.is_some();
        let out_of_order = |wanted: fn(&WatchKind) -> bool| {
            let feeds = process.feeds.iter().filter(|(source, _)| wanted(&source.kind));
            suspended || feeds.map(|(_, feed)| feed).any(|f| f.broken || f.forbidden || f.lag > Duration::ZERO)
        };
        Behind {
            workloads: out_of_order(|kind| matches!(kind, WatchKind::Workloads(_))),
            pods: out_of_order(|kind| {
                matches!(kind, WatchKind::Pods | WatchKind::ReplicaSets | WatchKind::Workloads(_))
            }),
            budgets: out_of_order(|kind| matches!(kind, WatchKind::DisruptionBudgets)),
        }
    }

    // The state ConfigMap --------------------------------------------------------------------------------------------

    /// It has changed; those who watch it hear of it.
    pub(super) fn store(&mut self, record: Option<StateRecord>) {
        self.stored.version += 1;
        let version = Some(Name::from(self.stored.version.to_string()));
        self.stored.record = record.map(|r| StateRecord { resource_version: version, ..r });
        self.watch_state_anew();
    }

    /// A watch that is taken up again says what there is.
    pub(super) fn watch_state_anew(&mut self) {
        for place in 0..self.processes.len() {
            self.later(place, (10, 600), Call::HearsOfState);
        }
    }

    fn write_state(&mut self, place: usize, record: StateRecord) {
        let arrives = !self.lost(place) && !self.troubles.state_unwritable;
        let current = self.stored.record.as_ref().map(|r| r.resource_version.clone());
        if arrives && current == Some(record.resource_version.clone()) {
            self.store(Some(record));
        }
        let answer = if self.lost(place) { None } else { self.stored.record.clone() };
        if let Some(process) = self.process(place) {
            process.writing_state = false;
        }
        if answer.is_none() {
            // Whoever watches lists it again.
            self.later(place, (10, 600), Call::HearsOfState);
        }
        self.tell_state(place, answer);
    }

    fn tell_state(&mut self, place: usize, state: Option<StateRecord>) {
        let version = self.stored.version;
        if let Some(process) = self.process(place) {
            process.told_state = if state.is_some() { version } else { 0 };
        }
        // In one queue with what the watch says, so that nothing overtakes.
        let at = self.at + Duration::from_millis(1);
        self.later_at(place, at, Call::Hears(Box::new(Input::State(state))));
    }

    fn hear_of_state(&mut self, place: usize) {
        let (version, state) = (self.stored.version, self.stored.record.clone());
        let lost = self.lost(place);
        let Some(process) = self.process(place) else { return };
        if process.writing_state || lost {
            return self.later(place, (100, 900), Call::HearsOfState);
        }
        if process.told_state != version || state.is_none() {
            process.told_state = version;
            self.tell_state(place, state);
        }
    }

    // The lease ------------------------------------------------------------------------------------------------------

    /// Every two seconds: try to hold the lease, and notice when it has run out.
    fn elect(&mut self, place: usize) -> Result<()> {
        let at = self.at;
        let Some(process) = self.process(place) else { return Ok(()) };
        if process.suspended.is_some_and(|until| at < until) {
            self.later(place, (1000, 2000), Call::Elects);
            return Ok(());
        }
        let ended = process.leads && !process.may_write(at);
        process.leads &= !ended;
        let stopping = process.stopping;
        if ended {
            self.hear(place, Input::Leadership(false))?;
        }
        if !stopping {
            self.later(place, (5, 200), Call::Renews(at));
        }
        self.later(place, (1900, 2100), Call::Elects);
        Ok(())
    }

    fn renew(&mut self, place: usize, sent: Duration) -> Result<()> {
        let at = self.at;
        let cut = self.lost(place);
        let Some(process) = self.process(place) else { return Ok(()) };
        if cut || process.suspended.is_some_and(|until| at < until) {
            return Ok(());
        }
        let me = (place, process.incarnation);
        let free = self.lease.holder.is_none_or(|holder| holder == me || at > self.lease.renewed + LEASE);
        if !free {
            return Ok(());
        }
        self.lease.holder = Some(me);
        self.lease.renewed = at;
        let Some(process) = self.process(place) else { return Ok(()) };
        process.renewed = Some(sent);
        if !process.leads && process.renewed.is_some() {
            process.leads = true;
            self.hear(place, Input::Leadership(true))?;
        }
        Ok(())
    }

    /// A suspended process goes on, with all that has come in meanwhile.
    fn resume(&mut self, place: usize) -> Result<()> {
        let Some(process) = self.process(place) else { return Ok(()) };
        process.suspended = None;
        let waiting = std::mem::take(&mut process.waiting);
        for input in waiting {
            self.hear(place, input)?;
        }
        Ok(())
    }
}
