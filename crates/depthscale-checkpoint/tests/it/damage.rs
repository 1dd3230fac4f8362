//! Damaged files: whatever is in a file, opening and reading it ends in values or in a typed error.

use std::fs;

use depthscale_checkpoint::{Checkpoint, CheckpointError, StoredDtype};
use proptest::prelude::*;

use crate::stored::{f32s, serialised};

fn valid() -> Vec<u8> {
    serialised(&[
        f32s("embed.weight", &[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        f32s("norm.weight", &[2], &[1.0, 1.0]),
    ])
}

/// Opens a file of these bytes and, if it opens, reads all of it.
fn open_and_read(bytes: &[u8]) -> Result<(), CheckpointError> {
    let file = tempfile::NamedTempFile::new().unwrap();
    fs::write(file.path(), bytes).unwrap();
    let checkpoint = Checkpoint::open_file(file.path())?;
    for name in checkpoint.names() {
        let info = checkpoint.info(name).unwrap();
        let n_rows = info.shape.first().copied().unwrap_or(0);
        let whole = checkpoint.read_f32(name, &info.shape);
        let rows = checkpoint.read_rows_f32(name, &info.shape, 0..n_rows);
        let integers = checkpoint.read_i64(name);
        let n: usize = info.shape.iter().product();
        match info.dtype {
            StoredDtype::F32 | StoredDtype::F16 | StoredDtype::Bf16 => {
                assert_eq!(whole.unwrap().len(), n);
                assert_eq!(rows.unwrap().len(), if info.shape.is_empty() { 0 } else { n });
            }
            StoredDtype::I64 | StoredDtype::I32 => assert_eq!(integers.unwrap().len(), n),
            _ => assert!(whole.is_err() && rows.is_err() && integers.is_err()),
        }
    }
    Ok(())
}

#[test]
fn the_undamaged_file_opens() {
    open_and_read(&valid()).unwrap();
}

#[test]
fn no_cut_opens() {
    let whole = valid();
    for end in 0..whole.len() {
        match open_and_read(&whole[..end]) {
            Err(CheckpointError::EmptyFile { .. } | CheckpointError::Truncated { .. }) => {}
            other => panic!("cut at {end}: {other:?}"),
        }
    }
}

proptest! {
    #[test]
    fn arbitrary_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        let _ = open_and_read(&bytes);
    }

    #[test]
    fn flipped_header_bytes_are_refused_or_read(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
        cut in proptest::option::weighted(0.2, any::<prop::sample::Index>()),
    ) {
        let mut bytes = valid();
        let header_end = 8 + u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
        for (place, byte) in flips {
            bytes[place.index(header_end)] = byte;
        }
        if let Some(cut) = cut {
            bytes.truncate(cut.index(bytes.len()));
        }
        let _ = open_and_read(&bytes);
    }

    #[test]
    fn flipped_digits_are_refused_or_read(
        flips in proptest::collection::vec((any::<prop::sample::Index>(), b'0'..=b'9'), 1..4),
    ) {
        // Random bytes mostly break the JSON; digits keep it whole and bend shapes, offsets and formats.
        let mut bytes = valid();
        let digits: Vec<usize> = (8..bytes.len() - 32).filter(|&i| bytes[i].is_ascii_digit()).collect();
        for (place, digit) in flips {
            bytes[digits[place.index(digits.len())]] = digit;
        }
        let _ = open_and_read(&bytes);
    }
}
