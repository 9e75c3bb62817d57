//! `sidecar-drift version`

use clap::Args;

use super::{context::Context, exit::Exit};

/// Says which one this is.
#[derive(Debug, Args)]
pub struct Version {}

impl Version {
    #[expect(clippy::unused_self, reason = "every command has the same shape")]
    pub(super) fn execute(self, context: &mut Context<'_>) -> anyhow::Result<Exit> {
        context.console.print(concat!("sidecar-drift ", env!("CARGO_PKG_VERSION")))?;
        Ok(Exit::Ok)
    }
}
