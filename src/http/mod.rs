//! What the daemon serves, on two listeners: `/healthz`, `/readyz` and `/metrics` for the cluster ([`probes`]), the API and
//! the web page for people ([`Reader`]). All of it reads what is published; nothing waits for the engine.

mod api;
mod host;
mod openapi;
mod page;
mod published;
pub mod query;
mod reader;
mod relay;
mod server;
mod strangers;
#[cfg(test)]
mod tests;

pub use self::{
    openapi::{STATUS as API_STATUS, document},
    published::{LeaderEndpoint, Published},
    reader::Reader,
    server::{BindError, bind, probes, serve},
};
