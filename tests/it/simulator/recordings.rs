//! Recordings of histories: played again they have the same effects, whether values were kept or not.

use std::{
    fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
};

use anyhow::{Context as _, Result, ensure};
use sidecar_drift::daemon::recording::{Replayed, replay};

use super::{injection::SECRET, scenario::Scenario, tamper::Tamper, weather::Weather, world::World};

/// Plays a history; returns the recordings of all its processes.
pub(crate) fn recorded(seed: u64, plain: bool) -> Result<(tempfile::TempDir, Vec<PathBuf>)> {
    let directory = tempfile::tempdir()?;
    let mut scenario = Scenario::new(seed);
    // A number that is hidden does not show any more that it is the Pod's ordinal.
    scenario.weather.retain(|weather| plain || *weather != Weather::Ordinals);
    let mut world = World::new(scenario, Tamper::Nothing, false);
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

#[test]
fn a_recording_is_its_owners_and_holds_no_value_unless_that_is_wanted() -> Result<()> {
    for plain in [false, true] {
        let (_directory, files) = recorded(3, plain)?;
        for file in &files {
            let text = fs::read_to_string(file)?;
            ensure!(text.contains("TOKEN"), "nothing of the sidecar is in the recording");
            assert_eq!(text.contains(SECRET), plain, "with values kept: {plain}");
            assert_eq!(fs::metadata(file)?.permissions().mode() & 0o777, 0o600);
        }
    }
    Ok(())
}

#[test]
fn what_is_no_recording_is_named_as_such() -> Result<()> {
    let directory = tempfile::tempdir()?;
    let file = directory.path().join("file");
    let why = |content: &[u8]| -> Result<String> {
        fs::write(&file, content)?;
        let error = replay(&file, None).err().context("it was taken for a recording")?;
        Ok(format!("{error:#}").replace(&file.display().to_string(), "FILE"))
    };
    let foreign = "`FILE` cannot be replayed: it does not begin as a recording of `sidecar-drift run --record` does";
    assert_eq!(why(b"")?, foreign);
    assert_eq!(why(b"hello\n")?, foreign);
    assert_eq!(why(b"{\"kind\":\"Pod\"}\n")?, foreign);
    assert_eq!(why(&[0xff, 0xfe, 0])?, "`FILE` is no recording: it is not text");
    let newer = why(b"{\"sidecar_drift_recording\":7}\n")?;
    assert!(
        newer
            .ends_with("it is a recording of format 7, and this version reads format 1; use the version that wrote it")
    );
    let missing = replay(&directory.path().join("none"), None).err().context("it is there")?;
    assert!(format!("{missing:#}").starts_with("cannot read `"), "{missing:#}");
    Ok(())
}

#[test]
fn a_recording_that_is_cut_off_is_replayed_up_to_there_and_one_that_was_changed_differs() -> Result<()> {
    let (_directory, files) = recorded(3, false)?;
    let file = files.first().context("no recording")?;
    let text = fs::read_to_string(file)?;
    let lines = text.lines().count();

    fs::write(file, &text[..text.len() - 10])?;
    let replayed = same(file)?;
    assert_eq!((replayed.inputs, replayed.cut_off), (lines - 2, Some(lines)));

    // A broken line in the middle is no crash of ours.
    let broken: Vec<_> = text.lines().enumerate().map(|(at, line)| if at == 5 { "{" } else { line }).collect();
    fs::write(file, broken.join("\n") + "\n")?;
    let why = replay(file, None).err().context("a broken line was replayed")?;
    assert!(format!("{why:#}").contains("line 6 is no input"), "{why:#}");

    let (before, after) = text.split_once("\"render\":{\"confirm\":false").context("nothing was rendered")?;
    fs::write(file, format!("{before}\"render\":{{\"confirm\":true{after}"))?;
    let (line, recorded, found) = replay(file, None)?.differs.context("another effect was not noticed")?;
    assert_eq!(line, before.lines().count());
    assert!(recorded.contains("\"confirm\":true") && found.contains("\"confirm\":false"), "{recorded} {found}");
    Ok(())
}

#[test]
fn a_replay_can_stop_at_any_moment() -> Result<()> {
    let (_directory, files) = recorded(3, true)?;
    let file = files.first().context("no recording")?;
    let whole = replay(file, None)?;
    let (from, to) = whole.span;
    let middle = from + to.duration_since(from) / 2;
    let half = replay(file, Some(middle))?;
    ensure!(half.inputs > 0 && half.inputs < whole.inputs, "{} of {} inputs", half.inputs, whole.inputs);
    ensure!(half.report.taken <= middle && half.differs.is_none(), "it went on to {}", half.report.taken);
    let early = replay(file, Some(from - jiff::SignedDuration::from_secs(1))).err().context("before it began")?;
    ensure!(format!("{early:#}").contains("after the time of `--at`"), "{early:#}");
    Ok(())
}
