//! Plays a recording again.

use std::{collections::BTreeMap, fs, path::Path};

use anyhow::{Context as _, bail, ensure};
use jiff::Timestamp;
use serde_json::Value;

use super::{FORMAT, Header, Line, OutstandingRenders, comparable};
use crate::core::{
    io::{Covered, Input, Tried, WatchEvent},
    model::{
        Object, Stamp,
        owner::{Described, Kind},
    },
    report::Report,
    step::Core,
};

/// A replay of hashed values learns which fingerprints are the same; each round may show more of them.
const MAX_ROUNDS: usize = 5;

/// What came of playing a recording again.
#[derive(Clone, Debug)]
pub struct Replayed {
    /// The version of ours that recorded it.
    pub version: String,
    /// Inputs played.
    pub inputs: usize,
    /// The times of the first and the last of them.
    pub span: (Timestamp, Timestamp),
    /// The first input whose effects are others now: its line in the file, the recorded effects, and those of now.
    pub differs: Option<(usize, String, String)>,
    /// The line in whose middle the file ends.
    pub cut_off: Option<usize>,
    /// What readers would have seen after the last of them.
    pub report: Report,
}

/// Fingerprints of a recording and what a replay finds in their place.
type FingerprintMap = BTreeMap<String, String>;

/// Plays the recording in this file again, up to a time, and compares the effects.
///
/// Fails with one sentence if the file cannot be read or is no recording.
pub fn replay(path: &Path, until: Option<Timestamp>) -> anyhow::Result<Replayed> {
    let shown = path.display();
    let text = fs::read(path).with_context(|| format!("cannot read `{shown}`"))?;
    let text = String::from_utf8(text).ok().with_context(|| format!("`{shown}` is no recording: it is not text"))?;
    let mut lines = text.lines();
    let header = header(lines.next().unwrap_or_default()).with_context(|| format!("`{shown}` cannot be replayed"))?;
    let whole = text.ends_with('\n');
    let (mut inputs, mut cut_off) = (Vec::new(), None);
    let rest: Vec<_> = lines.collect();
    for (at, line) in rest.iter().enumerate() {
        match serde_json::from_str::<Line>(line) {
            Ok(line) => inputs.push(line),
            Err(_) if at + 1 == rest.len() && !whole => cut_off = Some(at + 2),
            Err(error) => bail!("`{shown}` cannot be replayed: line {} is no input ({error})", at + 2),
        }
    }
    if let Some(until) = until {
        let began = header.now.wall;
        ensure!(until >= began, "`{shown}` begins at {began}, after the time of `--at`");
        // The wall clock may jump; what was read after the time is not yet known then.
        let last = inputs.iter().rposition(|line| line.now.wall <= until).map_or(0, |at| at + 1);
        if last < inputs.len() {
            cut_off = None;
        }
        inputs.truncate(last);
    }
    let mut known = FingerprintMap::new();
    for _ in 1..MAX_ROUNDS {
        let before = known.clone();
        let replayed = play(&header, &inputs, cut_off, &mut known)?;
        if replayed.differs.is_none() || header.plain || known == before {
            return Ok(replayed);
        }
    }
    play(&header, &inputs, cut_off, &mut known)
}

fn header(line: &str) -> anyhow::Result<Header> {
    let none = "it does not begin as a recording of `sidecar-drift run --record` does";
    let value: Value = serde_json::from_str(line).ok().context(none)?;
    let format = value.get("sidecar_drift_recording").and_then(Value::as_u64).context(none)?;
    ensure!(
        format == u64::from(FORMAT),
        "it is a recording of format {format}, and this version reads format {FORMAT}; use the version that wrote it"
    );
    let senseless = "its first line makes no sense";
    // The rest names them.
    let owners = value.get("owners").and_then(Value::as_array).into_iter().flatten();
    for owner in owners {
        Kind::describe(&serde_json::from_value::<Described>(owner.clone()).context(senseless)?)?;
    }
    serde_json::from_value(value).context(senseless)
}

