//! Recordings of histories: played again they have the same effects, whether values were kept or not.

use std::{
    fs,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use sidecar_drift::daemon::recording::{Replayed, replay};

use super::{scenario::Scenario, tamper::Tamper, world::World};

/// Plays a history; returns the recordings of all its processes.
fn recorded(seed: u64, plain: bool) -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let directory = tempfile::tempdir()?;
    let mut world = World::new(Scenario::new(seed), Tamper::Nothing, false);
    world.record_in = Some((directory.path().to_owned(), plain));
    world.play()?;
    drop(world);
    let files = fs::read_dir(directory.path())?.map(|entry| Ok(entry?.path())).collect::<Result<_>>()?;
    Ok((directory, files))
}

fn same(file: &Path) -> Result<Replayed> {
    let replayed = replay(file, None).with_context(|| file.display().to_string())?;
    if let Some((line, recorded, found)) = &replayed.differs {
        anyhow::bail!("line {line}: {recorded}\nbut now {found}");
    }
    Ok(replayed)
}

#[test]
fn a_history_that_was_recorded_has_the_same_effects_again() -> Result<()> {
    let mut inputs = 0;
    for seed in 1..9 {
        let (_directory, files) = recorded(seed, seed % 2 == 0)?;
        ensure!(!files.is_empty(), "nobody recorded anything");
        for file in &files {
            inputs += same(file).with_context(|| format!("seed {seed}"))?.inputs;
        }
    }
    ensure!(inputs > 1000, "only {inputs} inputs were played again");
    Ok(())
}
