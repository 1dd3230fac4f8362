//! Writing checkpoints, and what a refused or failed write leaves behind.

use std::fs;
use std::path::Path;

use depthscale_checkpoint::{
    Checkpoint, CheckpointError, CheckpointWriter, Overwrite, StoredDtype, TensorToWrite, WrittenDtype,
};
use proptest::prelude::*;
use safetensors::SafeTensors;

fn tensors() -> [TensorToWrite<'static>; 3] {
    [
        TensorToWrite::new("z.weight", [2, 2], vec![1.0, 2.0, 3.0, 4.0]),
        TensorToWrite::new("a.bias", [3], vec![5.0, 6.0, 7.0]),
        TensorToWrite::new("scale", [], vec![8.0]),
    ]
}

fn listing(dir: &Path) -> Vec<String> {
    let mut names: Vec<String> =
        fs::read_dir(dir).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

#[test]
fn other_readers_accept_the_file() {
    let dir = tempfile::tempdir().unwrap();
    let path = CheckpointWriter::new(dir.path().join("new/model"), Overwrite::No).write_single(&tensors()).unwrap();
    let bytes = fs::read(path).unwrap();
    let (header_len, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
    assert_eq!((8 + header_len) % 64, 0);
    assert_eq!(metadata.metadata().as_ref().unwrap()["format"], "pt");
    let read = SafeTensors::deserialize(&bytes).unwrap();
    assert_eq!(read.tensor("a.bias").unwrap().shape(), [3]);
    assert_eq!(read.tensor("scale").unwrap().data(), 8.0_f32.to_le_bytes());
}

#[test]
fn the_same_tensors_make_the_same_bytes() {
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, tensors: &[TensorToWrite<'_>]| {
        let path = CheckpointWriter::new(dir.path().join(name), Overwrite::No).write_single(tensors).unwrap();
        fs::read(path).unwrap()
    };
    let mut reversed = tensors();
    reversed.reverse();
    assert_eq!(write("x", &tensors()), write("y", &reversed));
}

#[test]
fn shards_and_index_follow_the_published_layout() {
    let dir = tempfile::tempdir().unwrap();
    let index = CheckpointWriter::new(dir.path(), Overwrite::No).write_sharded(&tensors(), 16).unwrap();
    assert_eq!(
        listing(dir.path()),
        ["model-00001-of-00002.safetensors", "model-00002-of-00002.safetensors", "model.safetensors.index.json"]
    );
    let json: serde_json::Value = serde_json::from_slice(&fs::read(index).unwrap()).unwrap();
    // 4 + 3 + 1 values of 4 bytes; the first tensor fills the first shard.
    assert_eq!(
        json,
        serde_json::json!({
            "metadata": { "total_size": 32 },
            "weight_map": {
                "a.bias": "model-00002-of-00002.safetensors",
                "scale": "model-00002-of-00002.safetensors",
                "z.weight": "model-00001-of-00002.safetensors",
            }
        })
    );
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.read_f32("z.weight", &[2, 2]).unwrap(), [1.0, 2.0, 3.0, 4.0]);
    assert_eq!(checkpoint.read_f32("scale", &[]).unwrap(), [8.0]);
}

#[test]
fn an_existing_checkpoint_of_either_layout_stays_unless_overwritten() {
    let existing = |result: Result<_, CheckpointError>| match result {
        Err(CheckpointError::AlreadyExists { path }) => path.file_name().unwrap().to_string_lossy().into_owned(),
        other => panic!("{other:?}"),
    };
    let dir = tempfile::tempdir().unwrap();
    let keep = CheckpointWriter::new(dir.path(), Overwrite::No);
    let replace = CheckpointWriter::new(dir.path(), Overwrite::Yes);

    keep.write_single(&tensors()).unwrap();
    assert_eq!(existing(keep.write_single(&tensors())), "model.safetensors");
    assert_eq!(existing(keep.write_sharded(&tensors(), 16)), "model.safetensors");
    assert_eq!(listing(dir.path()), ["model.safetensors"]);

    replace.write_sharded(&tensors()[..1], 16).unwrap();
    assert_eq!(listing(dir.path()), ["model-00001-of-00001.safetensors", "model.safetensors.index.json"]);
    assert_eq!(existing(keep.write_single(&tensors())), "model.safetensors.index.json");
    assert_eq!(Checkpoint::open(dir.path()).unwrap().names().count(), 1);

    replace.write_single(&tensors()).unwrap();
    assert_eq!(Checkpoint::open(dir.path()).unwrap().names().count(), 3);
    assert!(!dir.path().join("model.safetensors.index.json").exists());
}

// Windows refuses to replace a mapped file.
#[cfg(unix)]
#[test]
fn a_checkpoint_can_be_written_over_while_it_is_open() {
    let dir = tempfile::tempdir().unwrap();
    let writer = CheckpointWriter::new(dir.path(), Overwrite::Yes);
    writer.write_single(&[TensorToWrite::new("a", [2], vec![1.0, 2.0])]).unwrap();
    let old = Checkpoint::open(dir.path()).unwrap();
    writer.write_single(&[TensorToWrite::new("a", [1], vec![9.0])]).unwrap();
    let new = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(old.read_f32("a", &[2]).unwrap(), [1.0, 2.0]);
    assert_eq!(new.read_f32("a", &[1]).unwrap(), [9.0]);
}

#[test]
fn wrong_tensors_are_refused_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("model");
    let write = |tensors: &[TensorToWrite<'_>]| {
        CheckpointWriter::new(&target, Overwrite::No).write_sharded(tensors, 8).unwrap_err()
    };
    let one = |name: &str, shape: &[usize]| TensorToWrite::new(name, shape, vec![1.0]);
    assert!(matches!(write(&[]), CheckpointError::NothingToWrite { .. }));
    assert!(matches!(
        write(&[one("a", &[1]), one("b", &[1]), one("a", &[1])]),
        CheckpointError::RepeatedName { name } if name == "a"
    ));
    assert!(matches!(write(&[one("__metadata__", &[1])]), CheckpointError::ReservedName { .. }));
    for shape in [&[2][..], &[0], &[usize::MAX, 2]] {
        assert!(matches!(write(&[one("a", shape)]), CheckpointError::DataLength { n_values: 1, .. }));
    }
    assert!(!target.exists());
}

