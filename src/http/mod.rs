//! What the daemon serves: `/healthz`, `/readyz` and `/metrics`.

mod published;
mod server;
#[cfg(test)]
mod tests;

pub use self::{
    published::Published,
    server::{BindError, bind, serve},
};
