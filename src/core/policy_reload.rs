//! A configuration that changes while we run.

use crate::core::{
    config::Policy,
    model::time::Now,
    render::budget::TokenBucket,
    step::{Core, new_starts},
};

impl Core {
    /// From here on the configuration is another. The budgets begin with nothing, so that nobody gets more by changing
    /// them often.
    pub(in crate::core) fn obey(&mut self, policy: Policy, now: Now) {
        self.renders = TokenBucket::empty(policy.renders_per_second, policy.render_burst.max(1), now.elapsed);
        if (policy.max_rollouts_per_hour, policy.parallel_rollouts)
            != (self.policy.max_rollouts_per_hour, self.policy.parallel_rollouts)
        {
            self.starts = new_starts(&policy, now);
        }
        if policy.blocking_alerts != self.policy.blocking_alerts {
            self.alerts.forget();
        }
        self.policy = policy;
        self.dirty.extend(self.index.workloads().map(|(key, _)| key.clone()));
        self.replan = true;
    }
}
