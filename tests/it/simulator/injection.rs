//! What admission makes of a Pod: one injector, with every bad habit that injectors are known for.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::Duration,
};

use serde_json::{Value, json};
use sidecar_drift::core::{
    io::RenderOutcome,
    model::{Name, WorkloadKey, owner::Kind, shape::PodShape, words::UndeterminedReason},
};

/// The sidecar's name.
pub(super) const SIDECAR: &str = "proxy";

/// A value of the sidecar that nobody may see.
pub(crate) const SECRET: &str = "a-planted-secret";

/// What a Pod is made of, as far as it matters here.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Content {
    /// The owner's version of the application.
    pub(super) app: u32,
    /// The digest that admission pins the application's image to.
    pub(super) digest: u32,
    pub(super) sidecar: Option<Sidecar>,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Sidecar {
    pub(super) version: u32,
    pub(super) native: bool,
    /// A value that is another one each time.
    pub(super) nonce: u64,
    /// A value that is another one each period.
    pub(super) period: u64,
    /// Somebody changed the image of the running container by hand.
    pub(super) by_hand: bool,
    /// What a second mutator adds to it.
    pub(super) role: bool,
    /// The ordinal of its Pod, in a StatefulSet.
    pub(super) ordinal: Option<u32>,
}

impl Content {
    /// Before admission.
    pub(super) fn plain(app: u32) -> Self {
        Self { app, digest: 0, sidecar: None }
    }

    /// Without what is never the same twice.
    pub(super) fn lasting(mut self) -> Self {
        if let Some(sidecar) = &mut self.sidecar {
            sidecar.nonce = 0;
        }
        self
    }

    fn json(&self) -> Value {
        let image = match self.digest {
            0 => format!("app:{}", self.app),
            digest => format!("app:{}@{digest}", self.app),
        };
        let mut containers = vec![json!({ "name": "app", "image": image })];
        let mut init = Vec::new();
        if let Some(sidecar) = &self.sidecar {
            let tag = if sidecar.by_hand { "by-hand".to_owned() } else { sidecar.version.to_string() };
            let mut container = json!({ "name": SIDECAR, "image": format!("proxy:{tag}"), "env": [
                { "name": "NONCE", "value": sidecar.nonce.to_string() },
                { "name": "PERIOD", "value": sidecar.period.to_string() },
                { "name": "TOKEN", "value": SECRET },
            ]});
            let env = container["env"].as_array_mut();
            env.filter(|_| sidecar.role)
                .into_iter()
                .for_each(|env| env.push(json!({ "name": "ROLE", "value": "one" })));
            if let Some(ordinal) = sidecar.ordinal {
                container["args"] = json!([format!("--shard={ordinal}")]);
            }
            if sidecar.native {
                container["restartPolicy"] = json!("Always");
                init.push(container);
            } else {
                containers.push(container);
            }
        }
        json!({ "spec": { "containers": containers, "initContainers": init } })
    }
}

/// Shapes that were made before: they cost more than all the rest.
#[derive(Debug, Default)]
pub(super) struct Shapes(BTreeMap<Content, Arc<PodShape>>);

impl Shapes {
    pub(super) fn of(&mut self, content: Content) -> Arc<PodShape> {
        // One with a nonce is never wanted again.
        if content.sidecar.is_some_and(|sidecar| sidecar.nonce > 0) {
            return Arc::new(PodShape::from_pod(&content.json()));
        }
        self.0.entry(content).or_insert_with(|| Arc::new(PodShape::from_pod(&content.json()))).clone()
    }
}

/// How the injector fails.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Down {
    #[default]
    No,
    /// `failurePolicy: Ignore`: Pods come without their sidecar.
    Ignored,
    /// `failurePolicy: Fail`: no Pods come.
    Fails,
}

/// Why a request came back without a rendering, all of whose kinds are tried.
pub(super) const TROUBLES: [UndeterminedReason; 5] = [
    UndeterminedReason::ApiError,
    UndeterminedReason::Throttled,
    UndeterminedReason::Forbidden,
    UndeterminedReason::QuotaFull,
    UndeterminedReason::InjectorUnavailable,
];

