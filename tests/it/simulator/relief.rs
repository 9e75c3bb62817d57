//! How each fault ends, and all of them together.

use std::time::Duration;

use sidecar_drift::core::io::{StateRecord, WatchSource};

use super::{
    cluster::Fate,
    fault::{Fault, Notice, namespace},
    injection::Down,
    trouble::backend,
    world::{Call, World},
};

impl World {
    pub(super) fn fault_ends(&mut self, index: usize) {
        let fault = self.scenario.faults[index].2.clone();
        if !self.injector.is_plain() || self.injector.down != Down::No {
            self.moved_silently();
            self.truth.moved(None, self.at);
        }
        self.write_down(|| format!("* no more {fault:?}"));
        match fault {
            Fault::InjectorIgnoresFailures | Fault::InjectorFails => self.injector.down = Down::No,
            Fault::InjectorIsExchanged => self.appoint(&backend()),
            Fault::SwitchedOff(at) => {
                self.injector.off.remove(namespace(at));
                self.truth.moved(Some(namespace(at)), self.at);
                self.edit_namespace(namespace(at), |ns| ns.hash = format!("{} on", ns.hash).into());
            }
            Fault::Wavers => self.injector.wavers = false,
            Fault::Nonce => self.injector.nonce = false,
            Fault::Period => self.injector.period = None,
            Fault::DryRunsDiffer => self.injector.dry_runs_differ = false,
            Fault::DryRunsUnsupported => self.configure(self.injector.version, false),
            Fault::PodsRefused(at) => drop(self.injector.refuses.remove(namespace(at))),
            Fault::RenderTrouble(at, _) => drop(self.injector.troubles.remove(namespace(at))),
            Fault::OwnerPauses(at) => {
                let key = self.whose(at);
                self.cluster.edit_spec(&key, |w| w.paused = false);
                self.appoint(&key);
            }
            Fault::OwnerDeletes(at) => {
                let (key, replicas, strategy) = self.scenario.fleet[at].clone();
                if self.cluster.workload(&key).is_none() {
                    self.cluster.create(&key, replicas, strategy, self.scenario.operator_of(&key));
                    self.appoint(&key);
                }
            }
            Fault::OwnerSays(at, key, _) => self.cluster.edit(&self.whose(at), |w| drop(w.says.remove(key))),
            Fault::NamespaceSays(at, key, _) => {
                self.edit_namespace(namespace(at), |ns| drop(ns.says.remove(key)));
            }
            Fault::PodsCrash(at) | Fault::PodsStuck(at) | Fault::PodsWithheld(at) => self.set_fate(at, Fate::Ready),
            Fault::NodesDown => ["n1", "n2"].into_iter().for_each(|name| self.put_node(name, true)),
            Fault::BudgetShort(at) => self.put_budget(at, 1),
            Fault::ApiSlow => self.troubles.slow = false,
            Fault::ApiDown => {
                self.troubles.down = false;
                self.watch_state_anew();
            }
            Fault::PatchesFail => self.troubles.patches_fail = false,
            Fault::PatchesDenied => self.troubles.patches_denied = false,
            Fault::PatchesConflict => self.troubles.patches_conflict = false,
            Fault::StampFought(at) => drop(self.fought.remove(&self.whose(at))),
            Fault::RepliesLost => self.troubles.replies_lost = false,
            Fault::GuardGone => self.troubles.no_guard = false,
            Fault::AlertFires => self.troubles.alert_fires = false,
            Fault::PrometheusDown => self.troubles.prometheus_down = false,
            Fault::StateMissing if self.stored.record.is_none() => self.store(Some(StateRecord::default())),
            Fault::StateUnwritable => self.troubles.state_unwritable = false,
            Fault::PersonPauses => self.resume_all(),
            Fault::WatchLags(place, kind) => self.lag(place, kind, Duration::ZERO),
            Fault::WatchForbidden(place, kind) => {
                let source = WatchSource { kind, namespace: None };
                let blind = self.scenario.is_blind(kind);
                let feed = self.process(place).and_then(|p| p.feeds.get_mut(&source));
                if let Some(feed) = feed.filter(|feed| feed.forbidden && !blind) {
                    feed.forbidden = false;
                    self.relist(place, &source);
                }
            }
            _ => {}
        }
        self.truth.alarm(self.troubles.alert_fires || self.troubles.prometheus_down, self.at);
    }

    /// All is well from here on, but for what owners decided.
    pub(super) fn heal(&mut self) {
        self.write_down(|| "* all is well from here on".to_owned());
        for index in 0..self.scenario.faults.len() {
            let (begins, lasts, fault) = self.scenario.faults[index].clone();
            let stays = matches!(fault, Fault::OwnerSays(..) | Fault::SwitchedOff(_)) && !index.is_multiple_of(2);
            let over = begins + lasts + Duration::from_mins(1) < self.at;
            if !stays && !over {
                self.fault_ends(index);
            }
        }
        for place in 0..self.processes.len() {
            if let Some(process) = self.process(place) {
                process.partitioned = None;
                if process.suspended.is_some() {
                    self.later_at(place, self.at, Call::Resumes);
                }
            }
        }
        // A person looks after what only persons can settle.
        self.resume_all();
        for (key, ..) in self.scenario.fleet.clone() {
            self.appoint(&key);
        }
    }

    /// One change more, of an injector that is well.
    pub(super) fn last_move(&mut self) {
        self.write_down(|| "* the injector moves once more".to_owned());
        self.move_injector(Notice::Configuration);
    }
}
