//! Small tokenizers for the unit tests.

use std::fs;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value, json};

use crate::TextTokenizer;

/// The special token `<|endoftext|>` of [`byte_level`].
pub(crate) const END_OF_TEXT_ID: u32 = 300;
/// The special token `<|im_end|>` of [`byte_level`].
pub(crate) const IM_END_ID: u32 = 301;
/// The token " é" of [`byte_level`], one token of three bytes.
pub(crate) const SPACE_E_ACUTE_ID: u32 = 256;

/// The character-level checkpoint of the workspace's fixtures.
pub(crate) fn arith_dir() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures/ouro-arith")
}

/// The fixture's `tokenizer.json`, to be changed.
pub(crate) fn arith_json() -> Value {
    let bytes = fs::read(arith_dir().join("tokenizer.json")).unwrap();
    serde_json::from_slice(&bytes).unwrap()
}

/// A byte-level tokenizer whose ids 0..256 are the bytes of that value, plus one longer token and two special ones.
pub(crate) fn byte_level() -> TextTokenizer {
    let mut vocab: Map<String, Value> = (0..=255u8).map(|byte| (byte_char(byte).to_string(), byte.into())).collect();
    let long: String = " é".bytes().map(byte_char).collect();
    vocab.insert(long, SPACE_E_ACUTE_ID.into());
    vocab.insert("<|endoftext|>".to_owned(), END_OF_TEXT_ID.into());
    vocab.insert("<|im_end|>".to_owned(), IM_END_ID.into());
    load(json!({
        "version": "1.0",
        "added_tokens": [special(END_OF_TEXT_ID, "<|endoftext|>"), special(IM_END_ID, "<|im_end|>")],
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "decoder": {"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true, "use_regex": false},
        "model": {"type": "BPE", "vocab": vocab, "merges": []},
    }))
}

/// A tokenizer that writes the space of a word inside the word's token and drops the first one: 0 is `▁This`, 1 is
/// `▁`, 2 is `is`.
pub(crate) fn metaspace() -> TextTokenizer {
    load(json!({
        "version": "1.0",
        "decoder": {"type": "Metaspace", "replacement": "▁", "prepend_scheme": "always", "split": true},
        "model": {"type": "WordLevel", "vocab": {"▁This": 0, "▁": 1, "is": 2, "<unk>": 3}, "unk_token": "<unk>"},
    }))
}

/// A tokenizer that falls back to byte tokens: ids 0..256 are `<0x00>` to `<0xFF>`, 256 is `a`, 257 is `▁b`; a leading
/// space is stripped.
pub(crate) fn byte_fallback() -> TextTokenizer {
    let mut vocab: Map<String, Value> = (0..=255u8).map(|byte| (format!("<0x{byte:02X}>"), byte.into())).collect();
    vocab.insert("a".to_owned(), 256.into());
    vocab.insert("▁b".to_owned(), 257.into());
    load(json!({
        "version": "1.0",
        "decoder": {"type": "Sequence", "decoders": [
            {"type": "Replace", "pattern": {"String": "▁"}, "content": " "},
            {"type": "ByteFallback"},
            {"type": "Fuse"},
            {"type": "Strip", "content": " ", "start": 1, "stop": 0},
        ]},
        "model": {"type": "BPE", "vocab": vocab, "merges": [], "byte_fallback": true},
    }))
}

fn special(id: u32, content: &str) -> Value {
    json!({
        "id": id, "content": content, "single_word": false, "lstrip": false, "rstrip": false,
        "normalized": false, "special": true
    })
}

/// The byte-level alphabet of GPT-2: printable bytes stand for themselves, the others follow from U+0100 on in order.
fn byte_char(byte: u8) -> char {
    let printable = |b: &u8| matches!(b, b'!'..=b'~' | 0xa1..=0xac | 0xae..=0xff);
    if printable(&byte) {
        return char::from(byte);
    }
    let rank = (0..byte).filter(|b| !printable(b)).count();
    char::from_u32(0x100 + rank as u32).unwrap()
}

fn load(json: Value) -> TextTokenizer {
    let bytes = serde_json::to_vec(&json).unwrap();
    TextTokenizer::from_bytes(&bytes, Path::new("a tokenizer of the tests")).unwrap()
}
