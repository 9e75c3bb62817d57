//! Injectors that people run, on a real control plane: `make test-injectors`. Each test has a control plane of its own, since
//! an injector is there for the whole cluster, and writes what it found into its part of `docs/injectors.md`.

mod corpus;
mod findings;
mod trial;
mod vault;
