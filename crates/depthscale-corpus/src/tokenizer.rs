//! A tokenizer that can be told from every other one.

use std::fs;
use std::path::Path;

use depthscale_text::TextTokenizer;

use crate::CorpusError;
use crate::hash::hash;

/// A tokenizer together with a fingerprint of the `tokenizer.json` it was made from.
///
/// Tokens that were stored earlier are used again only if they were made by the same tokenizer.
#[derive(Debug, Clone)]
pub struct CorpusTokenizer {
    text: TextTokenizer,
    fingerprint: u64,
}

impl CorpusTokenizer {
    /// Loads `DIR/tokenizer.json`.
    ///
    /// # Errors
    ///
    /// [`CorpusError::Tokenizer`] if the file is missing, unreadable or malformed.
    pub fn open(dir: &Path) -> Result<Self, CorpusError> {
        let text = TextTokenizer::open(dir)?;
        let path = dir.join("tokenizer.json");
        let json = fs::read(&path).map_err(CorpusError::io(&path, "read the file"))?;
        Ok(Self { text, fingerprint: hash(&json) })
    }

    /// Loads a `tokenizer.json` that is already in memory. `origin` is what errors call it.
    ///
    /// # Errors
    ///
    /// [`CorpusError::Tokenizer`] if it is malformed.
    pub fn from_bytes(json: &[u8], origin: &Path) -> Result<Self, CorpusError> {
        Ok(Self { text: TextTokenizer::from_bytes(json, origin)?, fingerprint: hash(json) })
    }

    /// The tokenizer itself.
    pub fn text(&self) -> &TextTokenizer {
        &self.text
    }

    /// A hash of the whole `tokenizer.json`.
    pub fn fingerprint(&self) -> u64 {
        self.fingerprint
    }

    /// Checks that the tokenizer has the token that is to end documents and answers.
    pub(crate) fn check_end_token(&self, end_token: Option<u32>) -> Result<(), CorpusError> {
        match end_token {
            Some(id) if self.text.id_to_token(id).is_none() => {
                Err(CorpusError::UnknownEndToken { id, tokenizer_size: self.text.id_bound() })
            }
            _ => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing;

    #[test]
    fn both_ways_to_load_give_one_fingerprint() {
        let dir = testing::arith_dir();
        let opened = CorpusTokenizer::open(&dir).unwrap();
        let mut json = fs::read(dir.join("tokenizer.json")).unwrap();
        let loaded = CorpusTokenizer::from_bytes(&json, &dir).unwrap();
        assert_eq!(opened.fingerprint(), loaded.fingerprint());

        json.push(b'\n');
        let other = CorpusTokenizer::from_bytes(&json, &dir).unwrap();
        assert_ne!(opened.fingerprint(), other.fingerprint());
    }

    #[test]
    fn an_end_token_must_be_in_the_vocabulary() {
        let tokenizer = testing::arith();
        assert!(tokenizer.check_end_token(None).is_ok());
        assert!(tokenizer.check_end_token(Some(14)).is_ok());
        assert!(matches!(
            tokenizer.check_end_token(Some(15)),
            Err(CorpusError::UnknownEndToken { id: 15, tokenizer_size: 15 })
        ));
    }

    #[test]
    fn a_missing_tokenizer_is_named() {
        let dir = tempfile::tempdir().unwrap();
        let error = CorpusTokenizer::open(dir.path()).unwrap_err();
        assert!(matches!(error, CorpusError::Tokenizer(_)));
        assert!(error.to_string().contains("tokenizer.json"), "{error}");
    }
}
