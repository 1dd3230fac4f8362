//! Small tokenizers and files for the unit tests.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::{CorpusTokenizer, Progress};

/// The special token `<|endoftext|>` of [`byte_level`].
pub(crate) const END_OF_TEXT_ID: u32 = 256;

/// The character-level checkpoint of the workspace's fixtures.
pub(crate) fn arith_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ouro-arith")
}

/// Its tokenizer: "\n" is 1, digits are from 2 on, "+" is 12, "=" is 14; "\n" stands in front of a prompt.
pub(crate) fn arith() -> CorpusTokenizer {
    CorpusTokenizer::open(&arith_dir()).unwrap()
}

/// A tokenizer whose ids 0..256 are the bytes of that value, plus `<|endoftext|>`.
pub(crate) fn byte_level() -> CorpusTokenizer {
    byte_level_with_end(END_OF_TEXT_ID)
}

/// The same with another id for `<|endoftext|>`.
pub(crate) fn byte_level_with_end(end: u32) -> CorpusTokenizer {
    let mut vocab: Map<String, Value> = (0..=255u8).map(|byte| (byte_char(byte).to_string(), byte.into())).collect();
    vocab.insert("<|endoftext|>".to_owned(), end.into());
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false});
    let json = json!({
        "version": "1.0",
        "added_tokens": [{
            "id": end, "content": "<|endoftext|>", "single_word": false, "lstrip": false, "rstrip": false,
            "normalized": false, "special": true
        }],
        "pre_tokenizer": bytes,
        "decoder": bytes,
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    });
    let json = serde_json::to_vec(&json).unwrap();
    CorpusTokenizer::from_bytes(&json, Path::new("a tokenizer of the tests")).unwrap()
}

/// Writes a file into `dir` and gives its path.
pub(crate) fn file(dir: &Path, name: &str, contents: impl AsRef<[u8]>) -> PathBuf {
    let path = dir.join(name);
    fs::write(&path, contents).unwrap();
    path
}

/// A callback for those who do not look.
pub(crate) fn unseen(_: Progress) {}

/// The byte-level alphabet of GPT-2: printable bytes stand for themselves, the others follow from U+0100 on in order.
fn byte_char(byte: u8) -> char {
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(&byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|b| !printable(b)).count();
    char::from_u32(0x100 + rank as u32).unwrap()
}
