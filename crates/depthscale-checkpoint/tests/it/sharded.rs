//! Sharded checkpoints, and indices and shards that contradict each other.

use std::fs;
use std::path::Path;

use depthscale_checkpoint::{Checkpoint, CheckpointError};

use crate::stored::{f32s, store};

const INDEX: &str = "model.safetensors.index.json";

/// Shard 1 holds `a` and `b`, shard 2 holds `c`; the index says so.
fn sharded() -> tempfile::TempDir {
    let dir = tempfile::tempdir().unwrap();
    store(&dir.path().join("1.safetensors"), &[f32s("a", &[1], &[1.0]), f32s("b", &[1], &[2.0])]);
    store(&dir.path().join("2.safetensors"), &[f32s("c", &[2], &[3.0, 4.0])]);
    index(dir.path(), r#"{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors"}"#);
    dir
}

fn index(dir: &Path, weight_map: &str) {
    let json = format!(r#"{{"metadata":{{"total_size":16}},"weight_map":{weight_map}}}"#);
    fs::write(dir.join(INDEX), json).unwrap();
}

fn error(dir: &tempfile::TempDir) -> CheckpointError {
    Checkpoint::open(dir.path()).unwrap_err()
}

#[test]
fn tensors_are_found_across_shards() {
    let dir = sharded();
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert_eq!(checkpoint.read_f32("b", &[1]).unwrap(), [2.0]);
    assert_eq!(checkpoint.read_f32("c", &[2]).unwrap(), [3.0, 4.0]);
    assert_eq!(checkpoint.total_bytes(), 16);
    assert_eq!(checkpoint.unused(), ["a"]);

    let message = checkpoint.read_f32("c", &[3]).unwrap_err().to_string();
    assert!(message.contains("2.safetensors"), "names the shard: {message}");
}

#[test]
fn a_shard_may_lie_in_a_folder() {
    let dir = sharded();
    fs::create_dir(dir.path().join("part")).unwrap();
    fs::rename(dir.path().join("2.safetensors"), dir.path().join("part/2.safetensors")).unwrap();
    index(dir.path(), r#"{"a":"1.safetensors","b":"1.safetensors","c":"part/2.safetensors"}"#);
    assert!(Checkpoint::open(dir.path()).unwrap().contains("c"));
}

#[test]
fn malformed_indices_and_outside_shards_are_refused() {
    let dir = sharded();
    index(dir.path(), "{}");
    assert!(matches!(error(&dir), CheckpointError::BadIndex { path, .. } if path.ends_with(INDEX)));
    fs::write(dir.path().join(INDEX), "not json").unwrap();
    assert!(matches!(error(&dir), CheckpointError::BadIndex { .. }));
    index(dir.path(), r#"{"a":"../1.safetensors"}"#);
    assert!(matches!(error(&dir), CheckpointError::ShardOutside { shard, .. } if shard == "../1.safetensors"));
    fs::remove_file(dir.path().join(INDEX)).unwrap();
    fs::create_dir(dir.path().join(INDEX)).unwrap();
    assert!(matches!(error(&dir), CheckpointError::NotAFile { .. }));
}

#[test]
fn missing_and_damaged_shards_are_named() {
    let dir = sharded();
    let second = dir.path().join("2.safetensors");
    let whole = fs::read(&second).unwrap();
    fs::write(&second, &whole[..whole.len() - 1]).unwrap();
    assert!(matches!(error(&dir), CheckpointError::Truncated { path, .. } if path == second));
    fs::remove_file(&second).unwrap();
    assert!(matches!(error(&dir), CheckpointError::ShardMissing { shard, .. } if shard == "2.safetensors"));
}

#[test]
fn index_and_shards_must_agree() {
    let dir = sharded();
    index(dir.path(), r#"{"a":"1.safetensors","b":"1.safetensors","c":"2.safetensors","d":"2.safetensors"}"#);
    assert!(matches!(
        error(&dir),
        CheckpointError::NotInShard { name, shard, .. } if name == "d" && shard == "2.safetensors"
    ));

    index(dir.path(), r#"{"a":"1.safetensors","b":"2.safetensors","c":"2.safetensors"}"#);
    assert!(matches!(
        error(&dir),
        CheckpointError::NotInShard { name, shard, .. } if name == "b" && shard == "2.safetensors"
    ));

    index(dir.path(), r#"{"a":"1.safetensors","c":"2.safetensors"}"#);
    assert!(matches!(
        error(&dir),
        CheckpointError::NotInIndex { name, shard, .. } if name == "b" && shard == "1.safetensors"
    ));
}

#[test]
fn one_tensor_in_two_shards_is_refused() {
    let dir = sharded();
    store(&dir.path().join("2.safetensors"), &[f32s("b", &[1], &[2.0]), f32s("c", &[2], &[3.0, 4.0])]);
    assert!(matches!(
        error(&dir),
        CheckpointError::InTwoShards { name, first, second, .. }
            if name == "b" && first == "1.safetensors" && second == "2.safetensors"
    ));
}
