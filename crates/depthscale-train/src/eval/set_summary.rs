//! What a report says of the problems measured on.

use serde::{Deserialize, Serialize};

use super::problem_set::{ProblemDraw, ProblemSet};

/// What accuracy counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Counted {
    /// Problems whose whole answer is exact, its end included.
    Problems,
    /// Tokens of plain text, which has no answers. Neighbouring tokens depend on one another, so that intervals are
    /// narrower than they should be.
    Tokens,
}

/// The problems measured on, without the problems.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SetSummary {
    /// What accuracy counts.
    pub counted: Counted,
    /// How they were drawn; with it they can be drawn again. `None` for those of a corpus.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub draw: Option<ProblemDraw>,
    /// Distinct problems in all.
    pub problems: usize,
    /// Distinct problems by task and difficulty.
    pub groups: Vec<GroupCount>,
    /// What was asked for and has no problems.
    pub skipped: Vec<SkippedGroup>,
}

/// How many problems a task has at a difficulty.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct GroupCount {
    /// Name of the task.
    pub task: String,
    /// The difficulty.
    pub difficulty: u32,
    /// Distinct problems.
    pub problems: usize,
}

/// A task and a difficulty without problems.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct SkippedGroup {
    /// Name of the task.
    pub task: String,
    /// The difficulty.
    pub difficulty: u32,
    /// Why there are none.
    pub reason: MissingReason,
}

/// Why a task has no problems at a difficulty.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum MissingReason {
    /// No problem of it is held out.
    NoneHeldOut,
    /// All of them are in the set that this one must not overlap.
    AllInOtherSet,
}

impl MissingReason {
    /// What to say of it.
    pub fn text(self) -> &'static str {
        match self {
            Self::NoneHeldOut => "no problem is held out",
            Self::AllInOtherSet => "all held-out problems are in the set that this one must not overlap",
        }
    }
}

impl ProblemSet {
    /// The set without its problems.
    pub fn summary(&self) -> SetSummary {
        let mut counts = vec![0; self.groups.len()];
        self.problems.iter().for_each(|problem| counts[problem.group] += 1);
        let group = |(group, problems): (&super::ProblemGroup, usize)| GroupCount {
            task: group.task.clone(),
            difficulty: group.difficulty,
            problems,
        };
        SetSummary {
            counted: self.counted,
            draw: self.draw.clone(),
            problems: self.len(),
            groups: self.groups.iter().zip(counts).map(group).collect(),
            skipped: self.skipped.clone(),
        }
    }
}
