//! `12*34=`: the product of two numbers.

use std::ops::RangeInclusive;

use rand::RngCore;

use super::operands;
use crate::{Problem, Task, TaskError, TaskKind};

/// `12*34=` -> `408`: the product of two numbers without leading zeros.
///
/// The difficulty is the number of digits of the longer number; the other one has from one to as many.
#[derive(Clone, Copy, Debug, Default)]
pub struct Multiplication;

impl Task for Multiplication {
    fn kind(&self) -> TaskKind {
        TaskKind::Multiplication
    }

    fn description(&self) -> &'static str {
        "the product of two numbers"
    }

    fn difficulty_unit(&self) -> &'static str {
        "digits"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        1..=6
    }

    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        let [a, b] = operands::draw(difficulty, rng);
        Ok(Problem { task: self.kind(), prompt: format!("{a}*{b}="), answer: (a * b).to_string(), difficulty })
    }

    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let [a, b] = operands::parse(self.kind(), "*", prompt)?;
        let difficulty = operands::difficulty([a, b]);
        self.allow(difficulty)?;
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer: multiply_columns(a, b), difficulty })
    }

    fn canonical(&self, problem: &Problem) -> String {
        operands::canonical('*', &problem.prompt)
    }
}

/// Collects the products of digits in their columns, then carries from the right.
fn multiply_columns(a: &str, b: &str) -> String {
    let (a, b) = (operands::reversed_digits(a), operands::reversed_digits(b));
    let mut columns = vec![0; a.len() + b.len()];
    for (i, x) in a.iter().enumerate() {
        for (j, y) in b.iter().enumerate() {
            columns[i + j] += x * y;
        }
    }
    let mut carry = 0;
    for column in &mut columns {
        carry += *column;
        *column = carry % 10;
        carry /= 10;
    }
    operands::write_reversed(&columns)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_worked_out_by_hand() {
        // 999 * 999 = 999000 - 999.
        for (prompt, answer, difficulty) in
            [("12*34=", "408", 2), ("0*7=", "0", 1), ("999*999=", "998001", 3), ("5*200000=", "1000000", 6)]
        {
            let problem = Multiplication.parse(prompt).unwrap();
            assert_eq!((problem.answer.as_str(), problem.difficulty), (answer, difficulty), "{prompt}");
        }
        assert!(Multiplication.parse("1234567*1=").is_err());
    }
}
