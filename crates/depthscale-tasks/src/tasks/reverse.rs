//! `rev:31542=`: characters in the opposite order.

use std::ops::RangeInclusive;

use rand::RngCore;
use rand::seq::IndexedRandom;

use crate::scanner::Scanner;
use crate::task::as_difficulty;
use crate::{Problem, Task, TaskError, TaskKind};

const CHARACTERS: &[u8; 36] = b"0123456789abcdefghijklmnopqrstuvwxyz";

/// `rev:31542=` -> `24513`: lowercase letters and digits in the opposite order.
///
/// The difficulty is the number of characters.
#[derive(Clone, Copy, Debug, Default)]
pub struct Reverse;

impl Task for Reverse {
    fn kind(&self) -> TaskKind {
        TaskKind::Reverse
    }

    fn description(&self) -> &'static str {
        "letters and digits in the opposite order"
    }

    fn difficulty_unit(&self) -> &'static str {
        "characters"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        1..=16
    }

    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        let mut text = String::new();
        let mut answer = String::new();
        for &character in (0..difficulty).filter_map(|_| CHARACTERS.choose(rng)) {
            text.push(char::from(character));
            answer.insert(0, char::from(character));
        }
        Ok(Problem { task: self.kind(), prompt: format!("rev:{text}="), answer, difficulty })
    }

    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let mut scanner = Scanner::new(self.kind(), prompt);
        scanner.expect("rev:")?;
        let text = scanner.many("a lowercase letter or a digit", |c| c.is_ascii_lowercase() || c.is_ascii_digit())?;
        scanner.finish()?;
        let difficulty = as_difficulty(text.len());
        self.allow(difficulty)?;
        let answer = text.chars().rev().collect();
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer, difficulty })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reversed_by_hand() {
        for (prompt, answer) in [("rev:31542=", "24513"), ("rev:ab0=", "0ba"), ("rev:z=", "z")] {
            assert_eq!(Reverse.parse(prompt).unwrap().answer, answer);
        }
        for prompt in ["rev:=", "rev:A=", "rev:é=", "rev:ab", "rev:aaaaaaaaaaaaaaaaa="] {
            assert!(Reverse.parse(prompt).is_err(), "{prompt}");
        }
    }
}
