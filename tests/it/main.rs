//! No cluster.

mod mock_api;
