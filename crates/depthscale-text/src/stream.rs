//! Ids to text while they are generated.

use crate::tokenizer::REPLACEMENT;
use crate::{TextError, TextTokenizer};

/// The most ids that wait for their character to be complete. A character has at most four bytes, so ids that wait
/// longer are not UTF-8 at all.
const MAX_PENDING: usize = 16;

/// The ids kept when waiting is given up: enough for every byte of a character that is incomplete so far.
const OVERLAP: usize = 4;

/// Turns ids into text one at a time.
///
/// Text is given out when its last character is complete: while the decoded text ends in U+FFFD, more bytes may be on
/// their way and it is held back. A token whose text depends on its neighbours, such as a first word that loses its
/// space, is decoded together with the ids before it, and the difference is given out.
///
/// The pieces together are [`TextTokenizer::decode`] of all ids at once. Only for bytes that are not UTF-8 the number of
/// U+FFFD may differ, with tokenizers that judge a run of byte tokens as a whole: what has been given out stays.
///
/// A push decodes the ids of the last piece and of the next one, whatever was generated before.
#[derive(Debug, Clone)]
pub struct StreamDecoder {
    tokenizer: TextTokenizer,
    /// Ids that are given out already and only serve as context, then ids that are pending.
    window: Vec<u32>,
    n_context: usize,
    /// The beginning of the window's text that has been given out.
    shown: String,
}

impl StreamDecoder {
    /// A stream that has seen nothing yet.
    pub fn new(tokenizer: &TextTokenizer) -> Self {
        Self { tokenizer: tokenizer.clone(), window: Vec::new(), n_context: 0, shown: String::new() }
    }

    /// Takes the next id and returns the text that is complete now, if there is any. Special tokens, and ids that the
    /// vocabulary does not have, bring none.
    ///
    /// # Errors
    ///
    /// [`TextError::Decode`] when the tokenizer's decoder fails.
    pub fn push(&mut self, id: u32) -> Result<Option<String>, TextError> {
        if self.tokenizer.is_silent(id) {
            return Ok(None);
        }
        self.window.push(id);
        let text = self.tokenizer.decode(&self.window)?;
        let is_incomplete = text.ends_with(REPLACEMENT);
        let mut fresh = self.unshown(&text)?;

        if !is_incomplete && !fresh.is_empty() {
            self.window.drain(..self.n_context);
            self.n_context = self.window.len();
            self.shown = self.tokenizer.decode(&self.window)?;
            return Ok(Some(fresh));
        }
        if self.window.len() - self.n_context < MAX_PENDING {
            return Ok(None);
        }

        // Nothing will complete the older ids any more; only the last character still can be.
        self.window.drain(..self.window.len() - OVERLAP);
        self.n_context = 0;
        self.shown = self.tokenizer.decode(&self.window)?;
        if is_incomplete {
            fresh.pop();
            self.shown.pop();
        }
        Ok(Some(fresh).filter(|fresh| !fresh.is_empty()))
    }

    /// The text still held back, with U+FFFD for a character that was never completed. The stream is as new afterwards.
    ///
    /// # Errors
    ///
    /// [`TextError::Decode`] when the tokenizer's decoder fails.
    pub fn finish(&mut self) -> Result<String, TextError> {
        let text = self.tokenizer.decode(&self.window)?;
        let rest = self.unshown(&text)?;
        self.window.clear();
        self.n_context = 0;
        self.shown.clear();
        Ok(rest)
    }

