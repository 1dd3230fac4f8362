//! `s4:1..4..2.....3..1=`: small grids to fill.

mod grid;

use std::ops::RangeInclusive;

use rand::RngCore;
use rand::seq::SliceRandom;

use self::grid::{FOUR, Grid, SIX, Shape};
use crate::scanner::Scanner;
use crate::task::as_difficulty;
use crate::{Problem, Task, TaskError, TaskKind};

/// How many grids are tried before drawing gives up. On the hardest ones about one of ten succeeds.
const TRIES: u32 = 10_000;

/// `s4:` or `s6:`, the rows of a grid one after the other with `.` for a blank, and `=` -> all rows of the full grid.
///
/// Each digit from 1 to the side of the grid stands once in every row, column and box. Boxes are 2 rows by 2 columns in
/// the grid of four, and 2 rows by 3 columns in the grid of six. The difficulty is the number of blanks.
///
/// A drawn grid has one solution. [`Task::parse`] reads grids that have several and gives one of them, and
/// [`Task::check`] accepts every one that keeps what is given.
#[derive(Clone, Copy, Debug)]
pub enum Sudoku {
    /// Four by four.
    Four,
    /// Six by six.
    Six,
}

impl Task for Sudoku {
    fn kind(&self) -> TaskKind {
        match self {
            Self::Four => TaskKind::Sudoku4,
            Self::Six => TaskKind::Sudoku6,
        }
    }

    fn description(&self) -> &'static str {
        match self {
            Self::Four => "a grid of four by four to fill, with boxes of two by two",
            Self::Six => "a grid of six by six to fill, with boxes of two rows by three columns",
        }
    }

    fn difficulty_unit(&self) -> &'static str {
        "blanks"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        match self {
            Self::Four => 1..=12,
            Self::Six => 1..=24,
        }
    }

    /// Fills a grid at random and blanks cells in random order, each if the solution stays the only one.
    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        for _ in 0..TRIES {
            let mut grid = Grid::random(self.shape(), rng);
            let answer = grid.to_string();
            let mut cells: Vec<usize> = (0..grid.n_cells()).collect();
            cells.shuffle(rng);
            let mut blanks = 0;
            for cell in cells {
                if blanks == difficulty {
                    break;
                }
                let digit = grid.clear(cell);
                if grid.count_solutions(2) == 1 {
                    blanks += 1;
                } else {
                    grid.set(cell, digit);
                }
            }
            if blanks == difficulty {
                let prompt = format!("{}{grid}=", self.prefix());
                return Ok(Problem { task: self.kind(), prompt, answer, difficulty });
            }
        }
        Err(TaskError::Exhausted {
            task: self.kind(),
            difficulty,
            unit: self.difficulty_unit(),
            tries: TRIES,
            wanted: "with one solution",
        })
    }

    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let grid = self.read(prompt)?;
        let difficulty = as_difficulty(grid.n_blanks());
        self.allow(difficulty)?;
        let solution = grid.solved().ok_or_else(|| self.unanswerable("no way to fill the blanks exists".to_owned()))?;
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer: solution.to_string(), difficulty })
    }

    /// Whether the answer fills the blanks of the prompt and keeps the rules; solutions other than the stored one are
    /// right too.
    fn check(&self, problem: &Problem, answer: &str) -> bool {
        let Ok(given) = self.read(&problem.prompt) else {
            return false;
        };
        let keeps_given = given.to_string().chars().zip(answer.chars()).all(|(given, c)| given == '.' || given == c);
        let filled = self.read(&format!("{}{answer}=", self.prefix()));
        keeps_given && filled.is_ok_and(|filled| filled.n_blanks() == 0)
    }
}

impl Sudoku {
    fn shape(self) -> &'static Shape {
        match self {
            Self::Four => &FOUR,
            Self::Six => &SIX,
        }
    }

    fn prefix(self) -> &'static str {
        match self {
            Self::Four => "s4:",
            Self::Six => "s6:",
        }
    }

    /// Reads a grid in which no digit stands twice in a row, column or box.
    fn read(&self, prompt: &str) -> Result<Grid, TaskError> {
        let side = self.shape().side;
        let mut scanner = Scanner::new(self.kind(), prompt);
        scanner.expect(self.prefix())?;
        let mut grid = Grid::blank(self.shape());
        for cell in 0..grid.n_cells() {
            let digit_of = |c: char| c.to_digit(10).filter(|digit| (1..=side as u32).contains(digit));
            let c = scanner.one(&format!("`.` or a digit from 1 to {side}"), |c| c == '.' || digit_of(c).is_some())?;
            let Some(digit) = digit_of(c) else {
                continue;
            };
            if !grid.allows(cell, digit) {
                let (row, column) = (cell / side + 1, cell % side + 1);
                return Err(self.unanswerable(format!(
                    "the {digit} in row {row}, column {column} is there before in its row, column or box; expected it once"
                )));
            }
            grid.set(cell, digit);
        }
        scanner.finish()?;
        Ok(grid)
    }

    fn unanswerable(self, reason: String) -> TaskError {
        TaskError::Unanswerable { task: self.kind(), reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grids_filled_by_hand() {
        // Each row lacks one digit.
        let problem = Sudoku::Four.parse("s4:12.434.2.143432.=").unwrap();
        assert_eq!((problem.answer.as_str(), problem.difficulty), ("1234341221434321", 4));
        // The columns hold 14253, 25361, 36142, 41526, 52634 and 63415, and lack 6, 4, 5, 3, 1 and 2.
        let problem = Sudoku::Six.parse("s6:123456456123231564564231312645......=").unwrap();
        assert_eq!((problem.answer.as_str(), problem.difficulty), ("123456456123231564564231312645645312", 6));
    }

    #[test]
    fn every_completion_is_right() {
        // In row 2 the left box lacks 3 and 4 and the right one 1 and 2, each in either order; row 4 follows from that.
        let problem = Sudoku::Four.parse("s4:1234....2143....=").unwrap();
        let solutions = ["1234341221434321", "1234342121434312", "1234431221433421", "1234432121433412"];
        for answer in solutions {
            assert!(Sudoku::Four.check(&problem, answer), "{answer}");
        }
        assert!(solutions.contains(&problem.answer.as_str()));
        // Another given, a blank, too short, too long.
        for answer in ["2134341221434321", "1234341221434.21", "123434122143432", "12343412214343211", ""] {
            assert!(!Sudoku::Four.check(&problem, answer), "{answer}");
        }
    }

    #[test]
    fn a_grid_of_another_size_is_refused() {
        // Nine of the sixteen cells, then the `=` at place 3 + 9 + 1.
        let error = Sudoku::Four.parse("s4:123....4.=").unwrap_err();
        assert!(matches!(error, TaskError::MalformedPrompt { position: 13, .. }), "{error}");
        assert!(Sudoku::Four.parse("s4:12.434.2.143432.1=").is_err());
        assert!(Sudoku::Four.parse("s4:52.434.2.143432.=").is_err());
        assert!(Sudoku::Six.parse("s4:12.434.2.143432.=").is_err());
    }

    #[test]
    fn contradictions_are_named() {
        let error = Sudoku::Four.parse("s4:11..............=").unwrap_err();
        assert_eq!(
            error.to_string(),
            "sudoku-4: the prompt has no answer: the 1 in row 1, column 2 is there before in its row, column or box; \
             expected it once"
        );
        // The last cell of row 1 sees 1, 2, 3 in its row and 4 in its column.
        let error = Sudoku::Four.parse("s4:123........4....=").unwrap_err();
        assert!(error.to_string().ends_with("no way to fill the blanks exists"), "{error}");
    }
}
