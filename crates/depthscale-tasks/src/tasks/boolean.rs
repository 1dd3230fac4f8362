//! `(!(T&F)|T)=`: the value of a nested expression.

use std::ops::RangeInclusive;

use rand::seq::IndexedRandom;
use rand::{Rng, RngCore};

use crate::scanner::Scanner;
use crate::{Hint, Problem, Task, TaskError, TaskKind};

const OPERATORS: [char; 3] = ['&', '|', '^'];
const LITERALS: [bool; 2] = [true, false];
/// The deepest expression that is read.
const DEEPEST: u32 = 10;

/// `(!(T&F)|T)=` -> `T`: the value of an expression of `T`, `F`, not `!`, and `&`, or `|`, exclusive or `^`.
///
/// Each operation on two operands stands in parentheses. The difficulty is the depth of the nesting: 0 for a literal,
/// one more than the deeper operand for an operation; `!` does not count.
///
/// In a drawn expression one operand of each operation is the deep one and the other has a depth of at most 1, so that
/// the length grows linearly. No operation is decided by its shallow operand: that is true beside `&`, false beside `|`
/// and either beside `^`. So the innermost literal, which is drawn evenly, flips the value of the whole, and half of
/// the answers are `T` at every depth.
#[derive(Clone, Copy, Debug, Default)]
pub struct Boolean;

/// A piece of an expression and its value.
struct Piece {
    text: String,
    value: bool,
}

impl Task for Boolean {
    fn kind(&self) -> TaskKind {
        TaskKind::Boolean
    }

    fn description(&self) -> &'static str {
        "the value of a nested expression of true and false"
    }

    fn difficulty_unit(&self) -> &'static str {
        "levels of nesting"
    }

    fn difficulties(&self) -> RangeInclusive<u32> {
        1..=DEEPEST
    }

    fn sample(&self, difficulty: u32, rng: &mut dyn RngCore) -> Result<Problem, TaskError> {
        self.allow(difficulty)?;
        let value = rng.random_bool(0.5);
        let mut whole = Piece { text: letter(value).to_string(), value };
        for level in 1..=difficulty {
            let mut deep = whole;
            if rng.random_bool(0.25) {
                deep = Piece { text: format!("!{}", deep.text), value: !deep.value };
            }
            let operator = *OPERATORS.choose(rng).unwrap_or(&'^');
            // The value that leaves the decision to the deep operand.
            let value = match operator {
                '&' => true,
                '|' => false,
                _ => rng.random_bool(0.5),
            };
            let is_literal = level == 1 || rng.random_bool(0.5);
            let shallow = if is_literal { draw_literal(value, rng) } else { draw_operation(value, rng) };
            let (left, right) = if rng.random_bool(0.5) { (&deep, &shallow) } else { (&shallow, &deep) };
            whole = Piece {
                text: format!("({}{operator}{})", left.text, right.text),
                value: apply(operator, left.value, right.value),
            };
        }
        let prompt = format!("{}=", whole.text);
        Ok(Problem { task: self.kind(), prompt, answer: letter(whole.value).to_string(), difficulty })
    }

    fn parse(&self, prompt: &str) -> Result<Problem, TaskError> {
        let mut scanner = Scanner::new(self.kind(), prompt);
        let (value, difficulty) = self.parse_expression(&mut scanner, 0)?;
        scanner.finish()?;
        self.allow(difficulty)?;
        Ok(Problem { task: self.kind(), prompt: prompt.to_owned(), answer: letter(value).to_string(), difficulty })
    }

    /// Each operation, where its parenthesis closes.
    fn hints(&self, problem: &Problem) -> Vec<Hint> {
        let prompt = &problem.prompt;
        let mut open = Vec::new();
        let mut hints = Vec::new();
        for (place, c) in prompt.char_indices() {
            match c {
                '(' => open.push(place),
                ')' => {
                    let after = place + 1;
                    let inner = open.pop().and_then(|from| self.parse(&format!("{}=", &prompt[from..after])).ok());
                    hints.extend(inner.and_then(|problem| Hint::answer(after, problem)));
                }
                _ => {}
            }
        }
        hints
    }
}

impl Boolean {
    /// The value and the depth of the expression that comes next, which stands inside so many operations.
    fn parse_expression(&self, scanner: &mut Scanner<'_>, inside: u32) -> Result<(bool, u32), TaskError> {
        let mut is_negated = false;
        while scanner.skip("!") {
            is_negated = !is_negated;
        }
        let first = scanner.one("`T`, `F`, `!` or `(`", |c| matches!(c, 'T' | 'F' | '('))?;
        if first != '(' {
            return Ok(((first == 'T') != is_negated, 0));
        }
        // Refused here rather than at the end, as each level is a call.
        if inside == DEEPEST {
            self.allow(inside + 1)?;
        }
        let (left, left_depth) = self.parse_expression(scanner, inside + 1)?;
        let operator = scanner.one("`&`, `|` or `^`", |c| OPERATORS.contains(&c))?;
        let (right, right_depth) = self.parse_expression(scanner, inside + 1)?;
        scanner.expect(")")?;
        Ok((apply(operator, left, right) != is_negated, 1 + left_depth.max(right_depth)))
    }
}

