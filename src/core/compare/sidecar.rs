//! Which containers are sidecars (rule C1).

use std::collections::BTreeSet;

use super::{image::Image, rendering::Rendering};
use crate::core::model::{
    Name,
    canonical::whole_word,
    shape::{ContainerShape, PodShape},
};

/// Which containers are taken for sidecars.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SidecarSelection {
    /// Those of these names, whoever put them into the Pod. Empty: every injected container, see [`injected`].
    pub named: BTreeSet<Name>,
}

impl SidecarSelection {
    /// The sidecars of a workload: those that a rendering has, and those that `running` has.
    pub fn sidecars(&self, rendering: &Rendering, running: Option<&PodShape>) -> BTreeSet<Name> {
        let Rendering { template, rendered, .. } = rendering;
        if self.named.is_empty() {
            let by_running = running.into_iter().flat_map(|pod| chosen(pod, |c| added_to_running(template, c)));
            return injected(template, rendered).into_iter().chain(by_running).collect();
        }
        let shapes = running.into_iter().chain([&**rendered]);
        shapes.flat_map(|pod| chosen(pod, |c| self.named.contains(&c.name))).collect()
    }
}

/// The containers of a rendering that its template does not have, or whose image the template leaves to admission.
///
/// An image is left to admission where the template holds a *placeholder*: a blank or one bare word (`auto`), without
/// registry, path, tag or digest, in whose place the rendering has an image whose path does not contain that word. So
/// `auto`, replaced by `docker.io/istio/proxyv2:1.27.0`, is a placeholder; `nginx`, replaced by `nginx@sha256:…` or by
/// `mirror.corp/library/nginx:1.29`, is not: that is a pinned digest or a mirrored registry, and collateral.
pub fn injected(template: &PodShape, rendered: &PodShape) -> BTreeSet<Name> {
    chosen(rendered, |c| template.container(&c.name).is_none_or(|own| is_placeholder_of(&own.image, &c.image)))
        .collect()
}

/// A sidecar's container in the running Pod and in the rendering; `None` where it is not there, or is the template's
/// placeholder which admission did not fill: that is not the sidecar yet, or no more.
pub(super) fn pair<'s>(
    rendering: &'s Rendering,
    running: &'s PodShape,
    name: &str,
) -> (Option<&'s ContainerShape>, Option<&'s ContainerShape>) {
    let (runs, rendered) = (running.container(name), rendering.rendered.container(name));
    let Some(own) = rendering.template.container(name) else { return (runs, rendered) };
    let left_to_admission = rendered.is_some_and(|c| is_placeholder_of(&own.image, &c.image))
        || runs.is_some_and(|c| added_to_running(&rendering.template, c));
    let filled = |c: &&ContainerShape| !(left_to_admission && c.image == own.image);
    (runs.filter(filled), rendered.filter(filled))
}

/// Whether admission put this container into a running Pod. That its image is another one than the template's proves
/// nothing alone, because the image of a live Pod can be patched; nothing else of what is compared can.
fn added_to_running(template: &PodShape, container: &ContainerShape) -> bool {
    template.container(&container.name).is_none_or(|own| {
        let others = |c: &ContainerShape| {
            let mut fields = c.projection.value();
            fields.as_object_mut().map(|fields| fields.remove("image"));
            fields
        };
        is_placeholder_of(&own.image, &container.image) && others(own) != others(container)
    })
}

fn chosen(pod: &PodShape, choose: impl Fn(&ContainerShape) -> bool) -> impl Iterator<Item = Name> {
    pod.containers.iter().filter(move |c| choose(c)).map(|c| c.name.clone())
}

fn is_placeholder_of(template: &str, pod: &str) -> bool {
    let word = template.trim();
    let bare = !word.contains(['/', ':', '@']);
    let path = Image::parse(pod).path;
    bare && template != pod && (word.is_empty() || whole_word::replace(path, word, "") == path)
}

#[cfg(test)]
#[path = "sidecar_tests.rs"]
mod tests;
