//! A file of text in pieces, so that one larger than memory can be tokenized.
//!
//! Where a file is cut decides its tokens, so the rule is fixed. A piece holds as many whole lines as fit into its
//! size. Where not even one line fits, the piece ends before the last space that fits, which then begins the next
//! piece; and where there is no space either, after the last whole character.

use std::io::Read;
use std::path::Path;
use std::str;

use crate::CorpusError;
use crate::source::{Contents, ContentsHasher};

/// Some text of a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Piece {
    pub(crate) text: String,
    /// Where it begins in the file, in bytes.
    pub(crate) offset: u64,
}

/// Reads a file piece by piece.
#[derive(Debug)]
pub(crate) struct Pieces<'a, R> {
    /// What errors call the file.
    path: &'a Path,
    file: R,
    most_bytes: usize,
    /// What was read and is not given out yet.
    buffer: Vec<u8>,
    /// Where the buffer begins in the file.
    offset: u64,
    contents: ContentsHasher,
}

impl<'a, R: Read> Pieces<'a, R> {
    /// Pieces of at most `most_bytes`, which is at least 4, the longest character.
    pub(crate) fn new(path: &'a Path, file: R, most_bytes: usize) -> Self {
        let contents = ContentsHasher::default();
        Self { path, file, most_bytes: most_bytes.max(4), buffer: Vec::new(), offset: 0, contents }
    }

    /// The next piece, or `None` at the end of the file.
    pub(crate) fn next(&mut self) -> Result<Option<Piece>, CorpusError> {
        let wanted = self.most_bytes - self.buffer.len();
        let kept = self.buffer.len();
        let read = (&mut self.file)
            .take(wanted as u64)
            .read_to_end(&mut self.buffer)
            .map_err(CorpusError::io(self.path, "read the file"))?;
        self.contents.write(&self.buffer[kept..]);
        if self.buffer.is_empty() {
            return Ok(None);
        }
        let is_last = read < wanted;
        let text = self.whole_characters(is_last)?;
        let text = if is_last { text } else { &text[..end_of_piece(text)] };
        let piece = Piece { text: text.to_owned(), offset: self.offset };
        self.buffer.drain(..piece.text.len());
        self.offset += piece.text.len() as u64;
        Ok(Some(piece))
    }

    /// The buffer without a character at its end that is not complete. The end of the file completes none.
    fn whole_characters(&self, is_last: bool) -> Result<&str, CorpusError> {
        let error = match str::from_utf8(&self.buffer) {
            Ok(text) => return Ok(text),
            Err(error) => error,
        };
        let (whole, rest) = self.buffer.split_at(error.valid_up_to());
        match str::from_utf8(whole) {
            Ok(text) if error.error_len().is_none() && !is_last && rest.len() < 4 => Ok(text),
            _ => Err(CorpusError::NotUtf8 { path: self.path.into(), offset: self.offset + whole.len() as u64 }),
        }
    }

    /// What was read so far; the whole file after [`next`](Self::next) gave `None`.
    pub(crate) fn contents(&self) -> Contents {
        self.contents.finish()
    }
}

/// Where the first piece of a longer text ends.
fn end_of_piece(text: &str) -> usize {
    match text.rfind('\n') {
        Some(newline) => newline + 1,
        // A space in front of everything cannot be the end.
        None => text.rfind(' ').filter(|&space| space > 0).unwrap_or(text.len()),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn read(bytes: &[u8], most_bytes: usize) -> Result<Vec<Piece>, CorpusError> {
        let mut pieces = Pieces::new(Path::new("x"), bytes, most_bytes);
        let mut all = Vec::new();
        while let Some(piece) = pieces.next()? {
            all.push(piece);
        }
        assert_eq!(pieces.contents().length, bytes.len() as u64);
        Ok(all)
    }

    fn texts(text: &str, most_bytes: usize) -> Vec<String> {
        read(text.as_bytes(), most_bytes).unwrap().into_iter().map(|piece| piece.text).collect()
    }

    #[test]
    fn whole_lines_as_many_as_fit() {
        assert_eq!(texts("ab\ncd\nefg\n", 8), ["ab\ncd\n", "efg\n"]);
        assert_eq!(texts("ab\ncd", 8), ["ab\ncd"]);
        // As long as a piece, and still cut: what follows is not known.
        assert_eq!(texts("abc\nefgh", 8), ["abc\n", "efgh"]);
    }

    #[test]
    fn a_longer_line_is_cut_before_a_space_or_else_after_a_character() {
        assert_eq!(texts("one two three\nx", 6), ["one", " two", " three", "\nx"]);
        assert_eq!(texts(" abcdefg", 4), [" abc", "defg"]);
        // "é" has two bytes, of which the fourth byte of the first piece would be the first.
        assert_eq!(texts("abcéd", 4), ["abc", "éd"]);
    }

    #[test]
    fn what_is_not_utf8_is_found_by_its_offset() {
        let offset = |bytes: &[u8]| match read(bytes, 4) {
            Err(CorpusError::NotUtf8 { offset, .. }) => offset,
            other => panic!("expected an error, found {other:?}"),
        };
        assert_eq!(offset(b"abcdefg\xffh"), 7);
        // The first half of "é" at the end of the file.
        assert_eq!(offset("abcdé".as_bytes().split_last().unwrap().1), 4);
        assert_eq!(offset(b"\xc3"), 0);
    }

    proptest! {
        #[test]
        fn pieces_put_together_are_the_text(text in "[a-c é\n\u{1f600}]{0,60}", most_bytes in 4_usize..20) {
            let pieces = read(text.as_bytes(), most_bytes).unwrap();
            let mut together = String::new();
            for piece in pieces {
                prop_assert_eq!(piece.offset, together.len() as u64);
                prop_assert!(!piece.text.is_empty() && piece.text.len() <= most_bytes);
                together.push_str(&piece.text);
            }
            prop_assert_eq!(together, text);
        }

        #[test]
        fn any_bytes_are_text_or_an_error(bytes: Vec<u8>, most_bytes in 4_usize..20) {
            match read(&bytes, most_bytes) {
                Ok(_) => prop_assert!(str::from_utf8(&bytes).is_ok()),
                Err(CorpusError::NotUtf8 { offset, .. }) => {
                    prop_assert_eq!(str::from_utf8(&bytes).unwrap_err().valid_up_to() as u64, offset);
                }
                Err(other) => prop_assert!(false, "{}", other),
            }
        }
    }
}