    /// The part of the window's text that has not been given out.
    fn unshown(&self, text: &str) -> Result<String, TextError> {
        match text.strip_prefix(&self.shown) {
            Some(rest) => Ok(rest.to_owned()),
            // The new ids changed how the context reads, which only invalid bytes do: let them speak for themselves.
            None => self.tokenizer.decode(&self.window[self.n_context..]),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::testing;

    /// Pushes the ids and finishes; the pieces, the last one being what `finish` gave.
    fn pieces(tokenizer: &TextTokenizer, ids: &[u32]) -> Vec<String> {
        let mut stream = StreamDecoder::new(tokenizer);
        let mut pieces = Vec::new();
        for id in ids {
            pieces.extend(stream.push(*id).unwrap());
        }
        pieces.push(stream.finish().unwrap());
        pieces
    }

    fn bytes(text: &str) -> Vec<u32> {
        text.bytes().map(u32::from).collect()
    }

    #[test]
    fn characters_come_out_whole() {
        let tokenizer = testing::byte_level();
        assert_eq!(pieces(&tokenizer, &bytes("aé€😀b")), ["a", "é", "€", "😀", "b", ""]);
        assert_eq!(pieces(&tokenizer, &[testing::SPACE_E_ACUTE_ID, 0xc3]), [" é", "\u{fffd}"]);
    }

    #[test]
    fn special_and_unknown_ids_bring_no_text() {
        let tokenizer = testing::byte_level();
        let ids = [0xc3, testing::IM_END_ID, 280, 9999, 0xa9];
        assert_eq!(pieces(&tokenizer, &ids), ["é", ""]);
    }

    #[test]
    fn a_token_is_read_next_to_its_neighbours() {
        let tokenizer = testing::metaspace();
        let ids = [0, 0, 1, 2, 0];
        let expected = tokenizer.decode(&ids).unwrap();
        assert_eq!(expected, "This This is This");
        assert_eq!(pieces(&tokenizer, &ids).concat(), expected);
        assert_eq!(pieces(&tokenizer, &[0, 0])[..2], ["This", " This"]);
    }

    #[test]
    fn byte_tokens_among_others() {
        let tokenizer = testing::byte_fallback();
        let ids = [257, 0xc3, 0xa9, 0xc3, 0xa9, 256, 0xe2, 0x82, 0xac, 257];
        assert_eq!(pieces(&tokenizer, &ids), ["b", "é", "é", "a", "€", " b", ""]);
        // The run of three byte tokens as a whole is not UTF-8, but its "é" has been given out by then.
        assert_eq!(pieces(&tokenizer, &[0xc3, 0xa9, 0xc3, 256]), ["é", "\u{fffd}a", ""]);
    }

    #[test]
    fn the_window_stays_short() {
        let tokenizer = testing::byte_level();
        let mut stream = StreamDecoder::new(&tokenizer);
        for id in (0..1000).map(|i| if i < 500 { 0xc3 } else { 0x61 }) {
            stream.push(id).unwrap();
            assert!(stream.window.len() <= 2 * MAX_PENDING);
        }
    }

    #[test]
    fn a_finished_stream_starts_anew() {
        let mut stream = StreamDecoder::new(&testing::metaspace());
        for _ in 0..2 {
            assert_eq!(stream.push(0).unwrap().as_deref(), Some("This"));
            assert_eq!(stream.finish().unwrap(), "");
        }
    }

    proptest! {
        #[test]
        fn the_pieces_are_the_text(parts in prop::collection::vec(part(), 0..24)) {
            let tokenizer = testing::byte_level();
            let ids = parts.concat();
            prop_assert_eq!(pieces(&tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
        }

        #[test]
        fn readable_pieces_of_byte_tokens_are_the_text(parts in prop::collection::vec(word(), 0..24)) {
            let tokenizer = testing::byte_fallback();
            let ids = parts.concat();
            prop_assert_eq!(pieces(&tokenizer, &ids).concat(), tokenizer.decode(&ids).unwrap());
        }
    }

    /// A character's bytes, or anything: mostly readable text, with invalid bytes and other ids among it.
    fn part() -> impl Strategy<Value = Vec<u32>> {
        prop_oneof![
            any::<char>().prop_map(|c| bytes(&c.to_string())),
            prop::collection::vec(0x80u32..0x100, 1..24),
            Just(vec![testing::SPACE_E_ACUTE_ID]),
            Just(vec![testing::END_OF_TEXT_ID]),
        ]
    }

    /// A character in byte tokens, a space, or one of the longer tokens of the fallback tokenizer.
    fn word() -> impl Strategy<Value = Vec<u32>> {
        prop_oneof![
            any::<char>().prop_map(|c| bytes(&c.to_string())),
            Just(bytes(" ")),
            Just(vec![256]),
            Just(vec![257]),
        ]
    }
}
