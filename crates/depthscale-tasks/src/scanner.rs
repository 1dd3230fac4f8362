//! Reads a prompt from left to right and says where it stops making sense.

use crate::{TaskError, TaskKind};

/// A place in a prompt.
pub(crate) struct Scanner<'a> {
    task: TaskKind,
    prompt: &'a str,
    /// The bytes that were read.
    read: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(task: TaskKind, prompt: &'a str) -> Self {
        Self { task, prompt, read: 0 }
    }

    fn rest(&self) -> &'a str {
        &self.prompt[self.read..]
    }

    /// The next character, if there is one.
    pub(crate) fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    /// Reads this text if it comes next.
    pub(crate) fn skip(&mut self, text: &str) -> bool {
        let comes_next = self.rest().starts_with(text);
        if comes_next {
            self.read += text.len();
        }
        comes_next
    }

    /// Reads this text.
    pub(crate) fn expect(&mut self, text: &str) -> Result<(), TaskError> {
        if self.skip(text) { Ok(()) } else { Err(self.malformed(&format!("`{text}`"))) }
    }

    /// Reads one accepted character.
    pub(crate) fn one(&mut self, expected: &str, accepts: impl Fn(char) -> bool) -> Result<char, TaskError> {
        let c = self.peek().filter(|&c| accepts(c)).ok_or_else(|| self.malformed(expected))?;
        self.read += c.len_utf8();
        Ok(c)
    }

    /// Reads all accepted characters that come next, and at least one.
    pub(crate) fn many(&mut self, expected: &str, accepts: impl Fn(char) -> bool) -> Result<&'a str, TaskError> {
        let rest = self.rest();
        let length = rest.find(|c| !accepts(c)).unwrap_or(rest.len());
        if length == 0 {
            return Err(self.malformed(expected));
        }
        self.read += length;
        Ok(&rest[..length])
    }

    /// Reads the `=` that ends every prompt.
    pub(crate) fn finish(&mut self) -> Result<(), TaskError> {
        self.expect("=")?;
        if self.rest().is_empty() { Ok(()) } else { Err(self.malformed("the end of the prompt")) }
    }

    /// The error that something else was expected here.
    pub(crate) fn malformed(&self, expected: &str) -> TaskError {
        TaskError::MalformedPrompt {
            task: self.task,
            position: self.prompt[..self.read].chars().count() + 1,
            expected: expected.to_owned(),
            found: self.peek().map_or_else(|| "the end of the prompt".to_owned(), |c| format!("{c:?}")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_count_characters_from_one() {
        let mut scanner = Scanner::new(TaskKind::Sort, "sort:é");
        scanner.expect("sort:").unwrap();
        let error = scanner.one("a digit", |c| c.is_ascii_digit()).unwrap_err();
        assert_eq!(error.to_string(), "sort: character 6 of the prompt: expected a digit, found 'é'");
        scanner.one("a letter", char::is_alphabetic).unwrap();
        let error = scanner.finish().unwrap_err();
        assert_eq!(error.to_string(), "sort: character 7 of the prompt: expected `=`, found the end of the prompt");
    }

    #[test]
    fn many_reads_at_least_one() {
        let mut scanner = Scanner::new(TaskKind::Sort, "12=");
        assert_eq!(scanner.many("digits", |c| c.is_ascii_digit()).unwrap(), "12");
        assert!(scanner.many("digits", |c| c.is_ascii_digit()).is_err());
        scanner.finish().unwrap();
    }
}
