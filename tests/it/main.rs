//! No cluster.
