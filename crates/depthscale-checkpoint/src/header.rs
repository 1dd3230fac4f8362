//! The front of a safetensors file: an 8-byte little-endian length, a JSON header of that length, then the data.
//!
//! The `safetensors` crate parses the JSON and checks that the tensors lie end to end, without gap or overlap, each as
//! long as its shape and dtype say. The lengths are compared here, in checked arithmetic: a hostile header can
//! name offsets near the top of the integer range, and a wrong length deserves an error that gives both numbers.

use std::path::Path;

use safetensors::tensor::{Metadata, TensorInfo};

use crate::CheckpointError;

/// Length of the number in front of the header.
pub(crate) const PREFIX: usize = 8;

/// The longest header that readers of the format accept.
pub(crate) const MAX_HEADER: u64 = 100_000_000;

/// A header that agrees with the length of its file.
#[derive(Debug)]
pub(crate) struct Header {
    /// Where the data begins in the file; the offsets of the tensors count from here.
    pub(crate) data_start: usize,
    /// Name and description of each tensor, in no particular order.
    pub(crate) tensors: Vec<(String, TensorInfo)>,
}

/// Parses and checks the header of `file`, the whole contents of the file at `path`.
pub(crate) fn parse(path: &Path, file: &[u8]) -> Result<Header, CheckpointError> {
    if file.is_empty() {
        return Err(CheckpointError::EmptyFile { path: path.into() });
    }
    let bad = |reason: String| CheckpointError::BadHeader { path: path.into(), reason };
    let found = file.len() as u64;
    let truncated = |expected: u64| CheckpointError::Truncated { path: path.into(), expected, found };

    let Some((prefix, rest)) = file.split_first_chunk::<PREFIX>() else {
        return Err(truncated(PREFIX as u64));
    };
    let header_len = u64::from_le_bytes(*prefix);
    if header_len > MAX_HEADER {
        // The format has no magic number. Other formats begin with letters, which read as a length are enormous.
        return Err(match recognise(file) {
            Some(found) => CheckpointError::NotSafetensors { path: path.into(), found },
            None => bad(format!("the first 8 bytes give it {header_len} bytes, the limit is {MAX_HEADER}")),
        });
    }
    let Some((header, data)) = rest.split_at_checked(header_len as usize) else {
        return Err(truncated(PREFIX as u64 + header_len));
    };

    let metadata: Metadata = serde_json::from_slice(header).map_err(|e| bad(e.to_string()))?;
    let data_start = file.len() - data.len();
    let data_len = metadata.data_len();
    let expected = (data_start as u64).saturating_add(data_len as u64);
    if data_len > data.len() {
        return Err(truncated(expected));
    }
    if data_len < data.len() {
        return Err(CheckpointError::TrailingBytes { path: path.into(), expected, found });
    }

    let tensors = metadata.tensors().into_iter().map(|(name, info)| (name, info.clone())).collect();
    Ok(Header { data_start, tensors })
}

