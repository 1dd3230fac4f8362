//! `sort:31542=`: digits in ascending order.

use std::ops::RangeInclusive;

use rand::{Rng, RngCore};

use crate::scanner::Scanner;
use crate::task::as_difficulty;
use crate::{Problem, Task, TaskError, TaskKind};

/// `sort:31542=` -> `12345`: digits in ascending order, repeated ones as often as they occur.
///
/// The difficulty is the number of digits.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sort;

impl Task for Sort {
    fn kind(&self) -> TaskKind {
        TaskKind::Sort
    }

    fn description(&self) -> &'static str {
        "digits in ascending order"
    }

    fn difficulty_unit(&self) -> &'static str {
        "digits"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        1..=16
    }

    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        let digits: Vec<char> = (0..difficulty).map(|_| rng.random_range('0'..='9')).collect();
        let mut sorted = digits.clone();
        sorted.sort_unstable();
        let prompt = format!("sort:{}=", digits.iter().collect::<String>());
        Ok(Problem { task: self.kind(), prompt, answer: sorted.into_iter().collect(), difficulty })
    }

    /// Counts how often each digit occurs.
    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let mut scanner = Scanner::new(self.kind(), prompt);
        scanner.expect("sort:")?;
        let digits = scanner.many("a digit", |c| c.is_ascii_digit())?;
        scanner.finish()?;
        let difficulty = as_difficulty(digits.len());
        self.allow(difficulty)?;
        let answer = ('0'..='9').flat_map(|digit| digits.chars().filter(move |&c| c == digit)).collect();
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer, difficulty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sorted_by_hand() {
        for (prompt, answer) in [("sort:31542=", "12345"), ("sort:9090=", "0099"), ("sort:7=", "7")] {
            assert_eq!(Sort.parse(prompt).unwrap().answer, answer);
        }
        for prompt in ["sort:=", "sort:12a=", "sort:12", "sort:12=3", "sort:11111111111111111="] {
            assert!(Sort.parse(prompt).is_err(), "{prompt}");
        }
    }
}
