//! One line of a file of prompts and answers.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::CorpusError;

/// A prompt and the answer to be learnt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) prompt: String,
    pub(crate) answer: String,
}

/// A line with all its keys. A misspelt key is an unknown one before another is missing.
#[derive(Deserialize)]
#[serde(expecting = "an object")]
struct Stored {
    prompt: Option<String>,
    answer: Option<String>,
    #[serde(flatten)]
    unknown: BTreeMap<String, IgnoredAny>,
}

/// Parses a line, which is not blank. `path` and `line` are for errors.
pub(crate) fn parse(text: &str, path: &Path, line: u64) -> Result<Pair, CorpusError> {
    let malformed =
        |column: usize, message: String| CorpusError::MalformedLine { path: path.into(), line, column, message };
    let stored: Stored = serde_json::from_str(text).map_err(|error| {
        let column = error.column();
        let message = error.to_string();
        // The parser saw one line, and calls it line 1.
        let end = format!(" at line 1 column {column}");
        // A value of another type is found before its first column.
        malformed(column.max(1), message.strip_suffix(&end).unwrap_or(&message).to_owned())
    })?;
    if let Some(key) = stored.unknown.into_keys().next() {
        return Err(CorpusError::UnknownKey { path: path.into(), line, key });
    }
    let missing = |key: &str| malformed(text.len(), format!("the key {key:?} is missing or null"));
    let prompt = stored.prompt.ok_or_else(|| missing("prompt"))?;
    let answer = stored.answer.ok_or_else(|| missing("answer"))?;
    Ok(Pair { prompt, answer })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(text: &str) -> Result<Pair, CorpusError> {
        parse(text, Path::new("a.jsonl"), 7)
    }

    #[test]
    fn a_line_is_a_prompt_and_an_answer() {
        let pair = parsed("{\"answer\": \"8\\n\", \"prompt\": \"\\u00e9\"}\r").unwrap();
        assert_eq!(pair, Pair { prompt: "é".into(), answer: "8\n".into() });
    }

    #[test]
    fn a_malformed_line_is_found_by_line_and_column() {
        for (text, expected_column, expected_message) in [
            (r#"{"prompt": "a" "answer": "b"}"#, 16, "expected `,` or `}`"),
            (r#"{"prompt": "a"}"#, 15, r#"the key "answer" is missing or null"#),
            (r#"["a", "b"]"#, 1, "invalid type: sequence, expected an object"),
            (r#"{"prompt": "a", "answer": 8}"#, 27, "invalid type: integer `8`, expected a string"),
            (r#"{"prompt": "a", "prompt": "b"}"#, 24, "duplicate field `prompt`"),
            (r#"{"prompt": "a", "answer": "b"} x"#, 32, "trailing characters"),
        ] {
            match parsed(text) {
                Err(CorpusError::MalformedLine { line: 7, column, message, .. }) => {
                    assert_eq!((column, message.as_str()), (expected_column, expected_message), "{text}");
                }
                other => panic!("{text}: {other:?}"),
            }
        }
    }

    #[test]
    fn an_unknown_key_is_named() {
        let error = parsed(r#"{"prompt": "a", "completion": [{}]}"#).unwrap_err();
        assert_eq!(
            error.to_string(),
            r#"a.jsonl: line 7: unknown key "completion"; expected "prompt" and "answer" only"#
        );
    }

    proptest! {
        #[test]
        fn what_serde_writes_is_read(prompt: String, answer: String) {
            let text = serde_json::json!({"prompt": prompt, "answer": answer}).to_string();
            prop_assert_eq!(parsed(&text).unwrap(), Pair { prompt, answer });
        }

        #[test]
        fn any_text_is_a_pair_or_an_error(text in "[\\[\\]{}\":,promtanswe0-9 \\\\]{0,40}|\\PC*") {
            let _ = parsed(&text);
        }
    }
}
