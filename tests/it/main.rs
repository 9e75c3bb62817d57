//! No cluster.

#[cfg(test)]
mod cli;
