//! Patterns over the names of parameters.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::error::{RecipeError, Result};

/// A pattern over the names of parameters: `*` stands for any run of characters, dots and none at all included; every
/// other character stands for itself. The whole name must match, so `core.*.ffn.*` matches `core.0.ffn.down`, and
/// `embedding` matches itself alone.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct NamePattern(String);

/// A longer pattern is refused: names are far shorter.
const LONGEST: usize = 1024;

impl NamePattern {
    /// The pattern as text.
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the whole of `name` matches. Takes time proportional to the product of the lengths at the most.
    pub fn matches(&self, name: &str) -> bool {
        let (pattern, name) = (self.0.as_bytes(), name.as_bytes());
        let (mut at, mut read) = (0, 0);
        // After the latest star: where the pattern goes on, and where in the name the star's run ends so far.
        let mut retry: Option<(usize, usize)> = None;
        while read < name.len() {
            if pattern.get(at) == Some(&b'*') {
                at += 1;
                retry = Some((at, read));
            } else if pattern.get(at) == Some(&name[read]) {
                (at, read) = (at + 1, read + 1);
            } else if let Some((after_star, run_end)) = retry {
                (at, read) = (after_star, run_end + 1);
                retry = Some((after_star, read));
            } else {
                return false;
            }
        }
        pattern[at..].iter().all(|&byte| byte == b'*')
    }
}

impl FromStr for NamePattern {
    type Err = RecipeError;

    fn from_str(text: &str) -> Result<Self> {
        text.to_string().try_into()
    }
}

impl TryFrom<String> for NamePattern {
    type Error = RecipeError;

    fn try_from(text: String) -> Result<Self> {
        let allowed = |allowed: &str| RecipeError::Setting {
            key: "name pattern".into(),
            value: format!("{text:?}"),
            allowed: allowed.into(),
        };
        if text.is_empty() || text.len() > LONGEST {
            return Err(allowed("must have from 1 to 1024 bytes"));
        }
        if text.chars().any(|character| character.is_whitespace() || character.is_control()) {
            return Err(allowed("must have no spaces or control characters"));
        }
        Ok(Self(text))
    }
}

impl From<NamePattern> for String {
    fn from(pattern: NamePattern) -> Self {
        pattern.0
    }
}

impl fmt::Display for NamePattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn matches(pattern: &str, name: &str) -> bool {
        pattern.parse::<NamePattern>().expect("a pattern").matches(name)
    }

    #[test]
    fn a_star_is_any_run_of_characters() {
        assert!(matches("core.*.ffn.*", "core.0.ffn.down"));
        assert!(matches("core.*.ffn.*", "core.0.mixer.ffn.gate"));
        assert!(!matches("core.*.ffn.*", "core.0.mixer.query"));
        assert!(!matches("core.*.ffn.*", "prelude.0.ffn.down"));
        assert!(matches("*", ""));
        assert!(matches("*norm", "final_norm"));
        assert!(!matches("*norm", "final_norm.weight"));
        assert!(matches("a*a", "aa") && !matches("a*a", "a"));
        // The first star has to be retried: "ab" at 0 is followed by "x", the one at 3 ends the name.
        assert!(matches("*ab", "abxab"));
        assert!(matches("a**b", "ab"));
    }

    #[test]
    fn without_a_star_the_names_are_equal() {
        assert!(matches("embedding", "embedding"));
        assert!(!matches("embedding", "embeddings"));
        assert!(!matches("embedding", "embeddin"));
        // Nothing but the star is special.
        assert!(!matches("core.?", "core.0"));
        assert!(!matches("core.0", "coreX0"));
    }

    #[test]
    fn bad_patterns_say_what_is_allowed() {
        let error = "".parse::<NamePattern>().expect_err("empty").to_string();
        assert_eq!(error, "name pattern is \"\": must have from 1 to 1024 bytes");
        let error = "core *".parse::<NamePattern>().expect_err("a space").to_string();
        assert_eq!(error, "name pattern is \"core *\": must have no spaces or control characters");
    }

    /// The definition, exponential in time.
    fn slowly(pattern: &[u8], name: &[u8]) -> bool {
        match (pattern.split_first(), name.split_first()) {
            (None, None) => true,
            (Some((b'*', rest)), _) => (0..=name.len()).any(|run| slowly(rest, &name[run..])),
            (Some((a, pattern)), Some((b, name))) => a == b && slowly(pattern, name),
            _ => false,
        }
    }

    proptest! {
        #[test]
        fn agrees_with_the_definition(pattern in "[ab*]{1,8}", name in "[ab]{0,10}") {
            prop_assert_eq!(matches(&pattern, &name), slowly(pattern.as_bytes(), name.as_bytes()));
        }
    }
}
