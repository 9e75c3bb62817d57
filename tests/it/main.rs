//! No cluster.

mod architecture;
mod scripts;
