//! One watch for the life of its task: kube's watcher, with back-off, refusals and restarts handled.

use std::{sync::Arc, time::Duration};

use futures::StreamExt;
use kube::{
    Api, Client,
    core::Status,
    runtime::watcher::{self, Event},
};

use tokio::time::{Instant, sleep_until};

use super::object::{Content, Row, Watched};
use crate::{
    cluster::{
        client::{Cluster, Pace, chain},
        paths,
    },
    core::model::ObjectKey,
};

/// How many objects are fetched at once where the server has no streaming lists: what client-go does, too.
const PAGE_SIZE: u32 = 500;

/// The server ends a watch after this; kube's watcher takes a connection that is silent for 5 s more as dead.
const WATCH_SECONDS: u32 = 290;

/// A right that is missing, or a kind that is not served, seldom changes; asking again each minute is enough.
pub(super) const UNAVAILABLE_RETRY: Duration = Duration::from_mins(1);

/// What a watch brought is relied upon for so long after it lost its connection.
const UNSEEN_AFTER: Duration = Duration::from_mins(1);

/// A right that was there is taken for lost only when it is refused so often in a row, which takes some seconds: an API
/// server that was just started refuses everything until it has read its rules.
const REFUSALS: u32 = 3;

/// What to watch.
#[derive(Clone, Debug)]
pub(in crate::cluster) struct Target {
    pub(in crate::cluster) row: Row,
    pub(in crate::cluster) namespace: Option<String>,
    /// Only the object of this name.
    pub(in crate::cluster) name: Option<String>,
    /// The server sends the list within the watch.
    pub(in crate::cluster) streaming: bool,
    /// There may be thousands, each of some size.
    pub(in crate::cluster) many: bool,
    /// The label under which it is counted when it is down.
    pub(in crate::cluster) counted_as: &'static str,
}

/// An update of a watch, the same for each kind.
#[derive(Debug)]
pub(in crate::cluster) enum WatchUpdate<C> {
    ResetStarted,
    /// An object is there. `None`: it has no name.
    Apply(Option<(ObjectKey, C)>),
    Delete(ObjectKey),
    ResetDone,
    /// It has had no connection for [`UNSEEN_AFTER`].
    Interrupted,
    /// It has one again.
    Resumed,
    Unavailable {
        forbidden: bool,
        message: String,
    },
}

/// Follow a watch until `send` returns false (the receiver is gone).
///
/// `send` is called in the order of events and awaited: a slow reader slows the watch and fills no queue.
pub(in crate::cluster) async fn follow<C, F>(
    cluster: &Cluster,
    mut target: Target,
    mut send: impl FnMut(WatchUpdate<C>) -> F,
) where
    C: Content,
    F: Future<Output = bool>,
{
    let namespace = target.namespace.as_deref();
    let pace = Arc::new(Pace::new(&target.row.kind, namespace, cluster.watches(), target.counted_as));
    let mut connection = pace.connection();
    // When what was seen is old, and whether that was told.
    let (mut unseen_at, mut unseen) = (None, false);
    let client = cluster.watching(pace.clone(), target.many);
    // Refusals since the last success.
    let mut refusals = 0_u32;
    // Whether the API server ever allowed it.
    let mut allowed = false;
    'restart: loop {
        let mut events = std::pin::pin!(watcher::watcher(api::<C>(client.clone(), &target), config(&target)));
        // The watcher announces a list before it asks for it. We pass that on when the list really comes, so that a
        // failing server does not look like an empty one that is being listed.
        let mut announced = false;
        loop {
            let event = tokio::select! {
                biased;
                event = events.next() => event,
                Ok(()) = connection.changed() => {
                    unseen_at = connection.borrow_and_update().map(|quiet| Instant::now() + UNSEEN_AFTER.saturating_sub(quiet));
                    if unseen_at.is_none() && std::mem::take(&mut unseen) && !send(WatchUpdate::Resumed).await {
                        return;
                    }
                    continue;
                }
                () = sleep_until(unseen_at.unwrap_or_else(Instant::now)), if unseen_at.is_some() => {
                    (unseen_at, unseen) = (None, true);
                    if !send(WatchUpdate::Interrupted).await {
                        return;
                    }
                    continue;
                }
            };
            let Some(event) = event else { continue 'restart };
            let error = match event {
                Ok(Event::Init) => {
                    announced = true;
                    continue;
                }
                Ok(event) => {
                    allowed = true;
                    // To list is another right.
                    if matches!(event, Event::Apply(_) | Event::Delete(_)) {
                        refusals = 0;
                    }
                    if std::mem::take(&mut announced) && !send(WatchUpdate::ResetStarted).await {
                        return;
                    }
                    if !send(update(event)).await {
                        return;
                    }
                    continue;
                }
                Err(error) => error,
            };
            if pace.failed(chain(&error)) {
                refusals = 0;
            }
            let status = status(&error);
            if let Some(unavailable) = status.and_then(|status| unavailable(&target, status)) {
                refusals += 1;
                if !allowed || refusals > REFUSALS {
                    (refusals, allowed) = (0, false);
                    pace.unavailable();
                    if !send(unavailable).await {
                        return;
                    }
                    tokio::time::sleep(UNAVAILABLE_RETRY).await;
                    // The reader takes nothing for known any more, so begin with a list.
                    continue 'restart;
                }
            }
            let code = status.map_or(0, |status| status.code);
            // One of several API servers is older than the one that was asked at the start.
            let too_old = target.streaming && matches!(code, 400 | 422);
            if too_old {
                target.streaming = false;
            }
            if too_old || needs_new_list(&error) {
                continue 'restart;
            }
        }
    }
}

