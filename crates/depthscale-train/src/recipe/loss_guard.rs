//! The guard at work: which steps are applied.

use std::collections::VecDeque;
use std::fmt;

use serde::{Deserialize, Serialize};

use super::guard::GuardConfig;

/// Judges each step before it is applied. It is saved with checkpoints, so that a resumed run judges as the uninterrupted
/// one would have.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct LossGuard {
    /// What it follows.
    pub config: GuardConfig,
    /// The last accepted losses, the oldest first; at most the window, none where spikes are not looked for.
    pub accepted: VecDeque<f64>,
    /// Steps skipped since the last one that was applied.
    pub skipped_in_a_row: usize,
    /// Steps applied in all.
    pub applied: u64,
    /// Steps skipped in all, the one that stops the run included.
    pub skipped: u64,
}

/// What becomes of a step.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Verdict {
    /// It is applied.
    Apply,
    /// It is left out, and training goes on.
    Skip(SkipReason),
    /// It is left out, and so were too many before it: the run ends. The reason is that of this step.
    Stop(SkipReason),
}

/// Why a step is left out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum SkipReason {
    /// The loss or the norm of the gradient is infinite or not a number.
    NotFinite {
        /// The loss.
        loss: f64,
        /// The global norm of the gradient.
        gradient_norm: f64,
    },
    /// The loss is above the limit.
    Spike {
        /// The loss.
        loss: f64,
        /// `mean + deviations * std` of the window.
        limit: f64,
    },
}

impl fmt::Display for SkipReason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotFinite { loss, gradient_norm } => {
                write!(f, "the loss is {loss} and the gradient's norm {gradient_norm}: both must be finite")
            }
            Self::Spike { loss, limit } => {
                write!(f, "the loss is {loss:.4}: must be at most {limit:.4}, from the losses before it")
            }
        }
    }
}

impl LossGuard {
    /// A guard that has seen nothing.
    pub fn new(config: GuardConfig) -> Self {
        Self { config, accepted: VecDeque::new(), skipped_in_a_row: 0, applied: 0, skipped: 0 }
    }

    /// Judges a step by its loss and the global norm of its gradient before clipping, and remembers it.
    pub fn judge(&mut self, loss: f64, gradient_norm: f64) -> Verdict {
        let Some(reason) = self.reason_to_skip(loss, gradient_norm) else {
            self.accept(loss);
            return Verdict::Apply;
        };
        self.skipped += 1;
        self.skipped_in_a_row += 1;
        if self.skipped_in_a_row > self.config.most_skipped_in_a_row {
            Verdict::Stop(reason)
        } else {
            Verdict::Skip(reason)
        }
    }

    /// The loss above which a step is skipped; none before the window is full.
    pub fn limit(&self) -> Option<f64> {
        let spike = self.config.spike.as_ref()?;
        if self.accepted.len() < spike.window {
            return None;
        }
        let count = self.accepted.len() as f64;
        let mean = self.accepted.iter().sum::<f64>() / count;
        let variance = self.accepted.iter().map(|loss| (loss - mean).powi(2)).sum::<f64>() / count;
        Some(mean + spike.deviations * variance.sqrt())
    }

    fn reason_to_skip(&self, loss: f64, gradient_norm: f64) -> Option<SkipReason> {
        if !loss.is_finite() || !gradient_norm.is_finite() {
            return Some(SkipReason::NotFinite { loss, gradient_norm });
        }
        self.limit().filter(|&limit| loss > limit).map(|limit| SkipReason::Spike { loss, limit })
    }

    fn accept(&mut self, loss: f64) {
        self.applied += 1;
        self.skipped_in_a_row = 0;
        if let Some(spike) = &self.config.spike {
            self.accepted.push_back(loss);
            while self.accepted.len() > spike.window {
                self.accepted.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::guard::SpikeConfig;
    use super::*;

    fn guard() -> LossGuard {
        let spike = Some(SpikeConfig { deviations: 2.0, window: 4 });
        LossGuard::new(GuardConfig { spike, most_skipped_in_a_row: 2 })
    }

    #[test]
    fn a_spike_is_above_the_limit_worked_out_by_hand() {
        let mut guard = guard();
        // Nothing is a spike before the window is full.
        for loss in [1.0, 3.0, 1.0, 3.0] {
            assert_eq!(guard.limit(), None);
            assert_eq!(guard.judge(loss, 1.0), Verdict::Apply);
        }
        // Mean 2, standard deviation 1: the limit is 4.
        assert_eq!(guard.judge(4.5, 1.0), Verdict::Skip(SkipReason::Spike { loss: 4.5, limit: 4.0 }));
        assert_eq!(guard.accepted, [1.0, 3.0, 1.0, 3.0]);
        assert_eq!(guard.judge(4.0, 1.0), Verdict::Apply);
        // 3, 1, 3, 4: mean 2.75, variance (1 + 49 + 1 + 25) / 16 / 4 = 1.1875.
        assert_eq!(guard.accepted, [3.0, 1.0, 3.0, 4.0]);
        assert_eq!(guard.limit(), Some(2.75 + 2.0 * 1.1875_f64.sqrt()));
        assert_eq!((guard.applied, guard.skipped, guard.skipped_in_a_row), (5, 1, 0));
    }

    #[test]
    fn one_more_than_may_be_skipped_stops() {
        let mut guard = guard();
        let not_finite = |loss, gradient_norm| SkipReason::NotFinite { loss, gradient_norm };
        let infinite = f64::INFINITY;
        assert_eq!(guard.judge(infinite, 1.0), Verdict::Skip(not_finite(infinite, 1.0)));
        assert_eq!(guard.judge(1.0, infinite), Verdict::Skip(not_finite(1.0, infinite)));
        // A step that is applied begins the count anew.
        assert_eq!(guard.judge(1.0, 1.0), Verdict::Apply);
        assert!(matches!(guard.judge(f64::NAN, 1.0), Verdict::Skip(_)));
        assert!(matches!(guard.judge(1.0, f64::NAN), Verdict::Skip(_)));
        assert_eq!(guard.judge(infinite, 1.0), Verdict::Stop(not_finite(infinite, 1.0)));
        assert_eq!((guard.applied, guard.skipped, guard.skipped_in_a_row), (1, 5, 3));
    }

    #[test]
    fn without_spikes_only_finite_matters() {
        let mut guard = LossGuard::new(GuardConfig::default());
        for loss in [1.0, 1e30, 2.0] {
            assert_eq!(guard.judge(loss, 1.0), Verdict::Apply);
        }
        assert!(guard.accepted.is_empty());
    }

    #[test]
    fn goes_on_after_being_saved() {
        let mut whole = guard();
        let mut saved = guard();
        for loss in [1.0, 3.1, 1.2, 2.9, 9.0, f64::NAN, 3.0, 0.1 + 0.2] {
            let text = serde_json::to_string(&saved).expect("plain data");
            saved = serde_json::from_str(&text).expect("what was written");
            assert_eq!(format!("{:?}", saved.judge(loss, 1.0)), format!("{:?}", whole.judge(loss, 1.0)));
            assert_eq!(saved, whole);
        }
    }

    #[test]
    fn reasons_say_what_was_expected() {
        let spike = SkipReason::Spike { loss: 9.0, limit: 4.0 }.to_string();
        assert_eq!(spike, "the loss is 9.0000: must be at most 4.0000, from the losses before it");
        let not_finite = SkipReason::NotFinite { loss: f64::NAN, gradient_norm: 1.0 }.to_string();
        assert_eq!(not_finite, "the loss is NaN and the gradient's norm 1: both must be finite");
    }
}
