//! Reading tensors by name, shape and format.

use depthscale_checkpoint::{Checkpoint, CheckpointError, StoredDtype};
use safetensors::Dtype;

use crate::stored::{Raw, f32s, store};

fn opened(tensors: &[Raw]) -> (tempfile::TempDir, Checkpoint) {
    let dir = tempfile::tempdir().unwrap();
    store(&dir.path().join("model.safetensors"), tensors);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    (dir, checkpoint)
}

fn raw(name: &'static str, dtype: Dtype, shape: &[usize], bytes: &[u8]) -> Raw {
    Raw { name, dtype, shape: shape.to_vec(), bytes: bytes.to_vec() }
}

#[test]
fn half_formats_become_f32() {
    // 1.5 is 0x3e00 as f16 (sign 0, exponent 15, fraction .1) and 0x3fc0 as bf16; -2 is 0xc000 in both.
    let (_dir, checkpoint) = opened(&[
        raw("f16", Dtype::F16, &[2], &[0x00, 0x3e, 0x00, 0xc0]),
        raw("bf16", Dtype::BF16, &[2], &[0xc0, 0x3f, 0x00, 0xc0]),
    ]);
    assert_eq!(checkpoint.read_f32("f16", &[2]).unwrap(), [1.5, -2.0]);
    assert_eq!(checkpoint.read_f32("bf16", &[2]).unwrap(), [1.5, -2.0]);
    assert_eq!(checkpoint.info("bf16").unwrap().dtype, StoredDtype::Bf16);
    assert_eq!(checkpoint.total_bytes(), 8);
}

#[test]
fn data_after_an_odd_byte_is_read_unaligned() {
    // Written by hand, since serialisers sort by alignment: one byte, then two floats at an odd place.
    let header =
        r#"{"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"F32","shape":[2],"data_offsets":[1,9]}}"#;
    let mut bytes = (header.len() as u64).to_le_bytes().to_vec();
    bytes.extend(header.as_bytes());
    bytes.push(0xff);
    bytes.extend([0.25_f32, -3.0].iter().flat_map(|v| v.to_le_bytes()));
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), bytes).unwrap();
    let checkpoint = Checkpoint::open_file(file.path()).unwrap();
    assert_eq!(checkpoint.read_f32("b", &[2]).unwrap(), [0.25, -3.0]);
    assert_eq!(checkpoint.read_rows_f32("b", &[2], 1..2).unwrap(), [-3.0]);
}

#[test]
fn wrong_shapes_and_formats_name_both_sides() {
    let (_dir, checkpoint) = opened(&[
        f32s("w", &[2, 1], &[1.0, 2.0]),
        raw("double", Dtype::F64, &[1], &[0; 8]),
        raw("mask", Dtype::BOOL, &[1], &[1]),
    ]);
    assert!(matches!(
        checkpoint.read_f32("w", &[1, 2]),
        Err(CheckpointError::ShapeMismatch { name, expected, found, .. })
            if name == "w" && expected == [1, 2] && found == [2, 1]
    ));
    let message = checkpoint.read_f32("double", &[1]).unwrap_err().to_string();
    assert!(message.ends_with(r#"tensor "double": expected dtype F32, F16 or BF16, found F64"#), "{message}");
    assert!(matches!(
        checkpoint.read_i64("w"),
        Err(CheckpointError::DtypeMismatch { found: StoredDtype::F32, expected, .. }) if expected == "I64 or I32"
    ));
    assert!(matches!(
        checkpoint.read_f32("mask", &[1]),
        Err(CheckpointError::DtypeMismatch { found: StoredDtype::Other("BOOL"), .. })
    ));
    assert_eq!(checkpoint.unused().len(), 3, "a refused read does not count as one");
}

#[test]
fn row_ranges_are_checked() {
    let (_dir, checkpoint) = opened(&[
        f32s("w", &[3, 2], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]),
        f32s("scalar", &[], &[7.0]),
        f32s("none", &[0, 4], &[]),
    ]);
    let rows = |rows| checkpoint.read_rows_f32("w", &[3, 2], rows);
    assert_eq!(rows(1..3).unwrap(), [2.0, 3.0, 4.0, 5.0]);
    assert!(rows(3..3).unwrap().is_empty());
    #[allow(clippy::reversed_empty_ranges)]
    for wrong in [2..4, 2..1, usize::MAX..usize::MAX] {
        assert!(matches!(rows(wrong), Err(CheckpointError::RowsOutOfRange { n_rows: 3, .. })));
    }
    assert_eq!(checkpoint.read_f32("scalar", &[]).unwrap(), [7.0]);
    assert!(matches!(
        checkpoint.read_rows_f32("scalar", &[], 0..1),
        Err(CheckpointError::RowsOutOfRange { n_rows: 0, .. })
    ));
    assert!(checkpoint.read_rows_f32("none", &[0, 4], 0..0).unwrap().is_empty());
}

#[test]
fn integers_of_both_widths_are_read() {
    let long: Vec<u8> = [-1_i64, 1 << 40].iter().flat_map(|v| v.to_le_bytes()).collect();
    let short: Vec<u8> = [-1_i32, 9].iter().flat_map(|v| v.to_le_bytes()).collect();
    let (_dir, checkpoint) = opened(&[raw("long", Dtype::I64, &[2], &long), raw("short", Dtype::I32, &[2], &short)]);
    assert_eq!(checkpoint.read_i64("long").unwrap(), [-1, 1 << 40]);
    assert_eq!(checkpoint.read_i64("short").unwrap(), [-1, 9]);
}

#[test]
fn a_missing_tensor_suggests_the_nearest_names() {
    let (dir, checkpoint) = opened(&[f32s("model.norm.weight", &[1], &[1.0]), f32s("lm_head.weight", &[1], &[1.0])]);
    match checkpoint.read_f32("norm.weight", &[1]) {
        Err(CheckpointError::MissingTensor { path, name, suggestions }) => {
            assert_eq!(path, dir.path());
            assert_eq!(name, "norm.weight");
            assert_eq!(suggestions, ["model.norm.weight"]);
        }
        other => panic!("{other:?}"),
    }
    assert!(!checkpoint.contains("norm.weight") && checkpoint.info("norm.weight").is_none());
}

#[test]
fn what_was_not_read_is_listed() {
    let (_dir, checkpoint) = opened(&[
        f32s("c", &[1], &[1.0]),
        f32s("b", &[1], &[1.0]),
        f32s("a", &[2], &[1.0, 2.0]),
        f32s("d", &[1], &[1.0]),
    ]);
    assert_eq!(checkpoint.unused(), ["a", "b", "c", "d"]);
    std::thread::scope(|scope| {
        scope.spawn(|| checkpoint.read_rows_f32("a", &[2], 0..1).unwrap());
        scope.spawn(|| checkpoint.read_f32("b", &[1]).unwrap());
    });
    assert!(checkpoint.mark_used("c"));
    assert!(!checkpoint.mark_used("x"));
    assert_eq!(checkpoint.unused(), ["d"]);
}