#[test]
fn a_write_that_fails_halfway_leaves_nothing_new() {
    let dir = tempfile::tempdir().unwrap();
    // A directory where the second shard belongs: the first can be published, the second cannot.
    let obstacle = dir.path().join("model-00002-of-00002.safetensors");
    fs::create_dir(&obstacle).unwrap();
    let refused = CheckpointWriter::new(dir.path(), Overwrite::No).write_sharded(&tensors(), 16);
    assert!(matches!(
        refused,
        Err(CheckpointError::AlreadyExists { path }) if path == obstacle
    ));
    assert_eq!(listing(dir.path()), ["model-00002-of-00002.safetensors"]);

    let failed = CheckpointWriter::new(dir.path(), Overwrite::Yes).write_sharded(&tensors(), 16);
    assert!(matches!(failed, Err(CheckpointError::Io { path, .. }) if path == obstacle));
    assert!(listing(dir.path()).iter().all(|name| !name.ends_with(".partial")));
    assert!(Checkpoint::open(dir.path()).is_err(), "half a checkpoint does not open");
}

#[test]
fn half_formats_come_back_rounded_and_half_the_size() {
    // The spacing of f16 at 1 is 2^-10 and that of bf16 2^-7; 0.1 is 0x2e66 = 0.0999756 in f16 and 0x3dcd = 0.1000977 in
    // bf16; 65,504 is the largest f16, and the nearest bf16 to it is 65,536.
    let values = vec![1.0, -0.0, 0.1, 65_504.0, 1.0 + 2.0_f32.powi(-9)];
    for (dtype, stored, read) in [
        (WrittenDtype::F16, StoredDtype::F16, [1.0, -0.0, 0.099_975_586, 65_504.0, 1.0 + 2.0_f32.powi(-9)]),
        (WrittenDtype::Bf16, StoredDtype::Bf16, [1.0, -0.0, 0.100_097_656, 65_536.0, 1.0]),
    ] {
        let dir = tempfile::tempdir().unwrap();
        let tensors = [
            TensorToWrite::new("a.half", [5], values.clone()).with_dtype(dtype),
            TensorToWrite::new("z.whole", [2], vec![0.1, 1e30]),
        ];
        let path = CheckpointWriter::new(dir.path(), Overwrite::No).write_single(&tensors).unwrap();
        let checkpoint = Checkpoint::open(dir.path()).unwrap();
        assert_eq!(checkpoint.info("a.half").unwrap().dtype, stored);
        assert_eq!(checkpoint.read_f32("a.half", &[5]).unwrap(), read);
        assert_eq!(checkpoint.read_f32("z.whole", &[2]).unwrap(), [0.1, 1e30]);
        assert_eq!(checkpoint.total_bytes(), 5 * 2 + 2 * 4);
        // Five halves before a float would put it at an odd place.
        let bytes = fs::read(path).unwrap();
        let (_, metadata) = SafeTensors::read_metadata(&bytes).unwrap();
        assert_eq!(metadata.info("z.whole").unwrap().data_offsets, (0, 8));

        let sharded = tempfile::tempdir().unwrap();
        let index = CheckpointWriter::new(sharded.path(), Overwrite::No).write_sharded(&tensors, 10).unwrap();
        let json: serde_json::Value = serde_json::from_slice(&fs::read(index).unwrap()).unwrap();
        assert_eq!(json["metadata"]["total_size"], 18);
        assert_eq!(Checkpoint::open(sharded.path()).unwrap().read_f32("a.half", &[5]).unwrap(), read);
    }
}

