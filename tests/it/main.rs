//! No cluster.

mod fidelity;
