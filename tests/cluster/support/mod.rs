//! What the stories have in common: a corner of the cluster, a ServiceAccount with no right too many, and the program.

mod account;
mod beyond;
mod daemon;
mod injector;
mod program;
mod story;
pub(crate) mod web;

use std::time::Duration;

pub(crate) use account::{RELEASE, Rights, until_it_may};
pub(crate) use beyond::{create_beyond, resource_of};
pub(crate) use daemon::{Daemon, Line};
pub(crate) use injector::Injector;
pub(crate) use program::{Document, Finished, run};
pub(crate) use story::{ACCOUNT, Story, story, story_on};

/// Longer than anything a test waits for takes on a busy machine.
pub(crate) const DEADLINE: Duration = Duration::from_mins(3);

/// The label on a Pod that asks an injector for its sidecar; its value is the injector's name.
pub(crate) const INJECT: &str = "testbed.sidecar-drift/inject";
