//! No cluster.

mod fidelity;
mod mock_api;
