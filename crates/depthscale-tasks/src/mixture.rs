//! How often each task is drawn, and at which difficulties.

use std::ops::RangeInclusive;

use serde::{Deserialize, Serialize};

use crate::{TaskError, TaskKind};

/// A range of difficulties, both ends included.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Difficulties {
    /// The easiest.
    pub min: u32,
    /// The hardest.
    pub max: u32,
}

/// One task of a mixture. Each difficulty of the range is as likely as any other.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskMix {
    /// The task.
    pub task: TaskKind,
    /// The difficulties that are drawn.
    pub difficulties: Difficulties,
    /// How often the task is drawn, in proportion to the other weights; 1 if a file does not say.
    #[serde(default = "one")]
    pub weight: f64,
}

fn one() -> f64 {
    1.0
}

impl Difficulties {
    /// The range up to a share of the way from the easiest to the hardest, rounded up.
    pub(crate) fn up_to(self, progress: f64) -> RangeInclusive<u32> {
        let span = f64::from(self.max - self.min);
        self.min..=self.min + (progress * span).ceil() as u32
    }
}

impl From<RangeInclusive<u32>> for Difficulties {
    fn from(range: RangeInclusive<u32>) -> Self {
        let (min, max) = range.into_inner();
        Self { min, max }
    }
}

impl TaskMix {
    /// Fails unless the task has all the difficulties and the weight is one.
    pub(crate) fn validate(&self) -> Result<(), TaskError> {
        let Self { task, difficulties: Difficulties { min, max }, weight } = *self;
        if min > max {
            return Err(TaskError::EmptyDifficulties { task, min, max });
        }
        task.task().allow(min)?;
        task.task().allow(max)?;
        if weight > 0.0 && weight.is_finite() { Ok(()) } else { Err(TaskError::Weight { task, weight }) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_curriculum_opens_the_range_step_by_step() {
        let range = Difficulties::from(2..=6);
        // 4 steps: 0.25 of them is 1, a little more rounds up to 2.
        for (progress, hardest) in [(0.0, 2), (0.01, 3), (0.25, 3), (0.26, 4), (1.0, 6)] {
            assert_eq!(range.up_to(progress), 2..=hardest, "{progress}");
        }
    }

    #[test]
    fn a_file_may_leave_the_weight_out_and_nothing_else() {
        let json = r#"{"task": "p-hop", "difficulties": {"min": 1, "max": 4}}"#;
        let mix: TaskMix = serde_json::from_str(json).unwrap();
        assert_eq!(mix, TaskMix { task: TaskKind::PHop, difficulties: (1..=4).into(), weight: 1.0 });
        assert!(serde_json::from_str::<TaskMix>(&json.replace("task", "tasks")).is_err());
        assert!(serde_json::from_str::<TaskMix>(&json.replace("max", "most")).is_err());
    }

    #[test]
    fn what_cannot_be_drawn_is_refused() {
        let good = TaskMix { task: TaskKind::Multiplication, difficulties: (1..=6).into(), weight: 0.5 };
        good.validate().unwrap();
        for weight in [0.0, -1.0, f64::NAN, f64::INFINITY] {
            assert!(matches!(TaskMix { weight, ..good }.validate(), Err(TaskError::Weight { .. })), "{weight}");
        }
        let too_hard = TaskMix { difficulties: (1..=7).into(), ..good }.validate().unwrap_err();
        assert_eq!(too_hard.to_string(), "multiplication: no problem has 7 digits; expected 1 to 6");
        let backwards = TaskMix { difficulties: Difficulties { min: 3, max: 2 }, ..good }.validate().unwrap_err();
        assert!(matches!(backwards, TaskError::EmptyDifficulties { .. }));
    }
}
