//! `[schedule]`: how long a run is, and the learning rate over it.

use std::f64::consts::PI;

use serde::{Deserialize, Serialize};

use super::choice;
use super::error::{Result, require, require_count, require_share};
use super::ramp::RampShape;

/// How long a run is, and the factor of the learning rates at each step.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScheduleConfig {
    /// Steps of the optimizer. Required.
    pub steps: usize,
    /// Steps over which the factor rises in a line to 1, which it has at step `warmup`. Default 0.
    #[serde(default)]
    pub warmup: usize,
    /// What comes after. Default `constant`.
    #[serde(default, deserialize_with = "choice::deserialize")]
    pub kind: ScheduleKind,
}

/// The factor after the warm-up.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case", deny_unknown_fields)]
pub enum ScheduleKind {
    /// Stays at 1 (Huginn). The default.
    #[default]
    Constant,
    /// Falls to the floor at the last step: `floor + (1 - floor) (1 + cos(pi x)) / 2`, where `x` is the share of the steps
    /// after the warm-up that are over.
    Cosine(CosineConfig),
    /// Stays at 1 and falls to the floor over the last steps.
    WarmupStableDecay(WarmupStableDecayConfig),
}

/// Settings of [`ScheduleKind::Cosine`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct CosineConfig {
    /// The factor at the last step, in [0, 1]. Default 0.
    pub floor: f64,
}

/// Settings of [`ScheduleKind::WarmupStableDecay`]: `floor + (1 - floor) f(1 - x)`, where `x` is the share of the decay that is
/// over.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WarmupStableDecayConfig {
    /// Share of all steps over which it falls, in (0, 1]. Default 0.2.
    pub decay: f64,
    /// The factor at the last step, in [0, 1]. Default 0.
    pub floor: f64,
    /// The shape `f`: `f(1 - x)` is `1 - x` for `linear` and `1 - sqrt(x)` for `one-minus-sqrt` (arXiv 2405.18392). Default
    /// `linear`.
    pub shape: RampShape,
}

impl Default for WarmupStableDecayConfig {
    fn default() -> Self {
        Self { decay: 0.2, floor: 0.0, shape: RampShape::Linear }
    }
}

impl ScheduleConfig {
    /// The factor of the learning rates at `step`, counted from 1, in [0, 1]. At step 0 it is that of a warm-up that has not
    /// begun, and after the last step that of the last.
    pub fn factor(&self, step: usize) -> f64 {
        if step <= self.warmup && self.warmup > 0 {
            return step as f64 / self.warmup as f64;
        }
        match &self.kind {
            ScheduleKind::Constant => 1.0,
            ScheduleKind::Cosine(cosine) => {
                let x = share_over(step, self.warmup as f64, self.steps as f64);
                cosine.floor + (1.0 - cosine.floor) * (1.0 + (PI * x).cos()) / 2.0
            }
            ScheduleKind::WarmupStableDecay(settings) => {
                let steps = self.steps as f64;
                let x = share_over(step, steps * (1.0 - settings.decay), steps);
                settings.floor + (1.0 - settings.floor) * settings.shape.at(1.0 - x)
            }
        }
    }

    /// The share of training that is over after `step`, counted from 1: 1 after the last one.
    pub fn progress(&self, step: usize) -> f64 {
        share_over(step, 0.0, self.steps as f64)
    }

    /// Checks every key; the error names the key, the value and what is allowed.
    pub fn validate(&self) -> Result<()> {
        require_count("schedule.steps", self.steps, 1)?;
        let allowed = format!("must be at most steps, which is {}", self.steps);
        require(self.warmup <= self.steps, "schedule.warmup", self.warmup, allowed)?;
        let floor_of = |kind: &str, floor: f64| {
            require((0.0..=1.0).contains(&floor), format!("schedule.kind.{kind}.floor"), floor, "must be in [0, 1]")
        };
        match &self.kind {
            ScheduleKind::Constant => Ok(()),
            ScheduleKind::Cosine(cosine) => floor_of("cosine", cosine.floor),
            ScheduleKind::WarmupStableDecay(settings) => {
                floor_of("warmup-stable-decay", settings.floor)?;
                let key = "schedule.kind.warmup-stable-decay.decay";
                require_share(key, settings.decay)?;
                let left = self.steps - self.warmup;
                let fits = settings.decay * self.steps as f64 <= left as f64 + 1e-9;
                let allowed = format!("must not reach into the warm-up: {left} of {} steps are after it", self.steps);
                require(fits, key, settings.decay, allowed)
            }
        }
    }
}

