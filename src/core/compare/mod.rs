//! Comparing a running Pod with a rendering.
//!
//! Owns nothing.
//! Is given the shapes of a Pod and of its renderings, what is volatile, and the rules of a site.
//! Gives the fields that differ, what a restart would bring along, and fingerprints.
//! May never know of a workload, and never shows a value in a pointer.
//!
//! Which containers are compared: [`SidecarSelection::sidecars`] (rules C1, C2). What of them: their projections, leaf
//! by leaf ([`leaves`]), without what is volatile ([`volatile`], rule R8) and with the name of the running Pod in the place of
//! the rendered one ([`NameMap`], rule R3). What else a restart would bring: [`Comparison::collateral`] (rule C14).

mod comparison;
mod difference;
mod field;
mod identity;
mod ignore;
mod image;
mod loss;
mod mask;
mod order;
mod redacted_pointer;
mod rendering;
mod sidecar;
mod target;
mod title;
mod volatile;

pub use self::{
    comparison::{Against, compare, compare_against, compare_all},
    difference::{Comparison, FieldChange, IMAGE, ORDER, SidecarDifference, Text},
    field::leaves,
    identity::{NameMap, PodIdentity, RenderedFor, depends_on_pod},
    ignore::{IgnoreRule, IgnoreUse, Ignored},
    loss::{Given, Loss, Split, lasting_pointers, only_loses, split},
    mask::Mask,
    order::with_order,
    redacted_pointer::{hidden_member, speaks_of},
    rendering::Rendering,
    sidecar::{SidecarSelection, injected},
    target::{Targets, target_fingerprint},
    title::title,
    volatile::{Unstable, volatile},
};
