//! When a token stops.

use clap::Args;
use depthscale::prelude::{Criterion, ExitPolicy};

use crate::failure::Usage;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Depth")]
pub(crate) struct ExitArguments {
    /// When a token stops recurring: CRITERION or CRITERION:THRESHOLD, such as latent-diff:0.03 or q-exit:0.5, or
    /// fixed:STEPS. Without it: the calibrated exit beside the model, else
    /// what its config asks for
    #[arg(long, value_name = "EXIT", allow_hyphen_values = true)]
    exit: Option<ExitPolicy>,

    /// The first step after which a token may stop, counted from 1
    #[arg(long, value_name = "STEPS")]
    min_steps: Option<usize>,

    /// The last step; without --exit, exactly this many steps
    #[arg(long, value_name = "STEPS")]
    max_steps: Option<usize>,

    /// Steps from one check to the next
    #[arg(long, value_name = "STEPS")]
    check_every: Option<usize>,

    /// Checks in a row that must be satisfied
    #[arg(long, value_name = "CHECKS")]
    patience: Option<usize>,
}

impl ExitArguments {
    /// What can be told to be wrong before a model is opened.
    pub(crate) fn check(&self) -> anyhow::Result<()> {
        self.resolve(&ExitPolicy::default()).map(drop)
    }

    /// The policy asked for, where the model's own is `own`.
    pub(crate) fn resolve(&self, own: &ExitPolicy) -> anyhow::Result<ExitPolicy> {
        let mut policy = match (&self.exit, self.max_steps) {
            (Some(exit), _) => exit.clone(),
            (None, Some(_)) => ExitPolicy::default(),
            (None, None) => own.clone(),
        };
        if let (Criterion::Fixed, Some(depth), Some(max_steps)) = (policy.criterion, policy.max_steps, self.max_steps)
            && depth != max_steps
        {
            return Err(Usage::new(format!("--exit fixed:{depth} and --max-steps {max_steps} name two depths")).into());
        }
        policy.max_steps = self.max_steps.or(policy.max_steps);
        policy.min_steps = self.min_steps.unwrap_or(policy.min_steps);
        policy.check_every = self.check_every.unwrap_or(policy.check_every);
        policy.patience = self.patience.unwrap_or(policy.patience);
        policy.validate()?;
        Ok(policy)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> ExitPolicy {
        "q-exit:0.8".parse().expect("a policy")
    }

    #[test]
    fn the_model_decides_where_nobody_else_does() {
        let arguments = ExitArguments { patience: Some(2), ..Default::default() };
        assert_eq!(arguments.resolve(&own()).expect("a policy"), ExitPolicy { patience: 2, ..own() });
    }

    #[test]
    fn a_last_step_alone_is_a_fixed_depth() {
        let arguments = ExitArguments { max_steps: Some(3), ..Default::default() };
        assert_eq!(arguments.resolve(&own()).expect("a policy"), ExitPolicy::fixed(3));
    }

    #[test]
    fn two_depths_and_values_out_of_range_are_refused() {
        let fixed = "fixed:3".parse().ok();
        let arguments = ExitArguments { exit: fixed, max_steps: Some(4), ..Default::default() };
        assert!(arguments.check().is_err());
        assert!(ExitArguments { min_steps: Some(0), ..Default::default() }.check().is_err());
        let crossed = ExitArguments { exit: Some(own()), min_steps: Some(5), max_steps: Some(4), ..Default::default() };
        assert!(crossed.check().is_err());
    }
}
