//! Who changed an object.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::name::Name;

/// Who changed an object last and when, from its managedFields. Writes of its status and its scale are left out: they say
/// nothing of what it is to be.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ChangedBy {
    /// The field manager: `helm`, `kubectl-edit`, ...
    pub manager: Name,
    /// When, if recorded.
    pub time: Option<Timestamp>,
}
