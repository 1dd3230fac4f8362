//! Outputs of published implementations, recomputed and cached.

use burn::tensor::backend::Backend;
use depthscale_checkpoint::Checkpoint;
use depthscale_decoder::RecurrentDecoder;
use depthscale_decoder::verify::{Tolerance as Allowed, VerifyPath, verify};

use crate::precision::stays_near;
use crate::{Site, Tolerance, fixture};

/// Every output that was recorded for a checkpoint comes out again: in a whole forward pass and token by token from the
/// cache; logits after every number of steps, states, gates, exit values; greedy tokens equal. Where products are
/// in TF32, logits and states alone are compared.
///
/// # Panics
/// With what differed.
pub fn matches_published<B: Backend>(site: &Site<B>, name: &str) {
    let directory = fixture(name);
    let decoder = RecurrentDecoder::<B>::open(&directory, &site.device).expect("the fixture opens");
    let expected = Checkpoint::open_file(&directory.join("expected.safetensors")).expect("outputs are there");
    for path in [VerifyPath::ExactForward, VerifyPath::Cached] {
        if site.tolerance == Tolerance::Tf32 {
            stays_near(&decoder, &expected, name, (path, None), |steps| site.tolerance.published(steps));
            continue;
        }
        let comparisons = verify(
            &decoder,
            &expected,
            path,
            None,
            Allowed::Largest(site.tolerance.published(decoder.config().depth)),
            &mut |_| {},
        );
        let comparisons = comparisons.expect("the fixture can be compared");
        assert!(comparisons.len() >= 4);
        for comparison in comparisons {
            let (entry, path) = (&comparison.entry, path.name());
            println!("{name} {path} {entry} {:.2e} of {:.2e}", comparison.difference, comparison.tolerance);
            assert!(comparison.passes(), "{name}: {comparison:?}");
        }
    }
}