/// Names the format of a file that is often met where a safetensors file should be.
fn recognise(file: &[u8]) -> Option<&'static str> {
    const KNOWN: [(&[u8], &str); 8] = [
        (b"PK\x03\x04", "a zip archive, as torch.save writes"),
        (b"\x80\x02", "a Python pickle, as torch.save writes"),
        (b"GGUF", "a GGUF file"),
        (b"\x89HDF", "an HDF5 file"),
        (b"\x1f\x8b", "a gzip archive"),
        (b"version https://git-lfs", "a Git LFS pointer, whose file was never fetched"),
        (b"<", "an HTML or XML page"),
        (b"{", "JSON without the 8 bytes that belong in front of a header"),
    ];
    KNOWN.iter().find(|(start, _)| file.starts_with(start)).map(|&(_, name)| name)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn file(header: &str, data: &[u8]) -> Vec<u8> {
        let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
        bytes.extend(header.as_bytes());
        bytes.extend(data);
        bytes
    }

    fn parsed(bytes: &[u8]) -> Result<Header, CheckpointError> {
        parse(Path::new("x.safetensors"), bytes)
    }

    fn reason(bytes: &[u8]) -> String {
        match parsed(bytes) {
            Err(CheckpointError::BadHeader { reason, .. }) => reason,
            other => panic!("expected a bad header, found {other:?}"),
        }
    }

    const TWO: &str = r#"{"__metadata__":{"format":"pt"},"a":{"dtype":"F32","shape":[2],"data_offsets":[0,8]},"b":{"dtype":"I64","shape":[],"data_offsets":[8,16]}}"#;

    #[test]
    fn a_valid_header_gives_its_tensors() {
        let header = parsed(&file(TWO, &[0; 16])).unwrap();
        assert_eq!(header.data_start, 8 + TWO.len());
        assert_eq!(header.tensors.len(), 2);
        assert_eq!(parsed(&file("{}", &[])).unwrap().tensors.len(), 0);
    }

    #[test]
    fn every_cut_is_truncated_or_empty() {
        let whole = file(TWO, &[0; 16]);
        assert!(matches!(parsed(&[]), Err(CheckpointError::EmptyFile { .. })));
        for end in 1..whole.len() {
            match parsed(&whole[..end]) {
                Err(CheckpointError::Truncated { expected, found, .. }) => {
                    assert_eq!(found, end as u64);
                    assert!(expected > found && expected <= whole.len() as u64);
                }
                other => panic!("cut at {end}: {other:?}"),
            }
        }
    }

    #[test]
    fn bytes_past_the_end_are_refused() {
        let mut long = file(TWO, &[0; 16]);
        let expected_len = long.len() as u64;
        long.push(0);
        assert!(matches!(
            parsed(&long),
            Err(CheckpointError::TrailingBytes { expected, found, .. })
                if expected == expected_len && found == expected_len + 1
        ));
    }

    #[test]
    fn bad_json_offsets_and_shapes_are_refused() {
        assert!(reason(&file("not json", &[])).contains("line 1"));
        assert!(reason(&file("[]", &[])).contains("sequence"));
        assert!(reason(&[b'\xff'; 32]).contains("limit"));
        let bent = |from: &str, to: &str| reason(&file(&TWO.replace(from, to), &[0; 16]));
        assert!(bent("[8,16]", "[4,12]").contains("offset"), "tensors that overlap");
        assert!(bent("[8,16]", "[9,17]").contains("offset"), "a gap between tensors");
        assert!(bent("[8,16]", "[8,4]").contains("offset"), "an end before its start");
        assert!(bent("[2]", "[3]").contains("shape"), "a shape larger than its data");
        assert!(bent("[2]", "[4294967296,4294967296]").contains("overflow"), "a shape past counting");
        assert!(bent("[2]", "[-2]").contains("invalid value"));
        assert!(bent("F32", "F33").contains("F33"));
    }

    #[test]
    fn offsets_at_the_top_of_the_integer_range_do_not_wrap() {
        // Tensors of 2^61 - 8 bytes each, end to end, so that the last offset plus the header nearly or really wraps.
        let n = (1_u64 << 61) - 8;
        for count in [1, 7, 8] {
            let entries: Vec<String> = (0..count)
                .map(|i| format!(r#""t{i}":{{"dtype":"U8","shape":[{n}],"data_offsets":[{},{}]}}"#, i * n, (i + 1) * n))
                .collect();
            let bytes = file(&format!("{{{}}}", entries.join(",")), &[0; 4]);
            assert!(matches!(
                parsed(&bytes),
                Err(CheckpointError::Truncated { expected, .. }) if expected >= count * n
            ));
        }
    }

    #[test]
    fn other_formats_are_called_by_name() {
        for (bytes, word) in [
            (&b"PK\x03\x04\x00\x00\x08\x08archive"[..], "zip"),
            (b"\x80\x02}q\x00(X\x05\x00\x00\x00", "pickle"),
            (b"GGUF\x03\x00\x00\x00\x01\x00", "GGUF"),
            (b"version https://git-lfs.github.com/spec/v1\noid", "Git LFS"),
            (b"<!DOCTYPE html><html>", "HTML"),
        ] {
            match parsed(bytes) {
                Err(CheckpointError::NotSafetensors { found, .. }) => {
                    assert!(found.contains(word), "{found}")
                }
                other => panic!("{word}: {other:?}"),
            }
        }
    }

    proptest! {
        #[test]
        fn arbitrary_bytes_never_panic(bytes in proptest::collection::vec(any::<u8>(), 0..200)) {
            let _ = parsed(&bytes);
        }

        #[test]
        fn arbitrary_text_as_header_never_panics(header in ".{0,120}", data in proptest::collection::vec(any::<u8>(), 0..32)) {
            let _ = parsed(&file(&header, &data));
        }

        #[test]
        fn arbitrary_offsets_never_leave_the_file(
            shape in proptest::collection::vec(any::<u64>().prop_map(|n| n >> (n % 64)), 0..4),
            start in any::<u64>().prop_map(|n| n >> (n % 64)),
            end in any::<u64>().prop_map(|n| n >> (n % 64)),
            dtype in prop::sample::select(vec!["F32", "F16", "BF16", "I64", "F4", "BOOL", "XX"]),
            data_len in 0_usize..64,
        ) {
            let header = format!(r#"{{"a":{{"dtype":"{dtype}","shape":{shape:?},"data_offsets":[{start},{end}]}}}}"#);
            let bytes = file(&header, &vec![0; data_len]);
            if let Ok(header) = parsed(&bytes) {
                for (_, info) in header.tensors {
                    prop_assert!(header.data_start + info.data_offsets.1 <= bytes.len());
                }
            }
        }
    }
}