#[derive(Debug, Default)]
#[expect(clippy::struct_excessive_bools, reason = "habits, each by itself")]
pub(super) struct Injector {
    /// What it injects; moves on with each change.
    pub(super) version: u32,
    /// Added in these namespaces: their labels choose a revision.
    pub(super) revisions: BTreeMap<Name, u32>,
    /// Namespaces whose labels switch it off.
    pub(super) off: BTreeSet<Name>,
    pub(super) native: bool,
    pub(super) digest: u32,
    pub(super) down: Down,
    /// It cannot make up its mind about the image.
    pub(super) wavers: bool,
    pub(super) nonce: bool,
    /// A value changes so often.
    pub(super) period: Option<Duration>,
    /// It gives dry runs something else.
    pub(super) dry_runs_differ: bool,
    /// A policy refuses the Pods of these namespaces.
    pub(super) refuses: BTreeSet<Name>,
    /// Dry runs of these namespaces come to nothing, for that reason.
    pub(super) troubles: BTreeMap<Name, UndeterminedReason>,
    /// A second mutator that adds to the sidecar, if there is one.
    pub(super) agent: Option<Agent>,
    /// It selects by a label that only the Pods of a Deployment are given.
    pub(super) deployments_only: bool,
    /// It copies the ordinal of a StatefulSet's Pod into the sidecar.
    pub(super) copies_ordinals: bool,
    pub(super) requests: u64,
}

/// A mutator that fails open.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Agent {
    Up,
    Down,
}

/// A Pod that is to be created.
#[derive(Clone, Copy, Debug)]
pub(super) struct Asked<'a> {
    pub(super) key: &'a WorkloadKey,
    pub(super) app: u32,
    /// Of a StatefulSet's Pod.
    pub(super) ordinal: u32,
    pub(super) at: Duration,
}

/// The API server's answer to the creation of a Pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Answer {
    Created(Content),
    Refused,
    Failed,
}

impl Injector {
    /// What admission makes of a Pod that is created now.
    pub(super) fn admit(&mut self, asked: Asked<'_>, dry_run: bool) -> Answer {
        let namespace = &asked.key.namespace;
        if self.refuses.contains(namespace) {
            return Answer::Refused;
        }
        self.requests += 1;
        let mut content = Content { digest: self.digest, ..Content::plain(asked.app) };
        match self.down {
            _ if !self.selects(asked.key) => return Answer::Created(content),
            Down::Ignored => return Answer::Created(content),
            Down::Fails => return Answer::Failed,
            Down::No => {}
        }
        let wavering = if self.wavers { u32::try_from(self.requests % 2).unwrap_or(0) * 1000 } else { 0 };
        let otherwise = if self.dry_runs_differ && dry_run { 5000 } else { 0 };
        let plain = self.plain(asked);
        content.sidecar = Some(Sidecar { version: plain.version + wavering + otherwise, ..plain });
        if self.nonce
            && let Some(sidecar) = &mut content.sidecar
        {
            sidecar.nonce = self.requests;
        }
        Answer::Created(content)
    }

    /// What a real Pod may be given now, the same each time; `None`: no Pod can be created.
    pub(super) fn wanted(&self, asked: Asked<'_>) -> Option<Content> {
        let selects = self.selects(asked.key);
        if self.refuses.contains(&asked.key.namespace) || (selects && self.down == Down::Fails) {
            return None;
        }
        let mut content = Content { digest: self.digest, ..Content::plain(asked.app) };
        if selects && self.down == Down::No {
            content.sidecar = Some(self.plain(asked));
        }
        Some(content)
    }

    fn selects(&self, key: &WorkloadKey) -> bool {
        !self.off.contains(&key.namespace) && (!self.deployments_only || key.kind == Kind::DEPLOYMENT)
    }

    /// It gives everybody the same, always.
    pub(super) fn is_plain(&self) -> bool {
        !self.wavers && !self.nonce && self.period.is_none() && !self.dry_runs_differ
    }

    fn plain(&self, asked: Asked<'_>) -> Sidecar {
        let of_a_set = self.copies_ordinals && asked.key.kind == Kind::STATEFUL_SET;
        Sidecar {
            version: self.version_in(&asked.key.namespace),
            native: self.native,
            nonce: 0,
            period: self.period.map_or(0, |period| asked.at.as_secs() / period.as_secs().max(1)),
            by_hand: false,
            role: self.agent == Some(Agent::Up),
            ordinal: of_a_set.then_some(asked.ordinal),
        }
    }

    fn version_in(&self, namespace: &Name) -> u32 {
        self.version + self.revisions.get(namespace).copied().unwrap_or(0) * 100
    }
}

/// What a dry run that comes to nothing is answered with.
pub(super) fn trouble(reason: UndeterminedReason) -> RenderOutcome {
    let retry_after = (reason == UndeterminedReason::Throttled).then_some(Duration::from_secs(20));
    RenderOutcome::Undetermined { reason, message: "no rendering today".to_owned(), retry_after }
}
