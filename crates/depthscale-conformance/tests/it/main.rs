//! The suite on every backend that is compiled in.
//!
//! A device that is not there is a printed skip, or a failure where it is required: see [`device`].

use burn::tensor::backend::Backend;
use depthscale_backends::{BackendKind, BackendTask, with_backend};
use depthscale_conformance::{Site, Tolerance, cases, device};
use depthscale_kernels::keeps_packed;

/// One case on whichever backend is chosen.
struct Run {
    kind: BackendKind,
    case: &'static str,
    tolerance: Tolerance,
}

impl BackendTask for Run {
    type Output = ();

    fn run<B: Backend>(self, device: B::Device) {
        assert_eq!(keeps_packed::<B>(), self.kind.keeps_packed(), "what is said of {} before it is made", self.kind);
        let cases = cases::<B>();
        let case = cases.iter().find(|case| case.name == self.case);
        let case = case.unwrap_or_else(|| panic!("there is no case {}", self.case));
        (case.run)(&Site { device, tolerance: self.tolerance });
    }
}

fn run(kind: BackendKind, case: &'static str) {
    let Some(device) = device(kind) else { return };
    with_backend(device.kind, Run { kind, case, tolerance: Tolerance::of(kind) })
        .unwrap_or_else(|error| panic!("{error}"));
}

macro_rules! suite {
    ($($case:ident),* $(,)?) => {
        const CASES: &[&str] = &[$(stringify!($case)),*];

        suite!(@on flex, "flex", BackendKind::Flex, $($case),*);
        suite!(@on ndarray, "ndarray", BackendKind::Ndarray, $($case),*);
        suite!(@on wgpu, "wgpu", BackendKind::Wgpu { index: 0 }, $($case),*);
        suite!(@on cuda, "cuda", BackendKind::Cuda { index: 0 }, $($case),*);
    };
    (@on $module:ident, $feature:literal, $kind:expr, $($case:ident),*) => {
        #[cfg(feature = $feature)]
        mod $module {
            use depthscale_backends::BackendKind;

            $(#[test] fn $case() { super::run($kind, stringify!($case)) })*
        }
    };
}

suite! {
    ouro_mha,
    ouro_gqa,
    huginn_111,
    huginn_242,
    yoco_swa,
    yoco_gret,
    yoco_u_gqa,
    exits_equal_the_oracle,
    ragged_batches_equal_sequences_alone,
    chunks_equal_the_whole,
    approximate_prefill_is_named_so,
    requests_get_the_tokens_they_would_get_alone,
    random_states_follow_the_request,
    unrolled_steps_equal_runs,
    long_contexts_grow_and_wrap_caches,
    backends_pass_their_own_check,
    sixteen_bits_stay_near_published_outputs,
    caches_in_fewer_bits_stay_near_published_outputs,
    a_trained_model_answers_in_every_dtype,
    packed_weights_equal_the_same_numbers,
    an_own_block_is_refined_until_it_converges,
    an_own_mixer_and_criterion_run_inside,
}

/// What a device that multiplies in TF32 is held to can be met: flex, which is more exact, meets it.
#[cfg(feature = "flex")]
#[test]
fn the_suite_for_tf32_can_be_passed() {
    let site = Site::<depthscale_backends::Flex> { device: Default::default(), tolerance: Tolerance::Tf32 };
    for case in cases() {
        (case.run)(&site);
    }
}

/// Every case of the library is a test here.
#[test]
fn no_case_is_left_out() {
    struct Names;

    impl BackendTask for Names {
        type Output = Vec<&'static str>;

        fn run<B: Backend>(self, _: B::Device) -> Self::Output {
            cases::<B>().iter().map(|case| case.name).collect()
        }
    }

    match with_backend(BackendKind::Auto, Names) {
        Ok(names) => assert_eq!(names, CASES),
        Err(error) => println!("skipped: {error}"),
    }
}
