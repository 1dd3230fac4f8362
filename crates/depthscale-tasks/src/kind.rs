//! The names of the tasks.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::tasks::{Addition, Boolean, ModularChain, Multiplication, PHop, Reverse, ShortestPath, Sort, Sudoku};
use crate::{Problem, Task, TaskError};

/// Names longer than this are not compared with those of the tasks.
const LONGEST_NAME: usize = 64;

/// Which task; written as its kebab-case name, such as `modular-chain`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(into = "&'static str", try_from = "String")]
pub enum TaskKind {
    /// `addition`: see [`Addition`].
    Addition,
    /// `multiplication`: see [`Multiplication`].
    Multiplication,
    /// `modular-chain`: see [`ModularChain`].
    ModularChain,
    /// `p-hop`: see [`PHop`].
    PHop,
    /// `sort`: see [`Sort`].
    Sort,
    /// `reverse`: see [`Reverse`].
    Reverse,
    /// `boolean`: see [`Boolean`].
    Boolean,
    /// `shortest-path`: see [`ShortestPath`].
    ShortestPath,
    /// `sudoku-4`: see [`Sudoku`].
    Sudoku4,
    /// `sudoku-6`: see [`Sudoku`].
    Sudoku6,
}

impl TaskKind {
    /// Every task.
    pub const ALL: [Self; 10] = [
        Self::Addition,
        Self::Multiplication,
        Self::ModularChain,
        Self::PHop,
        Self::Sort,
        Self::Reverse,
        Self::Boolean,
        Self::ShortestPath,
        Self::Sudoku4,
        Self::Sudoku6,
    ];

    /// The name that users write.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Addition => "addition",
            Self::Multiplication => "multiplication",
            Self::ModularChain => "modular-chain",
            Self::PHop => "p-hop",
            Self::Sort => "sort",
            Self::Reverse => "reverse",
            Self::Boolean => "boolean",
            Self::ShortestPath => "shortest-path",
            Self::Sudoku4 => "sudoku-4",
            Self::Sudoku6 => "sudoku-6",
        }
    }

    /// The task itself, with its default settings.
    pub fn task(self) -> &'static dyn Task {
        match self {
            Self::Addition => &Addition,
            Self::Multiplication => &Multiplication,
            Self::ModularChain => &ModularChain::DEFAULT,
            Self::PHop => &PHop,
            Self::Sort => &Sort,
            Self::Reverse => &Reverse,
            Self::Boolean => &Boolean,
            Self::ShortestPath => &ShortestPath,
            Self::Sudoku4 => &Sudoku::Four,
            Self::Sudoku6 => &Sudoku::Six,
        }
    }

    /// The names of all tasks, for messages.
    pub(crate) fn names() -> String {
        Self::ALL.map(Self::name).join(", ")
    }
}

/// Reads a prompt of any task; `None` if no task can.
///
/// The formats have nothing in common, so at most one task can.
pub fn identify(prompt: &str) -> Option<Problem> {
    TaskKind::ALL.into_iter().find_map(|kind| kind.task().parse(prompt).ok())
}

impl fmt::Display for TaskKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for TaskKind {
    type Err = TaskError;

    /// # Errors
    ///
    /// [`TaskError::UnknownTask`] with the known names and the nearest one.
    fn from_str(name: &str) -> Result<Self, TaskError> {
        let named = Self::ALL.into_iter().find(|kind| kind.name() == name);
        named.ok_or_else(|| TaskError::UnknownTask { name: name.to_owned(), nearest: nearest(name) })
    }
}

impl TryFrom<String> for TaskKind {
    type Error = TaskError;

    fn try_from(name: String) -> Result<Self, TaskError> {
        name.parse()
    }
}

impl From<TaskKind> for &'static str {
    fn from(kind: TaskKind) -> Self {
        kind.name()
    }
}

/// The task whose name is a few edits away, if there is one.
fn nearest(name: &str) -> Option<TaskKind> {
    if name.len() > LONGEST_NAME {
        return None;
    }
    let few_edits = (name.len() / 3).clamp(1, 4);
    let distances = TaskKind::ALL.map(|kind| (strsim::damerau_levenshtein(name, kind.name()), kind));
    distances.into_iter().filter(|(edits, _)| *edits <= few_edits).min().map(|(_, kind)| kind)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_name_is_read_back_and_each_task_knows_its_kind() {
        for kind in TaskKind::ALL {
            assert_eq!(kind.to_string().parse::<TaskKind>().unwrap(), kind);
            assert_eq!(kind.task().kind(), kind);
            let json = serde_json::to_string(&kind).unwrap();
            assert_eq!(json, format!("\"{kind}\""));
            assert_eq!(serde_json::from_str::<TaskKind>(&json).unwrap(), kind);
        }
    }

    #[test]
    fn an_unknown_name_lists_the_known_ones_and_suggests_the_nearest() {
        let error = "sudoku4".parse::<TaskKind>().unwrap_err();
        assert_eq!(
            error.to_string(),
            "there is no task `sudoku4`, did you mean `sudoku-4`?; expected one of addition, multiplication, \
             modular-chain, p-hop, sort, reverse, boolean, shortest-path, sudoku-4, sudoku-6"
        );
        let error = serde_json::from_str::<TaskKind>("\"sotr\"").unwrap_err();
        assert!(error.to_string().contains("did you mean `sort`?"), "{error}");
        let error = "chess".parse::<TaskKind>().unwrap_err();
        assert_eq!(error, TaskError::UnknownTask { name: "chess".to_owned(), nearest: None });
        assert!("x".repeat(100_000).parse::<TaskKind>().is_err());
    }
}
