//! `testbed demo`: the story of the README, played on a control plane of its own.
