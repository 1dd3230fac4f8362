//! What the examples share: the small checkpoint in this repository, which has learned to add two numbers.

use std::path::PathBuf;

/// The directory of the checkpoint.
pub fn model_directory() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../fixtures/ouro-arith")
}