#[test]
fn a_value_too_large_for_its_format_is_named_before_anything_is_written() {
    let dir = tempfile::tempdir().unwrap();
    let target = dir.path().join("model");
    let tensors = [
        TensorToWrite::new("fits", [1], vec![65_504.0]).with_dtype(WrittenDtype::F16),
        TensorToWrite::new("large", [3], vec![0.0, f32::INFINITY, -65_520.0]).with_dtype(WrittenDtype::F16),
    ];
    let error = CheckpointWriter::new(&target, Overwrite::No).write_single(&tensors).unwrap_err();
    assert_eq!(error.to_string(), "tensor \"large\": element 2 is -65520, which is too large for F16");
    assert!(!target.exists());
}

fn any_tensor() -> impl Strategy<Value = (Vec<usize>, Vec<u32>)> {
    proptest::collection::vec(0_usize..5, 0..4).prop_flat_map(|shape| {
        let n: usize = shape.iter().product();
        (Just(shape), proptest::collection::vec(any::<u32>(), n))
    })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Names of any characters and values of any bits, NaNs included, come back as they were in both layouts.
    #[test]
    fn any_tensors_come_back_bit_for_bit(
        tensors in proptest::collection::btree_map("\\PC{0,12}", any_tensor(), 1..6),
        max_shard_bytes in 0_u64..200,
    ) {
        let to_write: Vec<TensorToWrite<'_>> = tensors
            .iter()
            .map(|(name, (shape, bits))| {
                let data: Vec<f32> = bits.iter().map(|&b| f32::from_bits(b)).collect();
                TensorToWrite::new(name, shape.clone(), data)
            })
            .collect();
        let dir = tempfile::tempdir().unwrap();
        let (single, sharded) = (dir.path().join("single"), dir.path().join("sharded"));
        CheckpointWriter::new(&single, Overwrite::No).write_single(&to_write).unwrap();
        CheckpointWriter::new(&sharded, Overwrite::No).write_sharded(&to_write, max_shard_bytes).unwrap();
        for dir in [single, sharded] {
            let checkpoint = Checkpoint::open(&dir).unwrap();
            prop_assert!(checkpoint.names().eq(tensors.keys()));
            for (name, (shape, bits)) in &tensors {
                let read = checkpoint.read_f32(name, shape).unwrap();
                let read: Vec<u32> = read.iter().map(|v| v.to_bits()).collect();
                prop_assert_eq!(&read, bits);
            }
            prop_assert!(checkpoint.unused().is_empty());
        }
    }
}