/// Whether the watch must begin with a new list, although kube's watcher would resume it.
fn needs_new_list(error: &watcher::Error) -> bool {
    match error {
        // A line that was no event: what it said is lost, so only a list tells what is.
        watcher::Error::WatchFailed(kube::Error::SerdeError(_) | kube::Error::Api(_)) => true,
        // To kube any JSON is a Status, with all that it does not say left empty: this one says nothing.
        watcher::Error::WatchError(status) => status.code == 0,
        // The version that we know is too old. It would be asked for again for ever.
        watcher::Error::WatchStartFailed(kube::Error::Api(status)) => status.code == 410,
        _ => false,
    }
}

fn api<C: Content>(client: Client, target: &Target) -> Api<Watched<C>> {
    match &target.namespace {
        Some(namespace) => Api::namespaced_with(client, paths::segment(namespace), &target.row),
        None => Api::all_with(client, &target.row),
    }
}

fn config(target: &Target) -> watcher::Config {
    let mut config = watcher::Config::default().timeout(WATCH_SECONDS).page_size(PAGE_SIZE);
    if let Some(name) = &target.name {
        config = config.fields(&format!("metadata.name={}", paths::segment(name)));
    }
    if target.streaming { config.streaming_lists() } else { config }
}

fn update<C: Content>(event: Event<Watched<C>>) -> WatchUpdate<C> {
    match event {
        Event::Init => WatchUpdate::ResetStarted,
        Event::InitApply(object) | Event::Apply(object) => {
            WatchUpdate::Apply(object.key().map(|key| (key, object.content)))
        }
        Event::Delete(object) => object.key().map_or(WatchUpdate::Apply(None), WatchUpdate::Delete),
        Event::InitDone => WatchUpdate::ResetDone,
    }
}

fn status(error: &watcher::Error) -> Option<&Status> {
    match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status))
        | watcher::Error::WatchError(status) => Some(status),
        _ => None,
    }
}

/// The update for a refusal that only a person can lift.
fn unavailable<C>(target: &Target, status: &Status) -> Option<WatchUpdate<C>> {
    let plural = &target.row.plural;
    let place = target.namespace.as_ref().map(|namespace| format!(" in namespace {namespace}")).unwrap_or_default();
    match status.code {
        403 => Some(WatchUpdate::Unavailable {
            forbidden: true,
            message: format!("may not watch {plural}{place}: grant list and watch on {plural} ({})", status.message),
        }),
        404 => Some(WatchUpdate::Unavailable {
            forbidden: false,
            message: format!("the cluster does not serve {plural}{place}"),
        }),
        _ => None,
    }
}
