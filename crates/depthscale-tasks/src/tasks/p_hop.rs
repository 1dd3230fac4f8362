//! `b=c;a=3;c=a;?b=`: following assignments from one variable to the next.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand::seq::SliceRandom;
use rand::{Rng, RngCore};

use crate::scanner::Scanner;
use crate::{Problem, Task, TaskError, TaskKind};

/// How many assignments a prompt has at least.
const FEWEST_ASSIGNMENTS: u32 = 8;
/// How many assignments are beside the chain of the query, at least.
const FEWEST_DISTRACTORS: u32 = 4;

/// `b=c;a=3;c=a;e=7;d=e;?b=` -> `3`: the digit at the end of a chain of assignments, which come in any order.
///
/// The difficulty is the number of hops from the variable to its digit; here b to c, c to a, and a to 3.
///
/// A drawn prompt of difficulty p has max(8, p + 4) assignments, so up to 4 hops its length does not give p away.
/// Variables outside the chain of the query form trees of their own, each of which ends in another digit.
#[derive(Clone, Copy, Debug, Default)]
pub struct PHop;

impl Task for PHop {
    fn kind(&self) -> TaskKind {
        TaskKind::PHop
    }

    fn description(&self) -> &'static str {
        "the digit at the end of a chain of assignments"
    }

    fn difficulty_unit(&self) -> &'static str {
        "hops"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        1..=16
    }

    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        let n_assignments = FEWEST_ASSIGNMENTS.max(difficulty + FEWEST_DISTRACTORS) as usize;
        // At most 16 + 4 of the 26 letters.
        let mut names: Vec<char> = ('a'..='z').collect();
        names.shuffle(rng);
        names.truncate(n_assignments);
        let mut digits: Vec<char> = ('0'..='9').collect();
        digits.shuffle(rng);
        let (chain, distractors) = names.split_at(difficulty as usize);

        let answer = digits[0];
        let values = chain[1..].iter().copied().chain([answer]);
        let mut assignments: Vec<(char, char)> = chain.iter().copied().zip(values).collect();
        let mut roots = digits[1..].iter().copied();
        for (i, &name) in distractors.iter().enumerate() {
            let is_root = i == 0 || rng.random_bool(1.0 / 3.0);
            let root = if is_root { roots.next() } else { None };
            // A variable that is no root points to one of its own kind.
            let value = root.unwrap_or_else(|| distractors[rng.random_range(0..i)]);
            assignments.push((name, value));
        }
        assignments.shuffle(rng);

        let assignments: String = assignments.iter().map(|(name, value)| format!("{name}={value};")).collect();
        let prompt = format!("{assignments}?{}=", chain[0]);
        Ok(Problem { task: self.kind(), prompt, answer: answer.to_string(), difficulty })
    }

    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let mut scanner = Scanner::new(self.kind(), prompt);
        let mut values = BTreeMap::new();
        while !scanner.skip("?") {
            let name = scanner.one("a lowercase letter or `?`", |c| c.is_ascii_lowercase())?;
            scanner.expect("=")?;
            let value =
                scanner.one("a lowercase letter or a digit", |c| c.is_ascii_lowercase() || c.is_ascii_digit())?;
            scanner.expect(";")?;
            if values.insert(name, value).is_some() {
                let reason = format!("`{name}` is assigned twice; expected one assignment to each variable");
                return Err(self.unanswerable(reason));
            }
        }
        let mut reached = scanner.one("a lowercase letter", |c| c.is_ascii_lowercase())?;
        scanner.finish()?;

        let mut hops = 0;
        while !reached.is_ascii_digit() {
            let next = values.remove(&reached);
            reached = next.ok_or_else(|| {
                self.unanswerable(format!(
                    "after {hops} hops the chain comes to `{reached}`; expected a variable that is assigned and not yet passed"
                ))
            })?;
            hops += 1;
        }
        self.allow(hops)?;
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer: reached.to_string(), difficulty: hops })
    }

    /// The assignments in alphabetical order.
    fn canonical(&self, problem: &Problem) -> String {
        let Some((assignments, query)) = problem.prompt.split_once('?') else {
            return problem.prompt.clone();
        };
        let mut assignments: Vec<&str> = assignments.split_inclusive(';').collect();
        assignments.sort_unstable();
        format!("{}?{query}", assignments.concat())
    }
}

impl PHop {
    fn unanswerable(&self, reason: String) -> TaskError {
        TaskError::Unanswerable { task: self.kind(), reason }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn chains_followed_by_hand() {
        // b -> c -> a -> 3; d -> e -> 7.
        for (query, answer, hops) in [('b', "3", 3), ('c', "3", 2), ('a', "3", 1), ('d', "7", 2)] {
            let problem = PHop.parse(&format!("b=c;a=3;c=a;e=7;d=e;?{query}=")).unwrap();
            assert_eq!((problem.answer.as_str(), problem.difficulty), (answer, hops));
        }
    }

    #[test]
    fn chains_without_an_end_have_no_answer() {
        let error = PHop.parse("a=b;b=a;?a=").unwrap_err();
        assert_eq!(
            error.to_string(),
            "p-hop: the prompt has no answer: after 2 hops the chain comes to `a`; \
             expected a variable that is assigned and not yet passed"
        );
        assert!(matches!(PHop.parse("a=b;?a="), Err(TaskError::Unanswerable { .. })));
        assert!(matches!(PHop.parse("a=1;a=2;?a="), Err(TaskError::Unanswerable { .. })));
        assert!(matches!(PHop.parse("a=1;?a"), Err(TaskError::MalformedPrompt { position: 7, .. })));
        assert!(matches!(PHop.parse("a=1"), Err(TaskError::MalformedPrompt { position: 4, .. })));
    }

    #[test]
    fn the_length_does_not_give_the_hops_away() {
        let length = |hops| PHop.sample(hops, &mut rand::rng()).unwrap().prompt.len();
        // Eight assignments of four characters and three of the query.
        assert_eq!([1, 2, 3, 4].map(length), [35; 4]);
        assert_eq!(length(16), 20 * 4 + 3);
    }

    #[test]
    fn every_chain_ends_in_a_digit_of_its_own() {
        for hops in PHop.difficulties() {
            let prompt = PHop.sample(hops, &mut rand::rng()).unwrap().prompt;
            let (assignments, _) = prompt.split_once('?').unwrap();
            let digits: Vec<char> = assignments.chars().filter(char::is_ascii_digit).collect();
            assert!(digits.len() >= 2, "{prompt}");
            assert_eq!(digits.iter().collect::<BTreeSet<_>>().len(), digits.len(), "{prompt}");
        }
    }

    #[test]
    fn shuffled_assignments_are_the_same_problem() {
        let canonical = |prompt| PHop.canonical(&PHop.parse(prompt).unwrap());
        assert_eq!(canonical("b=c;a=3;c=a;?b="), "a=3;b=c;c=a;?b=");
        assert_eq!(canonical("c=a;b=c;a=3;?b="), "a=3;b=c;c=a;?b=");
    }
}
