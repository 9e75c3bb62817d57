//! No cluster.

mod architecture;
