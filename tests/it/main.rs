//! Everything that needs no cluster.

#[cfg(test)]
mod architecture;
#[cfg(test)]
mod chart;
#[cfg(test)]
mod cli;
#[cfg(test)]
mod fidelity;
#[cfg(test)]
mod image;
#[cfg(test)]
mod lease;
#[cfg(test)]
mod mock_api;
#[cfg(test)]
mod objects;
#[cfg(test)]
mod observability;
#[cfg(test)]
mod reading;
#[cfg(test)]
mod schema;
#[cfg(test)]
mod scripts;
#[cfg(test)]
mod simulator;
#[cfg(test)]
mod vocabulary;
