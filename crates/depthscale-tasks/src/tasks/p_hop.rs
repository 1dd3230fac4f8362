//! `b=c;a=3;c=a;?b=`: following assignments from one variable to the next.

use std::collections::BTreeMap;
use std::ops::RangeInclusive;

use rand::seq::SliceRandom;
use rand::{Rng, RngCore};

use crate::scanner::Scanner;
use crate::{FollowUp, Hint, Problem, Task, TaskError, TaskKind};

/// How many assignments a drawn prompt may have, whatever its difficulty.
const ASSIGNMENTS: u32 = 8;
/// How many assignments may be beside the chain of the query, whatever its length.
const DISTRACTORS: u32 = 4;

/// `b=c;a=3;c=a;e=7;d=e;?b=` -> `3`: the digit at the end of a chain of assignments, which come in any order.
///
/// The difficulty is the number of hops from the variable to its digit; here b to c, c to a, and a to 3.
///
/// A drawn prompt of difficulty p has p + 1 to max(8, p + 4) assignments, each number as likely as the others: some
/// prompts are short enough to learn looking up from, and a long one may ask for any number of hops. For the same reason
/// the variables are some of the first letters of the alphabet, of any number of them: telling 26 apart is learned last.
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
        let most = ASSIGNMENTS.max(difficulty + DISTRACTORS);
        let n_assignments = rng.random_range(difficulty + 1..=most) as usize;
        // At most 16 + 4 of them.
        let mut names: Vec<char> = ('a'..='z').take(rng.random_range(n_assignments..=26)).collect();
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

    /// At a value the variable that it is assigned to, by which it is looked up later; at the end of an assignment the digit
    /// of its variable, where the assignments so far settle it; and the answer at the variable that is asked for.
    fn hints(&self, problem: &Problem) -> Vec<Hint> {
        let Some((assignments, _)) = problem.prompt.split_once('?') else {
            return Vec::new();
        };
        let mut hints = Vec::new();
        let mut after = 0;
        for assignment in assignments.split_inclusive(';') {
            let Some(name) = assignment.chars().next() else { continue };
            after += assignment.len();
            hints.push(Hint { after: after - 1, says: name, answers: None });
            let settled = self.parse(&format!("{}?{name}=", &assignments[..after])).ok();
            hints.extend(settled.and_then(|problem| Hint::answer(after, problem)));
        }
        hints.extend(Hint::answer(problem.prompt.len() - 1, problem.clone()));
        hints
    }

    /// The other variables, in the order of their assignments.
    fn follow_ups(&self, problem: &Problem) -> Vec<FollowUp> {
        let Some((assignments, asked)) = problem.prompt.split_once('?') else {
            return Vec::new();
        };
        let names = assignments.split_terminator(';').filter_map(|assignment| assignment.chars().next());
        let others = names.filter(|name| !asked.starts_with(*name));
        let follow_up = |name| {
            let question = format!("?{name}=");
            Some(FollowUp { problem: self.parse(&format!("{assignments}{question}")).ok()?, question })
        };
        others.filter_map(follow_up).collect()
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
    fn a_variable_is_settled_by_what_stands_before_it() {
        let hints = PHop.hints(&PHop.parse("b=c;a=3;c=a;?b=").unwrap());
        let prompt = |hint: &Hint| hint.answers.as_ref().map(|problem| problem.prompt.clone());
        let hints: Vec<_> = hints.iter().map(|hint| (hint.after, hint.says, prompt(hint))).collect();
        let settled = |prompt: &str| Some(prompt.to_owned());
        let expected = [
            (3, 'b', None),
            (7, 'a', None),
            (8, '3', settled("b=c;a=3;?a=")),
            (11, 'c', None),
            (12, '3', settled("b=c;a=3;c=a;?c=")),
            (14, '3', settled("b=c;a=3;c=a;?b=")),
        ];
        assert_eq!(hints, expected);
    }

    #[test]
    fn every_other_variable_can_be_asked_for() {
        let follow_ups = PHop.follow_ups(&PHop.parse("b=c;a=3;c=a;e=7;?c=").unwrap());
        let follow_ups: Vec<_> =
            follow_ups.iter().map(|next| (&*next.question, &*next.problem.prompt, &*next.problem.answer)).collect();
        let expected = [
            ("?b=", "b=c;a=3;c=a;e=7;?b=", "3"),
            ("?a=", "b=c;a=3;c=a;e=7;?a=", "3"),
            ("?e=", "b=c;a=3;c=a;e=7;?e=", "7"),
        ];
        assert_eq!(follow_ups, expected);
    }

    #[test]
    fn a_chain_stands_among_others() {
        for (hops, shortest, longest) in [(1, 2, 8), (4, 5, 8), (6, 7, 10), (16, 17, 20)] {
            let draw = |_| PHop.sample(hops, &mut rand::rng()).unwrap().prompt.matches(';').count();
            let counts: BTreeSet<usize> = (0..400).map(draw).collect();
            assert_eq!(counts, (shortest..=longest).collect(), "{hops} hops");
        }
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
