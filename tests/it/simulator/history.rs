//! Inputs as one line of text.

use sidecar_drift::core::{
    io::{Input, WatchEvent},
    model::Object,
};

use crate::scripts::show;

pub(super) fn input(input: &Input) -> String {
    match input {
        Input::Watch { source, event } => match event {
            WatchEvent::Apply(object) => self::object(object),
            WatchEvent::Delete(key) => format!("{:?} {}/{} is gone", source.kind, key.namespace, key.name),
            WatchEvent::ResetStarted => format!("{:?} are listed", source.kind),
            WatchEvent::ResetDone => format!("{:?} were listed", source.kind),
            WatchEvent::Interrupted => format!("the watch of {source} has no connection"),
            WatchEvent::Resumed => format!("the watch of {source} has one again"),
            WatchEvent::Unavailable { message, .. } => format!("{:?} cannot be watched: {message}", source.kind),
        },
        Input::Rendered(reply) => {
            let mut outcome = format!("{:?}", reply.outcome);
            if outcome.len() > 80 {
                outcome = outcome.chars().take_while(|c| c.is_alphanumeric()).collect();
            }
            let read = reply.confirmation.as_ref().map(|c| format!(", read at {}", c.workload.resource_version));
            format!("rendering {}: {outcome}{}", reply.ticket, read.unwrap_or_default())
        }
        Input::State(state) => format!("state: {}", state.as_ref().map_or("missing".to_owned(), show::state)),
        other => format!("{other:?}"),
    }
}

fn object(object: &Object) -> String {
    match object {
        Object::Workload(w) => format!(
            "{} at {}, generation {}/{}, {:?}, revision {}{}{}{}",
            w.key,
            w.resource_version,
            w.observed_generation,
            w.generation,
            w.counts,
            w.revision,
            if w.deadline_exceeded { ", deadline exceeded" } else { "" },
            w.template.stamp.as_ref().map(|s| format!(", stamp {}", s.timestamp)).unwrap_or_default(),
            if w.says.is_empty() { String::new() } else { format!(", says {:?}", w.says) },
        ),
        Object::Pod(pod) => {
            let images: Vec<_> = pod.shape.containers.iter().map(|c| &*c.image).collect();
            format!("Pod {}/{} of {}: {images:?}, {:?}", pod.key.namespace, pod.key.name, pod.revision, pod.state)
        }
        Object::ReplicaSet(rs) => format!("ReplicaSet {} revision {}", rs.key.name, rs.revision),
        Object::Namespace(ns) => format!("Namespace {} {} says {:?}", ns.name, ns.hash, ns.says),
        other => format!("{other:?}"),
    }
}
