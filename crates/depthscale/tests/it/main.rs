//! Tests of the language model on the small checkpoints of the repository, on the best backend compiled in.

#![cfg(any(feature = "flex", feature = "ndarray"))]

mod arithmetic;
mod builtin;
mod language_model;

use std::path::PathBuf;

use depthscale::prelude::*;

fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

#[cfg(feature = "flex")]
type TestBackend = Flex;
#[cfg(all(feature = "ndarray", not(feature = "flex")))]
type TestBackend = NdArray;

fn arith() -> LanguageModel<TestBackend> {
    LanguageModel::open(&fixture("ouro-arith"), &Default::default()).expect("the fixture opens")
}
