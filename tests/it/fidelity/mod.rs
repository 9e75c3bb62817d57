//! The comparator against Pods as injectors leave them: small ones of our own, and recordings of real injectors.

#![expect(clippy::expect_used, clippy::panic, reason = "a fixture that cannot be read must end the test")]

mod fixtures;
mod properties;
mod recordings;
