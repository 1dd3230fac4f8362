//! The index of a sharded checkpoint: which shard holds which tensor.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Component, Path};

use serde::{Deserialize, Serialize};

use crate::CheckpointError;

/// `model.safetensors.index.json`, as published models carry it.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct Index {
    /// Written for other readers, and passed over here: published indices often count tied weights twice.
    #[serde(skip_deserializing)]
    metadata: IndexMetadata,
    /// Tensor name to shard file name.
    pub(crate) weight_map: BTreeMap<String, String>,
}

/// The part of the index about the checkpoint as a whole.
#[derive(Debug, Default, Serialize)]
struct IndexMetadata {
    /// Bytes of all tensors together.
    total_size: u64,
}

impl Index {
    /// An index for tensors of `total_size` bytes together.
    pub(crate) fn new(weight_map: BTreeMap<String, String>, total_size: u64) -> Self {
        Self { metadata: IndexMetadata { total_size }, weight_map }
    }

    /// Reads the index at `path` and checks that every shard name stays inside its directory.
    pub(crate) fn read(path: &Path) -> Result<Self, CheckpointError> {
        let io = |source| CheckpointError::Io { path: path.into(), doing: "read the index", source };
        if !fs::metadata(path).map_err(io)?.is_file() {
            return Err(CheckpointError::NotAFile { path: path.into() });
        }
        Self::parse(path, &fs::read(path).map_err(io)?)
    }

    fn parse(path: &Path, json: &[u8]) -> Result<Self, CheckpointError> {
        let bad = |reason: String| CheckpointError::BadIndex { path: path.into(), reason };
        let index: Self = serde_json::from_slice(json).map_err(|e| bad(e.to_string()))?;
        if index.weight_map.is_empty() {
            return Err(bad("its weight_map names no tensor".into()));
        }
        for shard in index.shards() {
            if !stays_inside(shard) {
                return Err(CheckpointError::ShardOutside { path: path.into(), shard: shard.into() });
            }
        }
        Ok(index)
    }

    /// The names of the shards, each once, sorted.
    pub(crate) fn shards(&self) -> BTreeSet<&str> {
        self.weight_map.values().map(String::as_str).collect()
    }
}

/// Whether a shard name consists of nothing but names of folders and a file, on any platform.
fn stays_inside(shard: &str) -> bool {
    !shard.is_empty()
        && !shard.contains(['\\', '\0'])
        && Path::new(shard).components().all(|part| matches!(part, Component::Normal(_)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn parsed(json: &str) -> Result<Index, CheckpointError> {
        Index::parse(Path::new("model.safetensors.index.json"), json.as_bytes())
    }

    #[test]
    fn published_indices_are_read() {
        let index = parsed(
            r#"{"metadata":{"total_size":12,"total_parameters":3},"weight_map":{"b":"2.safetensors","a":"1.safetensors","c":"1.safetensors"}}"#,
        )
        .unwrap();
        assert_eq!(index.shards().into_iter().collect::<Vec<_>>(), ["1.safetensors", "2.safetensors"]);
        assert!(parsed(r#"{"weight_map":{"a":"x"}}"#).is_ok(), "metadata may be absent");
        assert!(parsed(r#"{"metadata":null,"weight_map":{"a":"x"}}"#).is_ok(), "metadata is not relied on");
    }

    #[test]
    fn malformed_indices_are_refused() {
        for json in ["", "[]", "{", "{}", r#"{"weight_map":[]}"#, r#"{"weight_map":{"a":1}}"#, r#"{"weight_map":{}}"#] {
            assert!(matches!(parsed(json), Err(CheckpointError::BadIndex { .. })), "{json}");
        }
    }

    #[test]
    fn shards_outside_the_directory_are_refused() {
        for shard in ["", "/etc/passwd", "../x", "a/../x", "./x", "..", r"..\\x", r"a\u0000b"] {
            let json = format!(r#"{{"weight_map":{{"a":"{shard}"}}}}"#);
            assert!(matches!(parsed(&json), Err(CheckpointError::ShardOutside { .. })), "{shard}");
        }
        assert!(parsed(r#"{"weight_map":{"a":"shards/x.safetensors"}}"#).is_ok());
    }

    proptest! {
        #[test]
        fn arbitrary_text_never_panics(json in ".{0,200}") {
            let _ = parsed(&json);
        }

        #[test]
        fn accepted_names_join_to_paths_below_the_directory(shard in "[a.~/\\\\:-]{0,12}") {
            if stays_inside(&shard) {
                let joined = Path::new("d").join(&shard);
                prop_assert!(joined.starts_with("d"));
                prop_assert!(!joined.components().any(|part| part == Component::ParentDir));
            }
        }
    }
}
