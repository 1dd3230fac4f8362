//! The front of a token file.
//!
//! | bytes | what they hold, numbers little-endian |
//! |---|---|
//! | 0..8 | the letters `DSTOKENS` |
//! | 8..12 | version of the format, 1 |
//! | 12..16 | bytes of one token id: 2 if every id of the tokenizer is below 65536, otherwise 4 |
//! | 16..24 | number of tokens |
//! | 24..32 | fingerprint of everything that the tokens follow from |
//! | 32..36 | the highest id among the tokens |
//! | 36..40 | zeros |
//! | 40..48 | hash of the tokens' bytes followed by bytes 0..40 |
//!
//! The token ids follow, one after the other, to the end of the file.

use crate::hash::Hasher;

/// The length of the header in bytes.
pub(crate) const HEADER: usize = 48;

/// Counts changes of this format, and of how text becomes tokens.
pub(crate) const VERSION: u32 = 1;

const MAGIC: [u8; 8] = *b"DSTOKENS";

/// What the hash covers of the header.
const HASHED: usize = 40;

/// How token ids are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Width {
    U16,
    U32,
}

impl Width {
    /// The narrowest for ids below `id_bound`.
    pub(crate) fn for_ids_below(id_bound: usize) -> Self {
        if id_bound <= 1 << 16 { Self::U16 } else { Self::U32 }
    }

    pub(crate) fn bytes(self) -> usize {
        match self {
            Self::U16 => 2,
            Self::U32 => 4,
        }
    }
}

/// What a token file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) width: Width,
    pub(crate) n_tokens: u64,
    pub(crate) fingerprint: u64,
    pub(crate) highest: u32,
}

impl Header {
    /// The header as it is stored. `hasher` has taken in the bytes of all tokens.
    pub(crate) fn to_bytes(self, mut hasher: Hasher) -> Vec<u8> {
        let mut bytes = MAGIC.to_vec();
        bytes.extend(VERSION.to_le_bytes());
        bytes.extend((self.width.bytes() as u32).to_le_bytes());
        bytes.extend(self.n_tokens.to_le_bytes());
        bytes.extend(self.fingerprint.to_le_bytes());
        bytes.extend(self.highest.to_le_bytes());
        bytes.extend([0; 4]);
        hasher.write(&bytes);
        bytes.extend(hasher.finish().to_le_bytes());
        bytes
    }

    /// Reads and checks a whole token file. The error says what is wrong with it.
    pub(crate) fn parse(file: &[u8]) -> Result<Self, String> {
        let Some((header, tokens)) = file.split_first_chunk::<HEADER>() else {
            return Err(format!("truncated, expected at least {HEADER} bytes, found {}", file.len()));
        };
        if !header.starts_with(&MAGIC) {
            return Err("expected a token file, which begins with DSTOKENS".into());
        }
        let version = u32_at(header, 8);
        if version != VERSION {
            return Err(format!("expected version {VERSION} of the format, found {version}"));
        }
        let width = match u32_at(header, 12) {
            2 => Width::U16,
            4 => Width::U32,
            other => return Err(format!("expected token ids of 2 or 4 bytes, found {other}")),
        };
        let n_tokens = u64_at(header, 16);
        let found = tokens.len() as u64;
        if n_tokens.checked_mul(width.bytes() as u64) != Some(found) {
            let width = width.bytes();
            return Err(format!(
                "expected {n_tokens} token ids of {width} bytes after the header, found {found} bytes"
            ));
        }
        let mut hasher = Hasher::new();
        hasher.write(tokens);
        hasher.write(&header[..HASHED]);
        if hasher.finish() != u64_at(header, HASHED) {
            return Err("its hash is not the one in its header".into());
        }
        Ok(Self { width, n_tokens, fingerprint: u64_at(header, 24), highest: u32_at(header, 32) })
    }
}

fn u32_at(header: &[u8; HEADER], at: usize) -> u32 {
    u64_at_most(header, at, 4) as u32
}

fn u64_at(header: &[u8; HEADER], at: usize) -> u64 {
    u64_at_most(header, at, 8)
}

/// The little-endian number in the `n_bytes` from `at` on.
fn u64_at_most(header: &[u8; HEADER], at: usize, n_bytes: usize) -> u64 {
    header[at..at + n_bytes].iter().rev().fold(0, |number, &byte| (number << 8) | u64::from(byte))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const SMALL: Header = Header { width: Width::U16, n_tokens: 3, fingerprint: 0x0102_0304_0506_0708, highest: 9 };

    /// The header [`SMALL`] and the tokens 1, 2, 9.
    fn small() -> Vec<u8> {
        let tokens = [1, 0, 2, 0, 9, 0];
        let mut hasher = Hasher::new();
        hasher.write(&tokens);
        let mut file = SMALL.to_bytes(hasher);
        file.extend(tokens);
        file
    }

    #[test]
    fn what_was_written_is_read() {
        let file = small();
        assert_eq!(file[..24], *b"DSTOKENS\x01\0\0\0\x02\0\0\0\x03\0\0\0\0\0\0\0");
        assert_eq!(file[24..40], [8, 7, 6, 5, 4, 3, 2, 1, 9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(Header::parse(&file), Ok(SMALL));
    }

    #[test]
    fn the_width_follows_from_the_highest_id_there_can_be() {
        assert_eq!(Width::for_ids_below(65536), Width::U16);
        assert_eq!(Width::for_ids_below(65537), Width::U32);
    }

    #[test]
    fn every_damage_is_noticed() {
        let file = small();
        for at in 0..file.len() {
            let mut damaged = file.clone();
            damaged[at] ^= 1;
            assert!(Header::parse(&damaged).is_err(), "byte {at}");
            assert!(Header::parse(&file[..at]).is_err(), "{at} bytes");
        }
        let longer = [file, vec![0]].concat();
        assert!(Header::parse(&longer).unwrap_err().contains("found 7 bytes"));
    }

    proptest! {
        #[test]
        fn any_bytes_are_an_error(bytes: Vec<u8>, after in prop::collection::vec(any::<u8>(), 0..60)) {
            prop_assert!(Header::parse(&bytes).is_err());
            prop_assert!(Header::parse(&[&MAGIC[..], &after].concat()).is_err());
        }
    }
}
