//! Text to ids and back, as the checkpoint's `tokenizer.json` says.

use std::fmt;
use std::path::Path;
use std::sync::Arc;

use serde::Deserialize;
use tokenizers::Tokenizer;

use crate::TextError;
use crate::checkpoint_json::read_optional;

const FILE_NAME: &str = "tokenizer.json";
const EXPECTED: &str = "a tokenizer in the Hugging Face tokenizers format";

/// What a decoder writes for bytes that are not, or not yet, UTF-8.
pub(crate) const REPLACEMENT: char = char::REPLACEMENT_CHARACTER;

/// A checkpoint's tokenizer, loaded from its `tokenizer.json`
/// ([format](https://huggingface.co/docs/tokenizers/api/tokenizer)).
///
/// Clones share one vocabulary, so a clone per sequence costs nothing. Truncation and padding that the file may ask
/// for are switched off: they belong to training batches, and would silently shorten a prompt.
#[derive(Clone)]
pub struct TextTokenizer {
    inner: Arc<Tokenizer>,
    id_bound: usize,
}

impl TextTokenizer {
    /// Loads `DIR/tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`TextError::MissingFile`], [`TextError::Unreadable`] or [`TextError::Malformed`], each naming the path.
    pub fn open(dir: &Path) -> Result<Self, TextError> {
        let path = dir.join(FILE_NAME);
        match read_optional(&path)? {
            Some(bytes) => Self::from_bytes(&bytes, &path),
            None => Err(TextError::MissingFile { path, expected: EXPECTED }),
        }
    }

    /// Loads a `tokenizer.json` that is already in memory, such as one embedded in the program. `origin` is what
    /// errors call it.
    ///
    /// # Errors
    ///
    /// [`TextError::Malformed`] naming `origin`; also for an added token whose id in the file is not the one it gets,
    /// which the tokenizers library takes silently.
    pub fn from_bytes(json: &[u8], origin: &Path) -> Result<Self, TextError> {
        let malformed = |error: tokenizers::Error| TextError::Malformed {
            path: origin.to_owned(),
            expected: EXPECTED,
            message: error.to_string(),
        };
        let published: Published = serde_json::from_slice(json).map_err(|error| malformed(error.into()))?;
        let mut inner = Tokenizer::from_bytes(json).map_err(malformed)?;
        inner.with_truncation(None).map_err(malformed)?;
        inner.with_padding(None);
        check_added_tokens(&inner, &published).map_err(|message| malformed(message.into()))?;
        let highest_id = inner.get_vocab(true).into_values().max();
        Ok(Self { inner: Arc::new(inner), id_bound: highest_id.map_or(0, |id| id as usize + 1) })
    }

    /// The ids of a prompt, with those special tokens that the tokenizer's own post-processor adds.
    ///
    /// The text of a special token is read as that token wherever it stands, in both ways of encoding.
    ///
    /// # Errors
    ///
    /// [`TextError::Encode`] when the vocabulary cannot express the text.
    pub fn encode(&self, text: &str) -> Result<Vec<u32>, TextError> {
        self.encode_text(text, true)
    }

    /// The ids of the text and nothing else, for a rendered chat template, which holds its special tokens already.
    ///
    /// # Errors
    ///
    /// [`TextError::Encode`] when the vocabulary cannot express the text.
    pub fn encode_plain(&self, text: &str) -> Result<Vec<u32>, TextError> {
        self.encode_text(text, false)
    }

    fn encode_text(&self, text: &str, add_special_tokens: bool) -> Result<Vec<u32>, TextError> {
        match self.inner.encode_fast(text, add_special_tokens) {
            Ok(encoding) => Ok(encoding.get_ids().to_vec()),
            Err(error) => Err(TextError::Encode { message: error.to_string() }),
        }
    }

    /// The text of some ids. Special tokens, and ids that the vocabulary does not have, contribute nothing; bytes that
    /// are not UTF-8 become U+FFFD.
    ///
    /// # Errors
    ///
    /// [`TextError::Decode`] when the tokenizer's decoder fails.
    pub fn decode(&self, ids: &[u32]) -> Result<String, TextError> {
        self.inner.decode(ids, true).map_err(|error| TextError::Decode { n_ids: ids.len(), message: error.to_string() })
    }

