//! Two whole numbers with a sign between them, as addition and multiplication have.

use rand::{Rng, RngCore};

use crate::scanner::Scanner;
use crate::task::as_difficulty;
use crate::{TaskError, TaskKind};

/// Draws two numbers, of which the first or the second has this many digits and the other one to this many.
pub(super) fn draw(digits: u32, rng: &mut dyn RngCore) -> [u64; 2] {
    let other = rng.random_range(1..=digits);
    let mut operands = [number(digits, rng), number(other, rng)];
    if rng.random_bool(0.5) {
        operands.reverse();
    }
    operands
}

/// A number of this many digits. The one number that may begin with a zero is zero itself.
fn number(digits: u32, rng: &mut dyn RngCore) -> u64 {
    let lowest = if digits == 1 { 0 } else { 10_u64.pow(digits - 1) };
    rng.random_range(lowest..10_u64.pow(digits))
}

/// Reads `47+38=` for the sign `+`, and gives the digits of both numbers.
pub(super) fn parse<'a>(task: TaskKind, sign: &str, prompt: &'a str) -> Result<[&'a str; 2], TaskError> {
    let mut scanner = Scanner::new(task, prompt);
    let first = parse_number(&mut scanner)?;
    scanner.expect(sign)?;
    let second = parse_number(&mut scanner)?;
    scanner.finish()?;
    Ok([first, second])
}

fn parse_number<'a>(scanner: &mut Scanner<'a>) -> Result<&'a str, TaskError> {
    let begins_with_zero = scanner.peek() == Some('0');
    let digits = scanner.many("a digit", |c| c.is_ascii_digit())?;
    if begins_with_zero && digits.len() > 1 {
        return Err(scanner.malformed("a number without leading zeros before this place"));
    }
    Ok(digits)
}

/// The digits of the longer number.
pub(super) fn difficulty(operands: [&str; 2]) -> u32 {
    as_difficulty(operands[0].len().max(operands[1].len()))
}

/// The prompt with the smaller number first.
pub(super) fn canonical(sign: char, prompt: &str) -> String {
    let operands = prompt.strip_suffix('=').and_then(|operands| operands.split_once(sign));
    match operands {
        Some((a, b)) if (b.len(), b) < (a.len(), a) => format!("{b}{sign}{a}="),
        _ => prompt.to_owned(),
    }
}

/// The values of decimal digits, the last one first.
pub(super) fn reversed_digits(digits: &str) -> Vec<u32> {
    digits.chars().rev().filter_map(|c| c.to_digit(10)).collect()
}

/// Writes digits of which the last comes first, without leading zeros.
pub(super) fn write_reversed(digits: &[u32]) -> String {
    let length = digits.iter().rposition(|&digit| digit != 0).map_or(1, |highest| highest + 1);
    digits[..length].iter().rev().map(u32::to_string).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_smaller_number_comes_first_in_the_canonical_form() {
        assert_eq!(canonical('+', "47+38="), "38+47=");
        assert_eq!(canonical('+', "38+47="), "38+47=");
        assert_eq!(canonical('+', "100+9="), "9+100=");
        assert_eq!(canonical('+', "no sum"), "no sum");
    }

    #[test]
    fn a_leading_zero_is_refused() {
        let error = parse(TaskKind::Addition, "+", "047+3=").unwrap_err();
        assert_eq!(
            error.to_string(),
            "addition: character 4 of the prompt: expected a number without leading zeros before this place, found '+'"
        );
        assert_eq!(parse(TaskKind::Addition, "+", "0+3=").unwrap(), ["0", "3"]);
    }
}
