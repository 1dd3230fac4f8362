//! Which files of a model directory make up its checkpoint.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::{CheckpointError, EXPECTED_FILE, INDEX_FILE, SINGLE_FILE, sharding};

/// The form a checkpoint takes in its directory.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Layout {
    /// One file holds every tensor.
    Single(PathBuf),
    /// An index says which shard holds which tensor.
    Sharded(PathBuf),
}

/// Looks into `dir`: `model.safetensors` first, then the index, then the only other `*.safetensors` file.
pub(crate) fn locate(dir: &Path) -> Result<Layout, CheckpointError> {
    let io = |source| CheckpointError::Io { path: dir.into(), doing: "read the directory", source };
    match fs::metadata(dir) {
        Ok(metadata) if metadata.is_dir() => {}
        Ok(_) => return Err(CheckpointError::NotADirectory { path: dir.into() }),
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            return Err(CheckpointError::DirectoryMissing { path: dir.into() });
        }
        Err(e) => return Err(io(e)),
    }

    let mut names = Vec::new();
    for entry in fs::read_dir(dir).map_err(io)? {
        // A name that is not Unicode is none of those looked for.
        if let Ok(name) = entry.map_err(io)?.file_name().into_string() {
            names.push(name);
        }
    }
    names.sort_unstable();
    choose(&names, dir)
}

/// The choice itself, from the sorted names in the directory.
fn choose(names: &[String], dir: &Path) -> Result<Layout, CheckpointError> {
    let holds = |file: &str| names.iter().any(|name| name == file);
    if holds(SINGLE_FILE) {
        return Ok(Layout::Single(dir.join(SINGLE_FILE)));
    }
    if holds(INDEX_FILE) {
        return Ok(Layout::Sharded(dir.join(INDEX_FILE)));
    }

    let mut found: Vec<String> = names
        .iter()
        .filter(|name| name.ends_with(".safetensors") && !name.starts_with('.'))
        .filter(|name| *name != EXPECTED_FILE)
        .cloned()
        .collect();
    match found.len() {
        1 if sharding::is_one_of_several(&found[0]) => {
            Err(CheckpointError::IndexMissing { path: dir.into(), shard: found.remove(0) })
        }
        1 => Ok(Layout::Single(dir.join(found.remove(0)))),
        0 => Err(CheckpointError::NoCheckpoint {
            path: dir.into(),
            // Also the shards of one: pytorch_model-00001-of-00002.bin.
            pytorch: names.iter().rfind(|name| name.starts_with("pytorch_model") && name.ends_with(".bin")).cloned(),
        }),
        _ => Err(CheckpointError::SeveralFiles { path: dir.into(), found }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn chosen(names: &[&str]) -> Result<Layout, CheckpointError> {
        let names: Vec<String> = names.iter().map(|name| name.to_string()).collect();
        choose(&names, Path::new("d"))
    }

    #[test]
    fn the_usual_names_come_first() {
        let single = Layout::Single("d/model.safetensors".into());
        assert_eq!(chosen(&["a.safetensors", SINGLE_FILE, INDEX_FILE]).unwrap(), single);
        let sharded = Layout::Sharded("d/model.safetensors.index.json".into());
        assert_eq!(chosen(&["a.safetensors", INDEX_FILE]).unwrap(), sharded);
    }

    #[test]
    fn a_lone_file_of_another_name_will_do() {
        let lone = Layout::Single("d/weights.safetensors".into());
        let names = ["._weights.safetensors", "config.json", EXPECTED_FILE, "weights.safetensors"];
        assert_eq!(chosen(&names).unwrap(), lone);
        assert!(matches!(
            chosen(&["a.safetensors", "b.safetensors"]),
            Err(CheckpointError::SeveralFiles { found, .. }) if found == ["a.safetensors", "b.safetensors"]
        ));
    }

    #[test]
    fn a_lone_shard_will_not_do() {
        assert!(matches!(
            chosen(&["model-00001-of-00002.safetensors"]),
            Err(CheckpointError::IndexMissing { shard, .. }) if shard == "model-00001-of-00002.safetensors"
        ));
        assert!(chosen(&["model-00001-of-00001.safetensors"]).is_ok());
    }

    #[test]
    fn pytorch_files_are_mentioned() {
        assert!(matches!(
            chosen(&["config.json", EXPECTED_FILE, "pytorch_model.bin", "training_args.bin"]),
            Err(CheckpointError::NoCheckpoint { pytorch: Some(name), .. }) if name == "pytorch_model.bin"
        ));
        assert!(matches!(chosen(&["config.json"]), Err(CheckpointError::NoCheckpoint { pytorch: None, .. })));
    }
}
