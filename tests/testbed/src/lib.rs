//! A real control plane on loopback, with injectors.
