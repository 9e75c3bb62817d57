//! The name of a workload on the command line.

use std::str::FromStr;

use super::{engine::NamedWorkload, exit::UsageError};
use crate::{
    config::{DnsLabel, values::KindName},
    core::model::{Name, owner::Kind},
};

/// A workload on the command line: `deployment/cart`, or with its namespace, as in our output: `Deployment/shop/cart`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct WorkloadName {
    /// The kind.
    pub kind: Kind,
    /// Its namespace, if the name contains it.
    namespace: Option<DnsLabel>,
    /// The name.
    pub name: Name,
}

impl WorkloadName {
    /// The namespace in the name, if any. It must be one of `--namespace`, if that is given.
    pub(super) fn namespace(&self, flags: &[DnsLabel]) -> Result<Option<&DnsLabel>, UsageError> {
        match (&self.namespace, flags) {
            (Some(own), [flag, ..]) if !flags.contains(own) => Err(UsageError(format!(
                "`--namespace {}` and the namespace `{}` of the workload are two; leave one out",
                flag.0, own.0
            ))),
            (own, _) => Ok(own.as_ref()),
        }
    }

    /// The workload, with the namespace of `--namespace` if the name contains none.
    pub(super) fn within(self, flag: Option<DnsLabel>) -> Result<NamedWorkload, UsageError> {
        let namespace = self.namespace(flag.as_slice())?.cloned().or(flag);
        Ok(NamedWorkload { kind: self.kind, namespace: namespace.map(|label| label.0.into()), name: self.name })
    }
}

impl FromStr for WorkloadName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<_> = text.split('/').collect();
        let (kind, namespace, name) = match parts[..] {
            [kind, name] if !name.is_empty() => (kind, None, name),
            [kind, namespace, name] if !name.is_empty() => (kind, Some(namespace.parse()?), name),
            _ => {
                return Err(
                    "a workload is named KIND/NAME, such as `deployment/cart`, or KIND/NAMESPACE/NAME".to_owned()
                );
            }
        };
        let KindName(kind) = kind.parse()?;
        Ok(Self { kind, namespace, name: name.into() })
    }
}
