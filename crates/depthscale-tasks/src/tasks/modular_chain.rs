//! `m7:3+5*4-2=`: arithmetic modulo a small number, strictly from left to right.

use std::ops::RangeInclusive;

use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};

use crate::scanner::Scanner;
use crate::task::as_difficulty;
use crate::{Hint, Problem, Task, TaskError, TaskKind};

const OPERATORS: [char; 3] = ['+', '-', '*'];

/// `m7:3+5*4-2=` -> `2`: a chain of operations modulo the number after `m`, strictly from left to right.
///
/// Here it is ((3+5)*4-2) mod 7 = 30 mod 7 = 2. Operands are below the modulus, and a drawn multiplier is 2 or more, so
/// that the chain is not cut by a product with 0. The difficulty is the number of operations.
///
/// [`Task::parse`] reads any modulus from 2 to 10, whatever the field says.
#[derive(Clone, Copy, Debug)]
pub struct ModularChain {
    /// The modulus of the problems that are drawn, from 2 to 10.
    pub modulus: u32,
}

impl ModularChain {
    /// Modulo 7, where no product of operands other than 0 is 0.
    pub const DEFAULT: Self = Self { modulus: 7 };

    const MODULI: RangeInclusive<u32> = 2..=10;
}

impl Default for ModularChain {
    fn default() -> Self {
        Self::DEFAULT
    }
}

impl Task for ModularChain {
    fn kind(&self) -> TaskKind {
        TaskKind::ModularChain
    }

    fn description(&self) -> &'static str {
        "a chain of operations modulo a small number, from left to right"
    }

    fn difficulty_unit(&self) -> &'static str {
        "operations"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        1..=16
    }

    /// # Errors
    ///
    /// [`TaskError::ModulusOutOfRange`] beside [`TaskError::DifficultyOutOfRange`].
    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        let modulus = self.modulus;
        allow_modulus(modulus)?;
        let mut value = rng.random_range(0..modulus);
        let mut prompt = format!("m{modulus}:{value}");
        for _ in 0..difficulty {
            let operator = *OPERATORS.choose(rng).unwrap_or(&'+');
            // Modulo 2 the only multiplier that is not 0 is 1.
            let lowest = if operator == '*' { 2.min(modulus - 1) } else { 0 };
            let operand = rng.random_range(lowest..modulus);
            value = match operator {
                '+' => value + operand,
                '-' => value + modulus - operand,
                _ => value * operand,
            } % modulus;
            prompt.push_str(&format!("{operator}{operand}"));
        }
        prompt.push('=');
        Ok(Problem { task: self.kind(), prompt, answer: value.to_string(), difficulty })
    }

    /// Works over the integers and takes the remainder at the end, where `sample` takes it after each operation.
    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let mut scanner = Scanner::new(self.kind(), prompt);
        scanner.expect("m")?;
        let digits = scanner.many("a modulus", |c| c.is_ascii_digit())?;
        let modulus = digits.parse::<u32>().ok().filter(|_| !digits.starts_with('0'));
        let modulus = modulus.ok_or_else(|| scanner.malformed("a modulus from 2 to 10 before this place"))?;
        allow_modulus(modulus)?;
        scanner.expect(":")?;
        let mut value = operand(&mut scanner, modulus)?;
        let mut operations = 0;
        while scanner.peek() != Some('=') {
            let operator = scanner.one("`+`, `-`, `*` or `=`", |c| OPERATORS.contains(&c))?;
            let operand = operand(&mut scanner, modulus)?;
            operations += 1;
            // The chain is refused below if it is too long for its value to fit.
            value = match operator {
                '+' => value.wrapping_add(operand),
                '-' => value.wrapping_sub(operand),
                _ => value.wrapping_mul(operand),
            };
        }
        scanner.finish()?;
        let difficulty = as_difficulty(operations);
        self.allow(difficulty)?;
        let answer = value.rem_euclid(i64::from(modulus)).to_string();
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer, difficulty })
    }

    /// The chain up to each of its operations.
    fn hints(&self, problem: &Problem) -> Vec<Hint> {
        let prompt = &problem.prompt;
        let operators = prompt.match_indices(OPERATORS).map(|(place, _)| place);
        // After the operator and its one digit.
        let chains = operators.map(|place| place + 2);
        let hint = |after| Hint::answer(after, self.parse(&format!("{}=", prompt.get(..after)?)).ok()?);
        chains.filter_map(hint).collect()
    }
}

fn allow_modulus(modulus: u32) -> Result<(), TaskError> {
    if ModularChain::MODULI.contains(&modulus) { Ok(()) } else { Err(TaskError::ModulusOutOfRange { modulus }) }
}

/// One digit below the modulus. Sixteen operations on such digits stay below 9^17 < 2^63.
fn operand(scanner: &mut Scanner<'_>, modulus: u32) -> Result<i64, TaskError> {
    let expected = format!("a digit below {modulus}");
    let digit = scanner.one(&expected, |c| c.to_digit(10).is_some_and(|digit| digit < modulus))?;
    Ok(i64::from(digit.to_digit(10).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chains_worked_out_by_hand() {
        // ((3+5)*4-2) = 30 = 4*7 + 2; 1-2 = -1 = 6 mod 7; 9*9 = 81 = 1 mod 10.
        for (prompt, answer, difficulty) in [("m7:3+5*4-2=", "2", 3), ("m7:1-2=", "6", 1), ("m10:9*9=", "1", 1)] {
            let problem = ModularChain::DEFAULT.parse(prompt).unwrap();
            assert_eq!((problem.answer.as_str(), problem.difficulty), (answer, difficulty), "{prompt}");
        }
    }

    #[test]
    fn what_is_not_a_chain_is_refused() {
        for prompt in
            ["m7:7+1=", "m7:1=", "m11:1+1=", "m1:0+0=", "m07:1+1=", "m7:1+12=", "m7:1/2=", "m99999999999:1+1="]
        {
            assert!(ModularChain::DEFAULT.parse(prompt).is_err(), "{prompt}");
        }
        let long = format!("m10:9{}=", "*9".repeat(1000));
        let error = ModularChain::DEFAULT.parse(&long).unwrap_err();
        assert_eq!(error.to_string(), "modular-chain: no problem has 1000 operations; expected 1 to 16");
    }

    #[test]
    fn a_chain_is_settled_up_to_each_operation() {
        let hints = ModularChain::DEFAULT.hints(&ModularChain::DEFAULT.parse("m10:3+5*4-2=").unwrap());
        let hints: Vec<_> =
            hints.iter().map(|hint| (hint.after, hint.says, &*hint.answers.as_ref().unwrap().prompt)).collect();
        assert_eq!(hints, [(7, '8', "m10:3+5="), (9, '2', "m10:3+5*4="), (11, '0', "m10:3+5*4-2=")]);
    }

    #[test]
    fn every_modulus_can_be_drawn_and_others_are_refused() {
        for modulus in ModularChain::MODULI {
            let problem = ModularChain { modulus }.sample(16, &mut rand::rng()).unwrap();
            assert!(!problem.prompt.contains("*0"), "{}", problem.prompt);
            assert_eq!(ModularChain::DEFAULT.parse(&problem.prompt).unwrap(), problem);
        }
        let error = ModularChain { modulus: 11 }.sample(1, &mut rand::rng()).unwrap_err();
        assert_eq!(error.to_string(), "modular-chain: the modulus is 11; expected 2 to 10");
    }
}