fn play(
    header: &Header,
    inputs: &[Line],
    cut_off: Option<usize>,
    known: &mut FingerprintMap,
) -> anyhow::Result<Replayed> {
    let mut core = Core::new(header.policy.clone(), header.sources.iter().cloned(), header.seed, header.now);
    let (mut now, mut differs) = (header.now, None);
    let mut asked = OutstandingRenders::default();
    for (at, line) in inputs.iter().enumerate() {
        now = line.now;
        let mut input = line.input.clone();
        translate(&mut input, known);
        let answered = asked.take_answered(&input);
        let effects = core.step(input, line.now);
        let found = answered.and_then(|key| core.target(&key));
        if let (Some(recorded), Some(found)) = (&line.target, found.filter(|found| !found.is_empty())) {
            known.insert(recorded.clone(), found.to_owned());
        }
        asked.note(&effects);
        if differs.is_none() {
            let found = effects.iter().map(|effect| comparable(effect, header.plain));
            let found = found.collect::<Result<Vec<_>, _>>()?;
            let mut recorded = line.effects.clone();
            for effect in &mut recorded {
                translate_effect(effect, known);
            }
            if recorded != found {
                differs = Some((at + 2, Value::from(recorded).to_string(), Value::from(found).to_string()));
            }
        }
    }
    Ok(Replayed {
        version: header.version.clone(),
        inputs: inputs.len(),
        span: (header.now.wall, now.wall),
        differs,
        cut_off,
        report: core.report(now),
    })
}

/// Stamps carry fingerprints of values as they were.
fn translate(input: &mut Input, known: &FingerprintMap) {
    let stamp = |stamp: &mut Stamp| {
        if let Some(other) = stamp.fingerprint.as_ref().and_then(|found| known.get(found)) {
            stamp.fingerprint = Some(other.clone());
        }
    };
    match input {
        Input::State(Some(record)) => {
            let attempts = record.attempts.0.values_mut().flatten();
            attempts.for_each(|tried| translate_attempt(tried, known));
            record.canaries.values_mut().for_each(|canary| canary.covers.translate(known.iter()));
        }
        Input::Watch { event: WatchEvent::Apply(Object::Workload(w)), .. } => {
            w.template.stamp.iter_mut().for_each(stamp);
        }
        Input::Rendered(reply) => {
            if let Some(confirmation) = &mut reply.confirmation {
                confirmation.workload.template.stamp.iter_mut().for_each(stamp);
                confirmation.history.iter_mut().map(|attempt| &mut attempt.stamp).for_each(stamp);
            }
        }
        _ => {}
    }
}

fn translate_attempt(tried: &mut Tried, known: &FingerprintMap) {
    for (found, other) in known {
        tried.translate(found, other);
    }
}

fn translate_effect(effect: &mut Value, known: &FingerprintMap) {
    let attempts = effect.pointer_mut("/write_state/attempts").and_then(Value::as_object_mut);
    let attempts = attempts.into_iter().flat_map(|all| all.values_mut()).filter_map(Value::as_array_mut).flatten();
    for text in attempts {
        if let Some(Ok(mut tried)) = text.as_str().map(str::parse::<Tried>) {
            translate_attempt(&mut tried, known);
            *text = tried.to_string().into();
        }
    }
    let canaries = effect.pointer_mut("/write_state/canaries").and_then(Value::as_object_mut);
    for text in canaries.into_iter().flat_map(|all| all.values_mut()).filter_map(|canary| canary.get_mut("covers")) {
        if let Some(Ok(mut covered)) = text.as_str().map(str::parse::<Covered>) {
            covered.translate(known.iter());
            *text = String::from(covered).into();
        }
    }
    let Some(found) = effect.pointer_mut("/patch/stamp/fingerprint") else { return };
    if let Some(other) = found.as_str().and_then(|text| known.get(text)) {
        *found = other.clone().into();
    }
}
