//! `47+38=`: the sum of two numbers.

use std::ops::RangeInclusive;

use rand::RngCore;

use super::operands;
use crate::{Problem, Task, TaskError, TaskKind};

/// `47+38=` -> `85`: the sum of two numbers without leading zeros.
///
/// The difficulty is the number of digits of the longer number; the other one has from one to as many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Addition;

impl Task for Addition {
    fn kind(&self) -> TaskKind {
        TaskKind::Addition
    }

    fn description(&self) -> &'static str {
        "the sum of two numbers"
    }

    fn difficulty_unit(&self) -> &'static str {
        "digits"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        1..=12
    }

    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        let [a, b] = operands::draw(difficulty, rng);
        Ok(Problem { task: self.kind(), prompt: format!("{a}+{b}="), answer: (a + b).to_string(), difficulty })
    }

    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let [a, b] = operands::parse(self.kind(), "+", prompt)?;
        let difficulty = operands::difficulty([a, b]);
        self.allow(difficulty)?;
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer: add_columns(a, b), difficulty })
    }

    fn canonical(&self, problem: &Problem) -> String {
        operands::canonical('+', &problem.prompt)
    }
}

/// Adds column by column from the right, with a carry.
fn add_columns(a: &str, b: &str) -> String {
    let (a, b) = (operands::reversed_digits(a), operands::reversed_digits(b));
    let mut carry = 0;
    let mut sum = Vec::with_capacity(a.len().max(b.len()) + 1);
    for column in 0..a.len().max(b.len()) {
        carry += a.get(column).unwrap_or(&0) + b.get(column).unwrap_or(&0);
        sum.push(carry % 10);
        carry /= 10;
    }
    sum.push(carry);
    operands::write_reversed(&sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sums_worked_out_by_hand() {
        for (prompt, answer, difficulty) in
            [("47+38=", "85", 2), ("0+0=", "0", 1), ("5+95=", "100", 2), ("999999999999+1=", "1000000000000", 12)]
        {
            let problem = Addition.parse(prompt).unwrap();
            assert_eq!((problem.answer.as_str(), problem.difficulty), (answer, difficulty), "{prompt}");
        }
    }

    #[test]
    fn thirteen_digits_are_too_many() {
        let error = Addition.parse("1000000000000+1=").unwrap_err();
        assert_eq!(error.to_string(), "addition: no problem has 13 digits; expected 1 to 12");
        assert!(Addition.sample(0, &mut rand::rng()).is_err());
        assert!(Addition.sample(13, &mut rand::rng()).is_err());
    }
}