/// How much of the way from `from` to `to` is over at `step`, in [0, 1]; all of it where there is no way.
fn share_over(step: usize, from: f64, to: f64) -> f64 {
    let step = step as f64;
    if step >= to {
        return 1.0;
    }
    ((step - from) / (to - from)).clamp(0.0, 1.0)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn near(found: f64, expected: f64) {
        assert!((found - expected).abs() < 1e-12, "{found} is not {expected}");
    }

    #[test]
    fn warm_up_rises_in_a_line() {
        let schedule = ScheduleConfig { steps: 100, warmup: 10, kind: ScheduleKind::Constant };
        assert_eq!(
            [0, 1, 5, 9, 10, 11, 100, 101].map(|step| schedule.factor(step)),
            [0.0, 0.1, 0.5, 0.9, 1.0, 1.0, 1.0, 1.0]
        );
        let without = ScheduleConfig { warmup: 0, ..schedule };
        assert_eq!(without.factor(1), 1.0);
    }

    #[test]
    fn cosine_by_hand() {
        let kind = ScheduleKind::Cosine(CosineConfig { floor: 0.2 });
        let schedule = ScheduleConfig { steps: 130, warmup: 10, kind };
        // 120 steps after the warm-up: x is 0, 1/3, 1/2, 2/3 and 1 at 10, 50, 70, 90 and 130, its cosine 1, 1/2, 0, -1/2, -1.
        for (step, expected) in [(10, 1.0), (50, 0.8), (70, 0.6), (90, 0.4), (130, 0.2), (500, 0.2)] {
            near(schedule.factor(step), expected);
        }
    }

    #[test]
    fn warmup_stable_decay_by_hand() {
        let with = |shape| ScheduleConfig {
            steps: 100,
            warmup: 10,
            kind: ScheduleKind::WarmupStableDecay(WarmupStableDecayConfig { decay: 0.25, floor: 0.2, shape }),
        };
        // The last 25 steps fall: x is 0 at 75, 0.04 at 76, 0.36 at 84, 1 at 100.
        for (step, linear, sqrt) in [
            (5, 0.5, 0.5),
            (10, 1.0, 1.0),
            (75, 1.0, 1.0),
            // 0.2 + 0.8 * 0.96; 0.2 + 0.8 * (1 - 0.2).
            (76, 0.968, 0.84),
            // 0.2 + 0.8 * 0.64; 0.2 + 0.8 * (1 - 0.6).
            (84, 0.712, 0.52),
            (100, 0.2, 0.2),
            (101, 0.2, 0.2),
        ] {
            near(with(RampShape::Linear).factor(step), linear);
            near(with(RampShape::OneMinusSqrt).factor(step), sqrt);
        }
    }

    #[test]
    fn progress_is_over_after_the_last_step() {
        let schedule = ScheduleConfig { steps: 4, warmup: 0, kind: ScheduleKind::Constant };
        assert_eq!([0, 1, 2, 4, 9].map(|step| schedule.progress(step)), [0.0, 0.25, 0.5, 1.0, 1.0]);
    }

    #[test]
    fn a_decay_that_begins_in_the_warm_up_is_refused() {
        let kind = ScheduleKind::WarmupStableDecay(WarmupStableDecayConfig { decay: 0.95, ..Default::default() });
        let schedule = ScheduleConfig { steps: 100, warmup: 10, kind };
        let error = schedule.validate().expect_err("95 steps do not fit into 90").to_string();
        assert_eq!(
            error,
            "schedule.kind.warmup-stable-decay.decay is 0.95: must not reach into the warm-up: 90 of 100 steps are after it"
        );
    }

    proptest! {
        #[test]
        fn factors_rise_then_fall_within_bounds(
            steps in 1usize..300, warm in 0.0..=0.5f64, decay in 0.01..=0.5f64, floor in 0.0..=1.0f64, kind in 0usize..4,
        ) {
            let warmup = (steps as f64 * warm) as usize;
            let fall = |shape| ScheduleKind::WarmupStableDecay(WarmupStableDecayConfig { decay, floor, shape });
            let kind = match kind {
                0 => ScheduleKind::Constant,
                1 => ScheduleKind::Cosine(CosineConfig { floor }),
                2 => fall(RampShape::Linear),
                _ => fall(RampShape::OneMinusSqrt),
            };
            let schedule = ScheduleConfig { steps, warmup, kind };
            prop_assert!(schedule.validate().is_ok());
            for step in 1..=steps {
                let (before, now) = (schedule.factor(step - 1), schedule.factor(step));
                prop_assert!((0.0..=1.0).contains(&now));
                let follows = if step <= warmup { before < now } else { now <= before || step == 1 };
                prop_assert!(follows);
            }
        }
    }
}
