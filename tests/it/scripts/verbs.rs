//! What each line of a script does.

use std::{collections::BTreeSet, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use sidecar_drift::core::{
    io::{AlertsAnswer, Input, PatchOutcome, PatchReply, RenderOutcome, WatchEvent, WatchKind, WatchSource},
    model::{Name, Object, PodWait, WorkloadKey, owner::Kind},
};

use super::{
    answers::refusal,
    cluster::{database, owner},
    line::{Line, duration},
    objects,
    pods::Container,
    policy, show,
    stage::Stage,
};
use crate::objects::key;

/// Pods that a script begins with are this old, unless it says otherwise.
const OLD: Duration = Duration::from_hours(1);

impl Stage {
    /// Plays one line. `10s every 10s until 24h configmap mesh/x hash=#` is played again and again, each time with another
    /// number.
    pub(super) fn play(&mut self, text: &str) -> Result<()> {
        if let Some((first, rest)) = text.split_once(" every ") {
            return self.play_again(text, first, rest);
        }
        let line: Line = text.parse()?;
        if let Some(at) = line.at {
            self.pass_until(at)?;
        }
        self.out.push(text.to_owned());
        self.perform(line)?;
        if self.running() {
            self.settle()?;
        }
        Ok(())
    }

    pub(super) fn running(&self) -> bool {
        self.core().is_ok()
    }

    pub(super) fn perform(&mut self, mut line: Line) -> Result<()> {
        let verb = line.verb.clone();
        match verb.as_str() {
            "policy" => {
                policy::set(&mut self.policy, &mut line)?;
                if self.running() {
                    self.send(Input::Policy(Box::new(self.policy.clone())));
                }
            }
            "start" => self.start(!line.flag("follower")),
            "crash" => self.crash(),
            "leader" => self.send(Input::Leadership(true)),
            "follower" => self.send(Input::Leadership(false)),
            "shutdown" => self.send(Input::Shutdown),
            "timer" => self.send(Input::Timer),
            "timers" => self.lateness = line.duration("late")?.unwrap_or_default(),
            "wait" => {}
            "report" => self.report(&mut line)?,
            // Only reports are shown from here on: for scripts with many workloads, or many hours.
            "brief" => self.blind = true,
            "rendered" => self.count_renderings(&mut line)?,
            "auto" | "manual" => self.hands(&mut line, verb == "auto")?,
            "watches" => self.watches(&mut line)?,
            "interrupt" | "resume" => self.interrupt(&mut line, verb == "interrupt")?,
            "forbid" | "unserved" => self.forbid(&mut line, verb == "forbid")?,
            "state" => self.change_state(&mut line)?,
            "render" => self.answer_render(&mut line)?,
            "patch" => self.answer_patch(&mut line)?,
            "evict" => self.answer_evict(&mut line)?,
            // `answers api_error "why"`: what is answered at once comes to that, for one workload with `of=shop/web`; `answers`: it does
            // no more.
            "answers" => {
                let whom = line.text("of").map(|path| self.cluster.find(&path)).transpose()?;
                match line.word().map(|word| refusal(&word, &mut line)).transpose()? {
                    Some(outcome) => drop(self.hands.fails.insert(whom, outcome)),
                    None => drop(self.hands.fails.remove(&whom)),
                }
            }
            // `wavers proxy=3`: half of the dry runs are given that instead; `wavers`: none is any more.
            "wavers" => self.hands.wavers = containers(&mut line),
            "renderings" => self.hands.took = line.duration("take")?.unwrap_or_default(),
            "guard" => {
                let in_force = line.expect("in_force or missing")? == "in_force";
                self.hands.guard = Some(in_force);
                self.send(Input::Guard(in_force));
            }
            // `alerts silent`, `alerts unknown`, or the names of those that fire.
            "alerts" => {
                let mut names = BTreeSet::new();
                while let Some(name) = line.word() {
                    names.insert(Name::from(name));
                }
                let word = |word: &str| names.len() == 1 && names.contains(word);
                self.hands.alerts = match () {
                    () if word("silent") => None,
                    () if word("unknown") => Some(AlertsAnswer::Unknown { message: "no connection".to_owned() }),
                    () => Some(AlertsAnswer::Firing(names)),
                };
                self.answer_alerts();
            }
            "land" => {
                let whom = self.cluster.find(&line.expect("whose")?)?;
                let request = self.late.take().context("no patch is late")?;
                self.write_stamp(&whom, &request)?;
            }
            // Requests for a workload that is gone are answered, too.
            "render_gone" => {
                let path = line.expect("whose")?;
                let of = |key: &WorkloadKey| format!("{}/{}", key.namespace, key.name) == path;
                let at = self.renders.iter().position(|r| of(&r.workload.key)).context("nothing was asked for")?;
                let key = self.renders[at].workload.key.clone();
                self.render(&key, Some(RenderOutcome::Gone), false)?;
            }
            "patch_gone" => {
                let path = line.expect("whose")?;
                let of = |key: &WorkloadKey| format!("{}/{}", key.namespace, key.name) == path;
                let at = self.patches.iter().position(|p| of(&p.workload.key)).context("nothing was asked for")?;
                let ticket = self.patches.remove(at).ticket;
                self.send(Input::Patched(PatchReply { ticket, outcome: PatchOutcome::Gone }));
            }
            "injects" => {
                _ = line.flag("nothing");
                let whom = line.word().map(|path| self.cluster.find(&path)).transpose()?;
                self.injected.insert(whom, containers(&mut line));
            }
            "deployment" => self.workload(&mut line, Kind::DEPLOYMENT)?,
            "statefulset" => self.workload(&mut line, Kind::STATEFUL_SET)?,
            "daemonset" => self.workload(&mut line, Kind::DAEMON_SET)?,
            "replicas" => self.workload(&mut line, Kind::REPLICA_SET)?,
            "database" => self.workload(&mut line, database())?,
            "update" | "forget" | "rolled" | "born" | "status" | "spec" | "strip" | "delete" | "pod" => {
                self.change(&verb, &mut line)?;
            }
            "bare" | "job" => self.stray(&mut line, verb == "job")?,
            _ => {
                let object = objects::object(&verb, &mut line)?;
                match object {
                    objects::Made::Put(object) => self.cluster.objects.put(object),
                    objects::Made::Delete(kind, key) => drop(self.cluster.objects.delete(kind, &key)),
                }
            }
        }
        line.done()
    }

    /// `report`: of everything; `report shop/web bank/api`: the verdicts of these.
    fn report(&mut self, line: &mut Line) -> Result<()> {
        let report = self.core()?.report(self.now());
        let whose: Vec<_> = std::iter::from_fn(|| line.word()).collect();
        if whose.is_empty() {
            self.out.extend(show::report(&report, true));
        }
        for path in whose {
            let w = report.workloads.iter().find(|w| format!("{}/{}", w.namespace, w.name) == path);
            let w = w.with_context(|| format!("nothing is known of {path}"))?;
            self.out.push(show::verdict(w, &report));
        }
        Ok(())
    }

    fn hands(&mut self, line: &mut Line, on: bool) -> Result<()> {
        while let Some(what) = line.word() {
            match what.as_str() {
                "renders" => self.hands.renders = on,
                "patches" => self.hands.patches = on,
                "evictions" => self.hands.evictions = on,
                "guard" => self.hands.guard = on.then_some(true),
                "rolls" if !on => self.hands.rolls = None,
                "rolls" => self.hands.rolls = Some(duration(&line.expect("after how long")?)?),
                other => bail!("nobody does {other:?}"),
            }
        }
        Ok(())
    }

    fn watches(&mut self, line: &mut Line) -> Result<()> {
        match line.expect("what they do")?.as_str() {
            "lag" => self.watching = false,
            "deliver" => self.watching = true,
            "deliver_workloads" => {
                let news = std::mem::take(&mut self.cluster.objects.news);
                let (now, later) = news.into_iter().partition(|(s, _)| matches!(s.kind, WatchKind::Workloads(_)));
                self.cluster.objects.news = later;
                let now: Vec<_> = now;
                for (source, event) in now {
                    self.send(Input::Watch { source, event });
                }
            }
            // One watch after the other: the owners last, or first.
            "owners_last" => {
                self.cluster.objects.news.sort_by(|(a, _), (b, _)| a.cmp(b));
                self.watching = true;
            }
            "owners_first" => {
                self.cluster.objects.news.sort_by(|(a, _), (b, _)| b.cmp(a));
                self.watching = true;
            }
            "relist" => self.relist()?,
            other => bail!("watches do not {other:?}"),
        }
        Ok(())
    }

    fn forbid(&mut self, line: &mut Line, forbidden: bool) -> Result<()> {
        let kind = objects::watch_kind(&line.expect("what")?)?;
        let namespace = line.name("in");
        let message = line.word().unwrap_or_else(|| "no right to watch it".to_owned());
        let source = WatchSource { kind, namespace };
        if message == "no more" {
            self.list(&source);
        } else {
            self.send(Input::Watch { source, event: WatchEvent::Unavailable { forbidden, message } });
        }
        Ok(())
    }

    /// `interrupt budget`: its watch has had no connection for too long; `resume budget`: it has one again.
    fn interrupt(&mut self, line: &mut Line, down: bool) -> Result<()> {
        let kind = objects::watch_kind(&line.expect("what")?)?;
        let event = if down { WatchEvent::Interrupted } else { WatchEvent::Resumed };
        self.send(Input::Watch { source: WatchSource { kind, namespace: line.name("in") }, event });
        Ok(())
    }

    // Workloads ------------------------------------------------------------------------------------------------------

    fn workload(&mut self, line: &mut Line, kind: Kind) -> Result<()> {
        let path = line.expect("NAMESPACE/NAME")?;
        let (namespace, name) = path.split_once('/').context("NAMESPACE/NAME")?;
        let whom = WorkloadKey { namespace: namespace.into(), kind, name: name.into() };
        let replicas = line.parsed("replicas")?.unwrap_or(2);
        let born = self.now().wall - line.duration("age")?.unwrap_or(OLD);
        let template = template(line);
        let spec = objects::spec(line)?;
        let status = objects::status(line)?;
        let injected = if line.flag("bare") { Vec::new() } else { containers(line) };
        self.cluster.create(&whom, replicas, template);
        self.cluster.finish_rollout(&whom, &injected, born)?;
        self.cluster.edit(&whom, |w| {
            spec(w);
            status(w);
        })
    }

    fn change(&mut self, verb: &str, line: &mut Line) -> Result<()> {
        let path = line.expect("whose")?;
        if verb == "pod" {
            return self.change_pod(&path, line);
        }
        if let ("delete", Some((kind, name))) = (verb, path.split_once(':')) {
            let (kind, key) = objects::named(kind, name)?;
            ensure!(self.cluster.objects.delete(kind, &key).is_some(), "there is no {path}");
            return Ok(());
        }
        let whom = self.cluster.find(&path)?;
        match verb {
            "update" => {
                let mut containers = self.cluster.template(&whom);
                containers.extend(template(line));
                self.schedule_rollout(&whom);
                self.cluster.begin_rollout(&whom, Some(containers), |_| {})
            }
            // No revision of it is retained.
            "forget" => {
                self.cluster.stamps.remove(&whom);
                Ok(())
            }
            "rolled" => {
                let bare = line.flag("bare");
                let given = containers(line);
                let injected = if given.is_empty() && !bare { self.injected_into(&whom) } else { given };
                let born = self.now().wall - line.duration("age")?.unwrap_or_default();
                self.cluster.finish_rollout(&whom, &injected, born)
            }
            "born" => {
                let at = line.parsed("at")?.unwrap_or(25);
                let (containers, born) = (containers(line), self.now().wall);
                self.cluster.create_pod(&whom, at, &containers, born)
            }
            "status" => {
                let status = objects::status(line)?;
                self.cluster.edit(&whom, status)
            }
            "spec" => {
                let spec = objects::spec(line)?;
                self.cluster.edit(&whom, |w| {
                    spec(w);
                    w.generation += 1;
                    w.observed_generation += 1;
                })
            }
            "strip" => self.cluster.begin_rollout(&whom, None, |w| w.template.stamp = None),
            _ => {
                self.cluster.delete_workload(&whom);
                Ok(())
            }
        }
    }

    fn change_pod(&mut self, path: &str, line: &mut Line) -> Result<()> {
        let (namespace, name) = path.split_once('/').context("NAMESPACE/NAME")?;
        let at = key(namespace, name);
        if line.flag("deleted") {
            ensure!(self.cluster.objects.delete(WatchKind::Pods, &at).is_some(), "there is no Pod {path}");
            return Ok(());
        }
        let Some(Object::Pod(pod)) = self.cluster.objects.get(WatchKind::Pods, &at).cloned() else {
            bail!("there is no Pod {path}");
        };
        let mut pod = pod;
        pod.patched_images.extend(line.name("patched"));
        pod.state.terminating |= line.flag("terminating");
        pod.state.crashing |= line.flag("crashing");
        pod.state.crashing &= !line.flag("well");
        pod.state.restarts = line.parsed("restarts")?.unwrap_or(pod.state.restarts);
        pod.state.waits_for = match line.text("waits").as_deref() {
            Some("gate") => Some(PodWait::SchedulingGate),
            Some("node") => Some(PodWait::Node),
            Some("image") => Some(PodWait::Image),
            _ => pod.state.waits_for,
        };
        pod.state.finished |= line.flag("finished");
        pod.state.ready = (pod.state.ready || line.flag("ready")) && !line.flag("unready");
        let given = containers(line);
        if !given.is_empty() {
            pod.shape = super::pods::shape(&[template(line), given].concat(), &super::pods::Who::running(&pod));
        }
        self.cluster.objects.put(Object::Pod(pod));
        Ok(())
    }

    fn stray(&mut self, line: &mut Line, of_job: bool) -> Result<()> {
        let path = line.expect("NAMESPACE/NAME")?;
        let (namespace, name) = path.split_once('/').context("NAMESPACE/NAME")?;
        let containers = [template(line), containers(line)].concat();
        let (pod, owned) = if of_job {
            (format!("{name}-x"), Some(owner("batch/v1", "Job", name, "uid-job")))
        } else {
            (name.to_owned(), None)
        };
        let born = self.now().wall - OLD;
        self.cluster.put_pod(namespace, &pod, owned, &containers, born, |_| {});
        Ok(())
    }
}

/// The containers of the template: `app`, whose tag may be given, and an init container, if one is named.
fn template(line: &mut Line) -> Vec<Container> {
    let tag = line.text("template").unwrap_or_else(|| "1".to_owned());
    let init = line.text("template_init").map(|name| Container::parse((name, "1,init".to_owned())));
    init.into_iter().chain([Container::parse(("app".to_owned(), tag))]).collect()
}

/// Everything that is left are containers.
pub(super) fn containers(line: &mut Line) -> Vec<Container> {
    line.rest().into_iter().map(Container::parse).collect()
}
