//! What must hold of one process after each step, by what it was told.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context as _, Result, ensure};
use sidecar_drift::core::{
    config::{Mode, Policy},
    io::{Canary, Effect, Input, StateRecord, WatchEvent},
    model::{Name, Object, WorkloadKey, time::Now},
    report::Report,
};

use super::{fault, quiet::Quiet, truth::speaks_for_it, waiting::Waiting, world::at_of_history};
use crate::scripts::rules::Rules as Every;

#[derive(Debug, Default)]
pub(super) struct Rules {
    every: Every,
    quiet: Quiet,
    /// What the state ConfigMap said last.
    state: Option<StateRecord>,
    /// What namespaces say.
    says: BTreeMap<Name, BTreeMap<Name, Name>>,
    guard: Option<bool>,
    /// What is known of those whose Pods may be evicted; nothing where none may.
    waiting: Option<Waiting>,
}

impl Rules {
    pub(super) fn new(policy: &Policy) -> Self {
        Self { waiting: policy.evict_on_delete.then(Waiting::default), ..Self::default() }
    }

    pub(super) fn hear(&mut self, input: &Input, now: Now) {
        match input {
            Input::State(state) => self.state.clone_from(state),
            Input::Guard(refused) => self.guard = Some(*refused),
            Input::Watch { event: WatchEvent::Apply(Object::Namespace(ns)), .. } => {
                self.says.insert(ns.name.clone(), ns.says.clone());
            }
            _ => {}
        }
        if let Some(waiting) = &mut self.waiting {
            waiting.hear(input, now);
        }
        self.every.take(input, now);
        self.quiet.hear(input, now);
    }

    pub(super) fn check(&mut self, policy: &Policy, effects: &[Effect], report: &Report, now: Now) -> Result<()> {
        self.every.check_effects(policy, effects, report, now)?;
        self.quiet.check(policy, effects, report.workloads.len())?;
        for effect in effects {
            match effect {
                Effect::Patch(request) => self.check_patch(policy, &request.workload.key, now)?,
                Effect::Evict(request) => {
                    self.check_leave(policy, &request.workload.key, now)?;
                    if let Some(waiting) = &mut self.waiting {
                        waiting.check(request, now)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    pub(super) fn idle(&self) -> bool {
        self.every.idle()
    }

    /// What must be so before anything is written to a workload, or to its Pods.
    fn check_leave(&self, policy: &Policy, key: &WorkloadKey, now: Now) -> Result<&StateRecord> {
        let state =
            self.state.as_ref().with_context(|| format!("{key} is touched, and nobody knows whether we may"))?;
        ensure!(state.paused.is_none(), "{key} is touched during a pause");
        ensure!(state.breaker_over(&key.namespace).is_none(), "{key} is touched though the breaker is open");
        let restricted = self.says.get(&key.namespace).is_some_and(|says| !speaks_for_it(says));
        ensure!(!restricted, "{key} is touched against the word of its namespace");
        let window = self.says.get(&key.namespace).and_then(|says| says.get("window"));
        let open = window.is_none_or(|window| fault::is_open(window, at_of_history(now), Duration::ZERO));
        ensure!(open, "{key} is touched outside the window of its namespace, {window:?}");
        let guarded = policy.without_guard || self.guard == Some(true);
        ensure!(guarded || policy.mode < Mode::Enforce, "{key} is touched without the guard");
        Ok(state)
    }

    fn check_patch(&self, policy: &Policy, key: &WorkloadKey, now: Now) -> Result<()> {
        let state = self.check_leave(policy, key, now)?;
        if policy.canary == 0 {
            return Ok(());
        }
        let soaked = |c: &Canary| c.converged.is_some_and(|at| now.since(at) >= policy.soak);
        let proven = state.canaries.values().any(|c| c.workloads.contains(key) || soaked(c));
        ensure!(proven, "{key} is patched before its canary is on record, or has proven itself");
        // Here every workload depends on the injector, and on its own namespace.
        let concerns = |scope: &str| {
            scope.starts_with("injector ") || scope.strip_prefix("namespace ").is_some_and(|ns| *ns == *key.namespace)
        };
        let waits =
            state.canaries.iter().find(|(scope, c)| concerns(scope) && !soaked(c) && !c.workloads.contains(key));
        ensure!(waits.is_none(), "{key} is patched while a canary has not proven itself: {waits:?}");
        let many = state.canaries.values().map(|c| c.workloads.len()).max().unwrap_or(0);
        ensure!(many <= policy.canary, "{many} canaries at once");
        Ok(())
    }
}
