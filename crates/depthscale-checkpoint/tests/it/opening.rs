//! Which directories and files open, and what is said of the others.

use std::fs;

use depthscale_checkpoint::{Checkpoint, CheckpointError};

use crate::stored::{f32s, store};

#[test]
fn a_missing_directory_and_a_file_in_its_place_are_told_apart() {
    let dir = tempfile::tempdir().unwrap();
    let missing = dir.path().join("missing");
    assert!(matches!(
        Checkpoint::open(&missing),
        Err(CheckpointError::DirectoryMissing { path }) if path == missing
    ));
    assert!(matches!(
        Checkpoint::open_file(&missing),
        Err(CheckpointError::FileMissing { path }) if path == missing
    ));
    let file = dir.path().join("model.safetensors");
    store(&file, &[f32s("a", &[1], &[1.0])]);
    assert!(matches!(
        Checkpoint::open(&file),
        Err(CheckpointError::NotADirectory { path }) if path == file
    ));
    assert!(matches!(Checkpoint::open_file(dir.path()), Err(CheckpointError::NotAFile { .. })));
}

#[test]
fn a_directory_without_a_checkpoint_says_what_was_looked_for() {
    let dir = tempfile::tempdir().unwrap();
    fs::write(dir.path().join("config.json"), "{}").unwrap();
    store(&dir.path().join("expected.safetensors"), &[f32s("a", &[1], &[1.0])]);
    let message = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(message.contains("model.safetensors.index.json"));
    assert!(!message.contains("convert"));

    fs::write(dir.path().join("pytorch_model.bin"), "PK").unwrap();
    let message = Checkpoint::open(dir.path()).unwrap_err().to_string();
    assert!(message.ends_with(r#"found "pytorch_model.bin": convert to safetensors"#), "{message}");
}

#[test]
fn a_lone_file_of_any_name_opens() {
    let dir = tempfile::tempdir().unwrap();
    store(&dir.path().join("expected.safetensors"), &[f32s("x", &[1], &[1.0])]);
    store(&dir.path().join("weights.safetensors"), &[f32s("a", &[1], &[1.0])]);
    let checkpoint = Checkpoint::open(dir.path()).unwrap();
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a"]);
    assert_eq!(checkpoint.path(), dir.path());

    store(&dir.path().join("other.safetensors"), &[f32s("b", &[1], &[1.0])]);
    assert!(matches!(
        Checkpoint::open(dir.path()),
        Err(CheckpointError::SeveralFiles { found, .. }) if found.len() == 2
    ));
}

#[test]
fn files_that_are_not_safetensors_are_refused() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("model.safetensors");
    let opened = |bytes: &[u8]| {
        fs::write(&path, bytes).unwrap();
        Checkpoint::open(dir.path()).unwrap_err()
    };
    assert!(matches!(opened(b""), CheckpointError::EmptyFile { path: at } if at == path));
    assert!(matches!(opened(b"\x10\0\0"), CheckpointError::Truncated { expected: 8, found: 3, .. }));
    assert!(matches!(opened(b"version https://git-lfs.github.com/spec/v1\n"), CheckpointError::NotSafetensors { .. }));
    assert!(matches!(opened(b"\x02\0\0\0\0\0\0\0[]"), CheckpointError::BadHeader { .. }));
}

#[test]
fn a_directory_in_place_of_the_file_is_refused() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(dir.path().join("model.safetensors")).unwrap();
    assert!(matches!(Checkpoint::open(dir.path()), Err(CheckpointError::NotAFile { .. })));
}

#[cfg(unix)]
#[test]
fn links_are_followed_and_must_lead_somewhere() {
    let dir = tempfile::tempdir().unwrap();
    let blobs = tempfile::tempdir().unwrap();
    let link = dir.path().join("model.safetensors");
    std::os::unix::fs::symlink(blobs.path().join("blob"), &link).unwrap();
    assert!(matches!(Checkpoint::open(dir.path()), Err(CheckpointError::FileMissing { .. })));
    store(&blobs.path().join("blob"), &[f32s("a", &[1], &[1.0])]);
    assert!(Checkpoint::open(dir.path()).unwrap().contains("a"));
}