    /// The number of tokens, added ones included.
    pub fn vocab_size(&self) -> usize {
        self.inner.get_vocab_size(true)
    }

    /// The highest id plus one; more than [`vocab_size`](Self::vocab_size) where the ids have gaps.
    pub fn id_bound(&self) -> usize {
        self.id_bound
    }

    /// The id of a token, given as it is written in the vocabulary.
    pub fn token_to_id(&self, token: &str) -> Option<u32> {
        self.inner.token_to_id(token)
    }

    /// A token as it is written in the vocabulary, where a byte-level tokenizer writes a space as `Ġ`.
    pub fn id_to_token(&self, id: u32) -> Option<String> {
        self.inner.id_to_token(id)
    }

    /// A printable form of one token, for a trace.
    ///
    /// It is the text that the token adds in the middle of a sequence, special tokens by their name, with control
    /// characters, backslashes and other unprintable characters escaped as in a Rust literal. A token that is part of a
    /// character only is shown as it is written in the vocabulary, and an id without a token as `<unknown id 7>`.
    pub fn token_text(&self, id: u32) -> String {
        let Some(token) = self.id_to_token(id) else {
            return format!("<unknown id {id}>");
        };
        let text = self.text_after_itself(id);
        let text = text.filter(|text| !text.is_empty() && !text.contains(REPLACEMENT));
        escape(&text.unwrap_or(token))
    }

    /// Whether decoding passes over this id: a special token, or none at all.
    pub(crate) fn is_silent(&self, id: u32) -> bool {
        match self.inner.id_to_token(id) {
            Some(token) => self.inner.get_added_vocabulary().is_special_token(&token),
            None => true,
        }
    }

    /// What the token adds when it follows itself: some tokenizers drop the space of a token that comes first.
    fn text_after_itself(&self, id: u32) -> Option<String> {
        let once = self.inner.decode(&[id], false).ok()?;
        let twice = self.inner.decode(&[id, id], false).ok()?;
        let added = twice.strip_prefix(&once).map(str::to_owned);
        Some(added.unwrap_or(once))
    }
}

impl fmt::Debug for TextTokenizer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("TextTokenizer")
            .field("vocab_size", &self.vocab_size())
            .field("id_bound", &self.id_bound)
            .finish_non_exhaustive()
    }
}

/// What the file says about ids that the tokenizers library hands out itself.
#[derive(Deserialize)]
struct Published {
    #[serde(default)]
    added_tokens: Vec<PublishedToken>,
}

#[derive(Deserialize)]
struct PublishedToken {
    id: u32,
    content: String,
}

/// The library numbers added tokens by itself, from the end of the vocabulary on, whatever the file says.
fn check_added_tokens(tokenizer: &Tokenizer, published: &Published) -> Result<(), String> {
    for PublishedToken { id, content } in &published.added_tokens {
        if let Some(given) = tokenizer.token_to_id(content)
            && given != *id
        {
            return Err(format!(
                "the added token {content:?} should have the id {id} and gets {given}; \
                 expected a vocabulary that lists it or that ends right before it"
            ));
        }
    }
    Ok(())
}

fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '\'' | '"' => escaped.push(c),
            _ => escaped.extend(c.escape_debug()),
        }
    }
    escaped
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;
    use crate::testing;

    #[test]
    fn encodes_as_the_fixture_says() {
        let tokenizer = TextTokenizer::open(&testing::arith_dir()).unwrap();
        // The vocabulary is "\n" 1, digits from 2, "+" 12, "=" 14; the post-processor puts "\n" first.
        assert_eq!(tokenizer.encode("47+38=").unwrap(), [1, 6, 9, 12, 5, 10, 14]);
        assert_eq!(tokenizer.encode_plain("47+38=").unwrap(), [6, 9, 12, 5, 10, 14]);
        assert_eq!(tokenizer.decode(&[6, 9, 12, 5, 10, 14]).unwrap(), "47+38=");
        assert_eq!((tokenizer.vocab_size(), tokenizer.id_bound()), (15, 15));
        assert_eq!(tokenizer.token_to_id("+"), Some(12));
        assert_eq!(tokenizer.id_to_token(14).as_deref(), Some("="));
        assert_eq!(tokenizer.id_to_token(15), None);
    }

    #[test]
    fn added_tokens_count_and_gaps_show_in_the_bound() {
        let tokenizer = testing::byte_level();
        // 256 bytes, one merged token, and the two special tokens 300 and 301.
        assert_eq!((tokenizer.vocab_size(), tokenizer.id_bound()), (259, 302));
        assert_eq!(tokenizer.encode("<|im_end|>").unwrap(), [testing::IM_END_ID]);
        assert_eq!(tokenizer.decode(&[testing::IM_END_ID, 280]).unwrap(), "");
    }

    #[test]
    fn truncation_and_padding_of_the_file_are_ignored() {
        let mut json = testing::arith_json();
        json["truncation"] = serde_json::json!({
            "direction": "Right", "max_length": 2, "strategy": "LongestFirst", "stride": 0
        });
        json["padding"] = serde_json::json!({
            "strategy": {"Fixed": 32}, "direction": "Right", "pad_to_multiple_of": null,
            "pad_id": 0, "pad_type_id": 0, "pad_token": "<pad>"
        });
        let bytes = serde_json::to_vec(&json).unwrap();
        let tokenizer = TextTokenizer::from_bytes(&bytes, Path::new("memory")).unwrap();
        assert_eq!(tokenizer.encode("1+1=").unwrap(), [1, 3, 12, 3, 14]);
    }

    #[test]
    fn an_added_token_must_get_its_published_id() {
        let mut json = testing::arith_json();
        // The vocabulary ends at 14, so the next id is 15.
        for (id, is_good) in [(15, true), (20, false)] {
            json["added_tokens"] = serde_json::json!([{
                "id": id, "content": "<|im_end|>", "single_word": false, "lstrip": false, "rstrip": false,
                "normalized": false, "special": true
            }]);
            let bytes = serde_json::to_vec(&json).unwrap();
            let tokenizer = TextTokenizer::from_bytes(&bytes, Path::new("memory"));
            assert_eq!(tokenizer.is_ok(), is_good, "{tokenizer:?}");
        }
    }

    #[test]
    fn token_text_is_printable() {
        let arith = TextTokenizer::open(&testing::arith_dir()).unwrap();
        assert_eq!(arith.token_text(1), "\\n");
        assert_eq!(arith.token_text(12), "+");
        assert_eq!(arith.token_text(99), "<unknown id 99>");

        let bytes = testing::byte_level();
        assert_eq!(bytes.token_text(u32::from(b' ')), " ");
        assert_eq!(bytes.token_text(u32::from(b'\\')), "\\\\");
        assert_eq!(bytes.token_text(u32::from(b'"')), "\"");
        assert_eq!(bytes.token_text(0x1b), "\\u{1b}");
        assert_eq!(bytes.token_text(testing::IM_END_ID), "<|im_end|>");
        // Half of an "é" has no text of its own; the byte-level alphabet writes byte 0xC3 as "Ã".
        assert_eq!(bytes.token_text(0xc3), "Ã");
        // The decoder drops the space of a first word, the trace keeps it.
        assert_eq!(testing::metaspace().token_text(0), " This");
    }

    #[test]
    fn each_failure_names_the_path() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(FILE_NAME);

        let error = TextTokenizer::open(dir.path()).unwrap_err();
        assert!(matches!(&error, TextError::MissingFile { path: p, .. } if *p == path));

        fs::write(&path, "{\"version\": ").unwrap();
        let error = TextTokenizer::open(dir.path()).unwrap_err();
        assert!(matches!(&error, TextError::Malformed { path: p, .. } if *p == path));
        assert!(error.to_string().contains("tokenizer.json"), "{error}");

        // A directory in the file's place can be found and not read.
        fs::remove_file(&path).unwrap();
        fs::create_dir(&path).unwrap();
        let error = TextTokenizer::open(dir.path()).unwrap_err();
        assert!(matches!(&error, TextError::Unreadable { path: p, .. } if *p == path));
    }

    #[test]
    fn a_text_outside_the_vocabulary_is_a_typed_error() {
        let mut json = testing::arith_json();
        json["model"]["unk_token"] = "<absent>".into();
        let bytes = serde_json::to_vec(&json).unwrap();
        let tokenizer = TextTokenizer::from_bytes(&bytes, Path::new("memory")).unwrap();
        let error = tokenizer.encode("x").unwrap_err();
        assert!(matches!(error, TextError::Encode { .. }), "{error}");
    }
}
