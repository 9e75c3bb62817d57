//! Recordings: every input of the core with its time, so that what happened once can be played again ([`replay`]).
//!
//! A recording is a text file, readable by its owner only. Its first line says what the core began with, and each further
//! one is an input as JSON, with the effects that it had. Values of env, args and commands are kept as keyed hashes, by a
//! key that ends with the process; equal values stay equal.

mod redact;
mod replay;

use std::{
    collections::HashMap,
    fs::{self, File},
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use self::redact::Redactor;
pub use self::replay::{Replayed, replay};
use crate::{
    config::Recording,
    core::{
        config::Policy,
        io::{Effect, Input, WatchSource},
        model::{WorkloadKey, owner::Described, time::Now},
        step::Core,
    },
    platform,
};

/// The version of the format; another one is refused.
const FORMAT: u32 = 1;

/// Which workload each rendering that is outstanding was asked for.
#[derive(Debug, Default)]
struct OutstandingRenders(HashMap<u64, WorkloadKey>);

impl OutstandingRenders {
    /// The workload whose rendering this input brings.
    fn take_answered(&mut self, input: &Input) -> Option<WorkloadKey> {
        match input {
            Input::Rendered(reply) => self.0.remove(&reply.ticket),
            _ => None,
        }
    }

    /// Takes in what these effects ask for.
    fn note(&mut self, effects: &[Effect]) {
        for effect in effects {
            if let Effect::Render(request) = effect {
                self.0.insert(request.ticket, request.workload.key.clone());
            }
        }
    }
}

/// What the core began with.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
struct Header {
    /// The version of the format.
    sidecar_drift_recording: u32,
    /// Ours.
    version: String,
    /// Values are kept as they were.
    plain: bool,
    /// Kinds that were described, by whose names the rest speaks of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    owners: Vec<Described>,
    policy: Policy,
    sources: Vec<WatchSource>,
    seed: u64,
    now: Now,
}

/// One input.
#[derive(Clone, Debug, Serialize, Deserialize)]
struct Line {
    now: Now,
    input: Input,
    /// As JSON: they are only compared.
    effects: Vec<Value>,
    /// After a rendering: the fingerprint of what a rollout would bring. A replay of hashed values finds another one, and
    /// must know that the two are the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    target: Option<String>,
}

/// Writes a recording.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: BufWriter<File>,
    /// Bytes that may still be written.
    left: u64,
    /// `None`: values are kept as they are.
    redactor: Option<Redactor>,
    /// Renderings under way: for whom.
    asked: OutstandingRenders,
}

impl Recorder {
    /// Begins a recording of a core that is made just like this.
    pub fn begin(
        wanted: &Recording,
        policy: &Policy,
        sources: Vec<WatchSource>,
        seed: u64,
        now: Now,
    ) -> anyhow::Result<Self> {
        let Recording { path, limit, plain } = wanted;
        keep_previous(path)?;
        let file = platform::files::create_private(path)
            .with_context(|| format!("cannot begin the recording `{}`", path.display()))?;
        let redactor = if *plain { None } else { Some(Redactor::random()?) };
        let header = Header {
            sidecar_drift_recording: FORMAT,
            version: env!("CARGO_PKG_VERSION").to_owned(),
            plain: *plain,
            owners: policy.kinds.iter().filter_map(|kind| kind.described().cloned()).collect(),
            policy: policy.clone(),
            sources,
            seed,
            now,
        };
        let (path, left, asked) = (path.clone(), *limit, OutstandingRenders::default());
        let mut recorder = Self { path, file: BufWriter::new(file), left, redactor, asked };
        recorder.write(&serde_json::to_string(&header)?)?;
        tracing::info!(file = %recorder.path.display(), "recording every input");
        Ok(recorder)
    }

    /// Writes an input down with its effects. An error ends the recording.
    pub fn record(&mut self, mut input: Input, now: Now, effects: &[Effect], core: &Core) -> anyhow::Result<()> {
        let answered = self.asked.take_answered(&input);
        let target = answered.and_then(|key| core.target(&key)).filter(|target| !target.is_empty());
        self.asked.note(effects);
        if let Some(redactor) = &self.redactor {
            redactor.input(&mut input);
        }
        let effects = effects.iter().map(|effect| comparable(effect, self.redactor.is_none()));
        let effects = effects.collect::<Result<_, _>>()?;
        let line = Line { now, input, effects, target: target.map(str::to_owned) };
        self.write(&serde_json::to_string(&line)?)
    }

    fn write(&mut self, line: &str) -> anyhow::Result<()> {
        let length = line.len() as u64 + 1;
        anyhow::ensure!(length <= self.left, "it has grown as large as `--record-limit` allows");
        self.left -= length;
        writeln!(self.file, "{line}").with_context(|| format!("cannot write to `{}`", self.path.display()))
    }

    /// Everything so far is in the file.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        self.file.flush().with_context(|| format!("cannot write to `{}`", self.path.display()))
    }
}

/// The recording of an earlier process stays beside the new one: it is most likely the one that somebody wants to see.
fn keep_previous(path: &Path) -> anyhow::Result<()> {
    if !path.exists() {
        return Ok(());
    }
    let mut kept = path.as_os_str().to_owned();
    kept.push(".1");
    fs::rename(path, &kept).with_context(|| format!("cannot put the last recording `{}` aside", path.display()))
}

/// An effect as it is compared; what it quotes may be a value.
fn comparable(effect: &Effect, plain: bool) -> serde_json::Result<Value> {
    let mut effect = serde_json::to_value(effect)?;
    if !plain {
        redact::redact_quotes(&mut effect);
    }
    Ok(effect)
}
