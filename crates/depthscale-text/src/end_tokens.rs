//! The ids at which a text is over.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;

use crate::checkpoint_json::CheckpointJson;
use crate::{TextError, TextTokenizer};

/// The tokens at which [Ouro](https://arxiv.org/abs/2510.25741) ends: of a document and of a chat turn.
pub const OURO_END_MARKERS: &[(u32, &str)] = &[(0, "<|endoftext|>"), (2, "<|im_end|>")];

/// The tokens at which [Huginn](https://arxiv.org/abs/2502.05171) ends: a new document, the end of one, the end of a
/// chat turn.
pub const HUGINN_END_MARKERS: &[(u32, &str)] =
    &[(65504, "<|begin_text|>"), (65505, "<|end_text|>"), (65508, "<|end_turn|>")];

const FILES: [&str; 2] = ["generation_config.json", "config.json"];
const KEY: &str = "eos_token_id";
const EXPECTED: &str = "a token id (a whole number from 0), a list of them, or null";

/// The set of ids at which generation ends.
///
/// A set given by hand is collected: `[1, 2].into_iter().collect::<EndTokens>()`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndTokens {
    ids: BTreeSet<u32>,
}

impl EndTokens {
    /// Everything the checkpoint says about its end: the union of `eos_token_id` in `DIR/generation_config.json` and
    /// in `DIR/config.json`, and of the family's published end markers.
    ///
    /// Either file may be missing, and `null` says nothing. A marker counts only where this tokenizer gives the id the
    /// published text: a small checkpoint of the same family may use the id for something else.
    ///
    /// # Errors
    ///
    /// [`TextError::Unreadable`], [`TextError::Malformed`] or [`TextError::WrongType`] for a file that does not say
    /// it properly, [`TextError::UnknownEndToken`] for an id that the tokenizer does not have.
    pub fn resolve(dir: &Path, family_markers: &[(u32, &str)], tokenizer: &TextTokenizer) -> Result<Self, TextError> {
        let mut ids = BTreeSet::new();
        for name in FILES {
            if let Some(file) = CheckpointJson::open_optional(dir, name)? {
                add_published_ids(&mut ids, &file, tokenizer)?;
            }
        }
        for (id, text) in family_markers {
            if tokenizer.id_to_token(*id).as_deref() == Some(*text) {
                ids.insert(*id);
            }
        }
        Ok(Self { ids })
    }

    /// Whether generation ends at this id.
    pub fn contains(&self, id: u32) -> bool {
        self.ids.contains(&id)
    }

    /// The ids, lowest first.
    pub fn iter(&self) -> impl Iterator<Item = u32> + '_ {
        self.ids.iter().copied()
    }

    /// Whether there is no end token, so that only a length limit or a stop string ends generation.
    pub fn is_empty(&self) -> bool {
        self.ids.is_empty()
    }
}

impl FromIterator<u32> for EndTokens {
    fn from_iter<I: IntoIterator<Item = u32>>(ids: I) -> Self {
        Self { ids: ids.into_iter().collect() }
    }
}

fn add_published_ids(
    ids: &mut BTreeSet<u32>,
    file: &CheckpointJson,
    tokenizer: &TextTokenizer,
) -> Result<(), TextError> {
    let Some(value) = file.get(KEY) else {
        return Ok(());
    };
    let items = match value {
        Value::Array(items) => items.as_slice(),
        one => std::slice::from_ref(one),
    };
    for item in items {
        let Some(id) = item.as_u64() else {
            return Err(file.wrong_type(KEY, EXPECTED, value));
        };
        let known = u32::try_from(id).ok().filter(|id| tokenizer.id_to_token(*id).is_some());
        let Some(known) = known else {
            return Err(TextError::UnknownEndToken {
                path: file.path.clone(),
                key: KEY.to_owned(),
                id,
                id_bound: tokenizer.id_bound(),
            });
        };
        ids.insert(known);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing::{self, END_OF_TEXT_ID, IM_END_ID};

    fn resolve(generation_config: &str, config: &str) -> Result<Vec<u32>, TextError> {
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join(FILES[0]), generation_config).unwrap();
        fs::write(dir.path().join(FILES[1]), config).unwrap();
        let end_tokens = EndTokens::resolve(dir.path(), &[], &testing::byte_level())?;
        Ok(end_tokens.iter().collect())
    }

    #[test]
    fn the_fixture_ends_at_its_newline_and_at_no_marker() {
        let dir = testing::arith_dir();
        let tokenizer = TextTokenizer::open(&dir).unwrap();
        // Its ids 0 and 2 are "<pad>" and "0", not Ouro's markers.
        let end_tokens = EndTokens::resolve(&dir, OURO_END_MARKERS, &tokenizer).unwrap();
        assert_eq!(end_tokens, [1].into_iter().collect());
        assert!(end_tokens.contains(1) && !end_tokens.contains(0));
    }

    #[test]
    fn both_files_are_united() {
        let ids = resolve(r#"{"eos_token_id": [7, 9, 7]}"#, r#"{"eos_token_id": 3}"#);
        assert_eq!(ids.unwrap(), [3, 7, 9]);
        assert!(resolve(r#"{"eos_token_id": null}"#, "{}").unwrap().is_empty());
    }

    #[test]
    fn markers_count_where_the_tokenizer_has_their_text() {
        let dir = tempfile::tempdir().unwrap();
        let markers = [(END_OF_TEXT_ID, "<|endoftext|>"), (IM_END_ID, "<|other|>"), (70_000, "<|end_turn|>")];
        let end_tokens = EndTokens::resolve(dir.path(), &markers, &testing::byte_level()).unwrap();
        assert_eq!(end_tokens, [END_OF_TEXT_ID].into_iter().collect());

        let none = EndTokens::resolve(dir.path(), HUGINN_END_MARKERS, &testing::byte_level());
        assert!(none.unwrap().is_empty());
    }

    #[test]
    fn a_wrong_type_names_file_and_key() {
        for wrong in ["\"2\"", "-1", "2.5", "true", "{}", "[1, null]", "[[1]]"] {
            let config = format!(r#"{{"eos_token_id": {wrong}}}"#);
            let error = resolve("{}", &config).unwrap_err();
            assert!(
                matches!(&error, TextError::WrongType { path, key, .. }
                    if path.ends_with("config.json") && key == "eos_token_id"),
                "{wrong}: {error}"
            );
        }
    }

    #[test]
    fn malformed_files_are_typed_errors() {
        for malformed in ["", "{\"eos_token_id\": 1", "[1]", "1"] {
            let error = resolve(malformed, "{}").unwrap_err();
            assert!(
                matches!(&error, TextError::Malformed { path, .. } if path.ends_with(FILES[0])),
                "{malformed}: {error}"
            );
        }
    }

    #[test]
    fn an_id_that_no_token_has_is_an_error() {
        // 280 lies in the gap between the bytes and the special tokens, the others above every id.
        for unknown in [280u64, 302, 1 << 32] {
            let error = resolve(&format!(r#"{{"eos_token_id": [1, {unknown}]}}"#), "{}");
            let error = error.unwrap_err();
            assert!(
                matches!(&error, TextError::UnknownEndToken { id, id_bound: 302, .. } if *id == unknown),
                "{error}"
            );
        }
    }
}
