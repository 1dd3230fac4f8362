//! Outputs of published implementations, recomputed and cached.

use std::path::PathBuf;

use burn::tensor::backend::Backend;
use depthscale_checkpoint::Checkpoint;
use depthscale_decoder::RecurrentDecoder;
use depthscale_decoder::verify::{F32_TOLERANCE, VerifyPath, verify};

pub(crate) fn fixture(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

fn matches_published<B: Backend>(name: &str) {
    let directory = fixture(name);
    let decoder = RecurrentDecoder::<B>::open(&directory, &Default::default()).expect("the fixture opens");
    let expected = Checkpoint::open_file(&directory.join("expected.safetensors")).expect("outputs are there");
    for path in [VerifyPath::ExactForward, VerifyPath::Cached] {
        let comparisons =
            verify(&decoder, &expected, path, F32_TOLERANCE, &mut |_| {}).expect("the fixture can be compared");
        assert!(comparisons.len() >= 4);
        for comparison in comparisons {
            println!(
                "{name} {} {} {:.2e} of {:.2e}",
                path.name(),
                comparison.entry,
                comparison.difference,
                comparison.tolerance
            );
            assert!(comparison.passes(), "{name}: {comparison:?}");
        }
    }
}

macro_rules! parity {
    ($($test:ident: $fixture:literal),* $(,)?) => {
        mod flex {
            $(#[test] fn $test() { super::matches_published::<burn_flex::Flex>($fixture) })*
        }
        mod ndarray {
            $(#[test] fn $test() { super::matches_published::<burn_ndarray::NdArray>($fixture) })*
        }
    };
}

parity! {
    ouro_mha: "ouro-mha",
    ouro_gqa: "ouro-gqa",
    huginn_111: "huginn-111",
    huginn_242: "huginn-242",
    yoco_swa: "yoco-swa",
    yoco_gret: "yoco-gret",
    yoco_u_gqa: "yoco-u-gqa",
}
