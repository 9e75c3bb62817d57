//! The connection: one factory, so that every request has a time-out, is counted, and carries our name.

mod call;
mod connect;
mod error;
mod first_list;
mod items;
mod layer;
mod login;
mod overrides;
mod places;
mod plugin;
mod probe;
mod proxies;
#[cfg(test)]
mod tests;
mod transport;
mod watching;

use std::sync::Arc;

use http::{Request, Response};
use kube::client::{Body, ClientBuilder};
use tower::{BoxError, Service};

use crate::{clock::ServerClock, metrics::Watches};

pub(in crate::cluster) use call::chain;
pub use call::{Answer, Call, NoAnswer, Unreadable};
pub use connect::{Connection, Place, connect};
pub use error::Error;
use first_list::FirstList;
pub use probe::Server;
pub(in crate::cluster) use watching::Pace;
use watching::Paced;

/// The name by which the API server knows what we write (`managedFields`) and render.
pub const FIELD_MANAGER: &str = "sidecar-drift";

/// The `User-Agent` of every request: `sidecar-drift/0.1.0`.
pub const USER_AGENT: &str = concat!("sidecar-drift/", env!("CARGO_PKG_VERSION"));

/// A connection to one API server. Cheap to clone.
#[derive(Clone)]
pub struct Cluster {
    client: kube::Client,
    /// The same, for watches that begin with a long list.
    long_lists: kube::Client,
    place: Arc<Place>,
    namespace: Arc<str>,
    watches: Watches,
    clock: ServerClock,
}

impl Cluster {
    /// A connection through any HTTP service, such as a mock. `url` is what errors call the server.
    ///
    /// Must be called inside a tokio runtime.
    pub fn from_service<S, B>(service: S, url: &str, namespace: &str) -> Self
    where
        S: Service<Request<Body>, Response = Response<B>> + Send + 'static,
        S::Future: Send + 'static,
        S::Error: Into<BoxError>,
        B: http_body::Body<Data = bytes::Bytes> + Send + 'static,
        B::Error: Into<BoxError>,
    {
        let clock = ServerClock::default();
        let metered = layer::MeteredLayer { read_timeout: layer::READ_TIMEOUT, clock: clock.clone() };
        let client = ClientBuilder::new(service, namespace).with_layer(&metered).build();
        Self::through(client, clock, Place { server: url.to_owned(), context: None }, namespace)
    }

    fn through(client: kube::Client, clock: ServerClock, place: Place, namespace: &str) -> Self {
        let long_lists = kube::Client::new(FirstList::new(client.clone()), namespace);
        let (place, watches) = (Arc::new(place), Watches::default());
        Self { client, long_lists, place, namespace: namespace.into(), watches, clock }
    }

    /// The server's address.
    pub fn url(&self) -> &str {
        &self.place.server
    }

    /// Where it leads.
    pub fn place(&self) -> Place {
        Place::clone(&self.place)
    }

    /// The namespace that the kubeconfig's context names, or the one that our Pod runs in.
    pub fn namespace(&self) -> &str {
        &self.namespace
    }

    /// kube's client, with our time-outs and counting in it.
    pub(crate) fn kube(&self) -> kube::Client {
        self.client.clone()
    }

    /// The same for a watch: at this pace, and as [`FirstList`] asks where it is to begin with a list of many objects.
    pub(in crate::cluster) fn watching(&self, pace: Arc<Pace>, many: bool) -> kube::Client {
        let client = if many { &self.long_lists } else { &self.client };
        kube::Client::new(Paced::new(client.clone(), pace), &*self.namespace)
    }

    /// The server's clock.
    pub fn clock(&self) -> &ServerClock {
        &self.clock
    }

    /// Which of its watches are down.
    pub fn watches(&self) -> &Watches {
        &self.watches
    }
}

impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster")
            .field("place", &self.place)
            .field("namespace", &self.namespace)
            .finish_non_exhaustive()
    }
}
