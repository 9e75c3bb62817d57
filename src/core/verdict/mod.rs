//! Verdicts: what is known of each workload.
//!
//! Owns one case for each workload (its renderings and what came of comparing), when each is to be judged again, which
//! workloads differ, and what real Pods and renderings say together about admission.
//! Is given changes, scope changes, answers to renderings, and what rollouts found out.
//! Gives [`Judgement`]s: a verdict, where the workload stands, and what it takes to know more.
//! May never restart anything, and knows of a rollout only by the locks that are lent to it.

mod absences;
mod admission_evidence;
mod affected;
mod answers;
mod assess;
mod case;
mod evidence;
mod failures;
mod judge;
mod judged;
mod mask_healing;
mod pod_group;
mod render_set;
mod ripe_pods;
mod samples;
mod trouble;
mod verdicts;
mod waiting;
mod witnesses;

pub use self::{
    admission_evidence::{ContradictingPod, UNCERTAIN_RETRY},
    case::{Case, RenderSet},
    judge::change,
    judged::{Judged, fields},
    pod_group::PodGroup,
    verdicts::{Contradiction, Judgement, Standing, Verdicts},
};