fn apply(operator: char, left: bool, right: bool) -> bool {
    match operator {
        '&' => left && right,
        '|' => left || right,
        _ => left != right,
    }
}

fn letter(value: bool) -> char {
    if value { 'T' } else { 'F' }
}

/// A literal of this value, now and then as the negation of the other one.
fn draw_literal(value: bool, rng: &mut dyn RngCore) -> Piece {
    let text = if rng.random_bool(0.25) { format!("!{}", letter(!value)) } else { letter(value).to_string() };
    Piece { text, value }
}

/// An operation on two literals that has this value.
fn draw_operation(value: bool, rng: &mut dyn RngCore) -> Piece {
    let mut operations = Vec::new();
    for operator in OPERATORS {
        for left in LITERALS {
            let rights = LITERALS.into_iter().filter(|&right| apply(operator, left, right) == value);
            operations.extend(rights.map(|right| (left, operator, right)));
        }
    }
    // Each value has six operations.
    let (left, operator, right) = *operations.choose(rng).unwrap_or(&(value, '&', true));
    let (left, right) = (draw_literal(left, rng), draw_literal(right, rng));
    Piece { text: format!("({}{operator}{})", left.text, right.text), value }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_worked_out_by_hand() {
        for (prompt, answer, difficulty) in [
            // !(T&F) = !F = T, and T|T = T.
            ("(!(T&F)|T)=", "T", 2),
            ("(T^T)=", "F", 1),
            ("!!!(T|F)=", "F", 1),
            // (F|F) = F, (T&F) = F, F^F = F; then F|F.
            ("(F|((F|F)^(T&F)))=", "F", 3),
        ] {
            let problem = Boolean.parse(prompt).unwrap();
            assert_eq!((problem.answer.as_str(), problem.difficulty), (answer, difficulty), "{prompt}");
        }
        for prompt in ["T=", "(T&F=", "T&F=", "(T)=", "(T&)=", "()=", "!=", "(t&f)="] {
            assert!(Boolean.parse(prompt).is_err(), "{prompt}");
        }
    }

    #[test]
    fn an_operation_is_settled_where_it_closes() {
        let hints = Boolean.hints(&Boolean.parse("(!(T&F)|T)=").unwrap());
        let hints: Vec<_> =
            hints.iter().map(|hint| (hint.after, hint.says, &*hint.answers.as_ref().unwrap().prompt)).collect();
        assert_eq!(hints, [(7, 'F', "(T&F)="), (10, 'T', "(!(T&F)|T)=")]);
    }

    #[test]
    fn endless_nesting_is_an_error() {
        let error = Boolean.parse(&"(".repeat(1_000_000)).unwrap_err();
        assert_eq!(error.to_string(), "boolean: no problem has 11 levels of nesting; expected 1 to 10");
        assert!(Boolean.parse(&"!".repeat(1_000_000)).is_err());
    }

    #[test]
    fn a_literal_of_the_innermost_operation_decides() {
        for difficulty in Boolean.difficulties() {
            let problem = Boolean.sample(difficulty, &mut rand::rng()).unwrap();
            let mut depth = 0;
            let mut deciding = 0;
            for (place, c) in problem.prompt.char_indices() {
                depth += u32::from(c == '(');
                depth -= u32::from(c == ')');
                if depth == difficulty && matches!(c, 'T' | 'F') {
                    let mut flipped = problem.prompt.clone();
                    flipped.replace_range(place..=place, if c == 'T' { "F" } else { "T" });
                    deciding += u32::from(Boolean.parse(&flipped).unwrap().answer != problem.answer);
                }
            }
            assert!(deciding >= 1, "{}", problem.prompt);
        }
    }

    #[test]
    fn half_of_the_answers_are_true_at_every_depth() {
        for difficulty in Boolean.difficulties() {
            let is_true = |_: &i32| Boolean.sample(difficulty, &mut rand::rng()).unwrap().answer == "T";
            let n_true = (0..4000).filter(is_true).count();
            // The standard deviation is sqrt(4000)/2 = 32; this is six of them.
            assert!(n_true.abs_diff(2000) < 190, "{n_true} of 4000 at depth {difficulty}");
        }
    }
}
