//! An hour in which nothing happens, played in a moment: the daemon's own watches, renderer and core, the stub as API
//! server, and a clock that jumps to whatever comes next.

use std::{convert::Infallible, sync::Arc, time::Duration};

use anyhow::{Context as _, Result, ensure};
use http_body_util::BodyExt as _;
use kube::client::Body;
use sidecar_drift::{
    cluster::{
        client::{Cluster, Server},
        convert::KeptKeys,
        render::Renderer,
        watch::{Scope, Watches},
    },
    core::{
        config::Policy,
        io::{Effect, Input},
        model::time::Now,
        step::Core,
    },
};
use tokio::{
    sync::mpsc,
    task::JoinSet,
    time::{Instant, sleep_until},
};

use crate::{
    fleet::Fleet,
    results::{Results, number},
    say,
    stub::Stub,
};

const HOUR: Duration = Duration::from_hours(1);

/// Until the first verdicts, the hour has not begun.
const SETTLING: Duration = Duration::from_mins(30);

/// As many as make the ratio exact to a hundredth.
const WORKLOADS: usize = 500;

pub(crate) async fn measure(results: &mut Results) -> Result<()> {
    let fleet = Fleet { deployments: WORKLOADS, replicas: 4 };
    let stub = Stub::new(fleet);
    let mut quiet = Quiet::start(&stub, fleet);
    quiet.play(SETTLING).await?;
    ensure!(quiet.core.report(quiet.now()).complete, "not every workload has its verdict after {SETTLING:?}");
    stub.forget_requests();
    quiet.play(HOUR).await?;
    let requests = stub.requests();
    say(format_args!("a quiet hour: {requests:?}"));
    let lists = requests.iter().filter(|(name, _)| name.starts_with("list ")).map(|(_, count)| count).sum::<u64>();
    let renders = requests.get("dry-run").copied().unwrap_or_default();
    let all = requests.values().sum::<u64>();
    results.note("quiet_hour_lists", number(usize::try_from(lists)?))?;
    results.note("quiet_hour_renders_per_workload", number(usize::try_from(renders)?) / number(WORKLOADS))?;
    results.note("quiet_hour_requests", number(usize::try_from(all)?))
}

/// What the daemon's engine does, with another clock.
struct Quiet {
    core: Core,
    watches: Watches,
    renderer: Arc<Renderer>,
    inputs: mpsc::Receiver<Input>,
    sender: mpsc::Sender<Input>,
    tasks: JoinSet<()>,
    began: Instant,
    wake: Option<Duration>,
}

impl Quiet {
    fn start(stub: &Stub, fleet: Fleet) -> Self {
        let stub = stub.clone();
        let service = tower::service_fn(move |request: http::Request<Body>| {
            let stub = stub.clone();
            async move {
                let (parts, body) = request.into_parts();
                let body = body.collect().await.map(http_body_util::Collected::to_bytes).unwrap_or_default();
                Ok::<_, Infallible>(stub.answer(&parts.method, &parts.uri, &body))
            }
        });
        let cluster = Cluster::from_service(service, "https://stub", "default");
        // Everything is as it is by default but the budget: the sweep before the hour is not what is measured.
        let policy = Policy { renders_per_second: number(fleet.deployments), ..Policy::default() };
        let keys = KeptKeys::of(&policy);
        let scope = Scope {
            namespaces: None,
            kinds: policy.kinds.clone(),
            fields: policy.fields,
            triggers: Vec::new(),
            keys: keys.clone(),
        };
        let server = Server { version: "v1.37.2".to_owned(), policies: Some("v1"), streaming_lists: true };
        let (sender, inputs) = mpsc::channel(1024);
        let watches = Watches::start(cluster.clone(), server, scope, sender.clone());
        let began = Instant::now();
        let core = Core::new(policy, watches.sources(), 1, now_at(Duration::ZERO));
        let renderer = Arc::new(Renderer::new(cluster, keys));
        let mut quiet = Self { core, watches, renderer, inputs, sender, tasks: JoinSet::new(), began, wake: None };
        quiet.step(Input::Leadership(true));
        quiet
    }

    fn now(&self) -> Now {
        now_at(self.began.elapsed())
    }

    async fn play(&mut self, time: Duration) -> Result<()> {
        let end = Instant::now() + time;
        loop {
            let wake = self.wake.map_or(end, |wake| self.began + wake).min(end);
            let input = tokio::select! {
                biased;
                input = self.inputs.recv() => input.context("the watches ended")?,
                Some(ended) = self.tasks.join_next() => {
                    ended?;
                    continue;
                }
                () = sleep_until(wake) => {
                    if Instant::now() >= end {
                        return Ok(());
                    }
                    self.wake = None;
                    Input::Timer
                }
            };
            self.step(input);
        }
    }

    fn step(&mut self, input: Input) {
        for effect in self.core.step(input, self.now()) {
            match effect {
                Effect::Render(request) => {
                    let (renderer, sender) = (self.renderer.clone(), self.sender.clone());
                    self.tasks.spawn(async move {
                        let reply = renderer.render(&request).await;
                        // Nobody listens any more only when the hour is over.
                        _ = sender.send(Input::Rendered(Box::new(reply))).await;
                    });
                }
                Effect::WatchTriggers(triggers) => self.watches.set_triggers(triggers),
                Effect::WatchBackends(namespaces) => self.watches.set_backends(&namespaces),
                Effect::WakeAt(at) => self.wake = Some(at),
                // In report mode nothing is written.
                _ => {}
            }
        }
    }
}

fn now_at(elapsed: Duration) -> Now {
    let noon = jiff::Timestamp::from_second(1_800_000_000).unwrap_or_default();
    let wall =
        jiff::SignedDuration::try_from(elapsed).map_or(noon, |elapsed| noon.saturating_add(elapsed).unwrap_or(noon));
    Now { elapsed, wall }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn nothing_is_listed_in_a_quiet_hour_and_watches_are_taken_up_again() {
        let mut results = Results::default();
        measure(&mut results).await.unwrap();
        let json = results.json();
        assert_eq!(json["quiet_hour_lists"], 0.0);
        assert!(json["quiet_hour_renders_per_workload"].as_f64().unwrap() <= 1.0, "{json}");
        assert!(json["quiet_hour_requests"].as_f64().unwrap() > 100.0, "{json}");
    }
}
