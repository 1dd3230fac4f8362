//! Tests of the decoder as a whole. What every backend must compute alike is in the conformance suite.

mod checkpoints;
mod fresh;
mod layouts;
mod published;
mod reasoning;
mod requests;
mod unroll;
mod weights;

/// Everything public can be handed to another thread.
#[test]
fn public_types_are_send() {
    use depthscale_decoder::*;
    type B = burn_flex::Flex;

    fn is_send<T: Send>() {}
    is_send::<RecurrentDecoder<B>>();
    is_send::<SequenceCache<B>>();
    is_send::<ExitRule<B>>();
    is_send::<StepView<'_, B>>();
    is_send::<Feed<'_, B>>();
    is_send::<RunOptions<'_, B>>();
    is_send::<RunOutput<B>>();
    is_send::<GenerateOptions<'_, B>>();
    is_send::<Generation>();
    is_send::<generate::Sampler>();
    is_send::<Reasoning<B>>();
    is_send::<ReasoningLoop<B, Block<B>>>();
    is_send::<BlockContext<'_, '_, B>>();
    is_send::<Parameters<'_, B>>();
    is_send::<ModelDirectory>();
    is_send::<DecoderError>();
}
