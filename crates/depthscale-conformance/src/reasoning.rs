//! Blocks, mixers and criteria of one's own.

use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use depthscale_decoder::cache::SlotKind;
use depthscale_decoder::layers::Linear;
use depthscale_decoder::{
    Block, BlockContext, ExitCriterion, ExitRule, Feed, FeedOutput, HeadShape, LogitRows, Mixer, Parameters, Phase,
    RandomParameters, ReasoningLoop, RecurrentDecoder, RunOptions, SequenceOptions, StepView,
};
use depthscale_types::{Criterion, Evidence, ExitPolicy, ExitReason};

use crate::{Site, models, relative_difference};

/// A memory-gated block is looped over a bare state until it has converged.
///
/// # Panics
/// With what differed.
pub fn refines_until_converged<B: Backend>(site: &Site<B>) {
    let config = models::memory_like();
    let mut source = RandomParameters::new(&config, 2);
    let mut parameters = Parameters::<B>::new(&config, &mut source, &site.device);
    let block = Block::load(&mut parameters, "core.0", &config.core).expect("loads");
    let policy =
        ExitPolicy { min_steps: 2, threshold: 0.5, max_steps: Some(12), ..ExitPolicy::new(Criterion::LatentDiff) };
    let reasoning = ReasoningLoop::new(block, &policy).expect("valid");
    let values = (0..5 * models::D_MODEL).map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0).collect::<Vec<_>>();
    let initial = Tensor::from_data(TensorData::new(values, [5, models::D_MODEL]), &site.device);
    let mut thought = reasoning.begin("five rows", initial);
    reasoning.refine(&mut thought).expect("refines");
    assert!(thought.state.converged && thought.state.steps() > 1, "{:?}", thought.state.metrics());
}

/// Stops at a chosen step.
struct AtStep(usize);

impl<B: Backend> ExitCriterion<B> for AtStep {
    fn name(&self) -> String {
        "at-step".into()
    }

    fn evidence(&self) -> Evidence {
        Evidence::State
    }

    fn values(&self, view: &StepView<'_, B>) -> Option<Tensor<B, 1>> {
        Some(Tensor::full([view.state.dims()[0]], view.step as f32, &view.state.device()))
    }

    fn is_satisfied(&self, value: f32) -> bool {
        value as usize == self.0
    }
}

/// Attention without scores: every token's mean over what it sees, through the context's own attention.
#[derive(Module, Debug)]
struct MeanMixer<B: Backend> {
    value: Linear<B>,
}

impl<B: Backend> Mixer<B> for MeanMixer<B> {
    fn mix(&self, rows: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        let heads = HeadShape { n_heads: 1, n_kv_heads: 1, head_dim: models::D_MODEL };
        let nothing = rows.zeros_like();
        context.attend(nothing.clone(), nothing, self.value.forward(rows), heads)
    }

    fn slot(&self) -> SlotKind {
        SlotKind::Growing
    }
}

/// A mixer and a criterion of one's own run inside the generic decoder, in one pass as token by token.
///
/// # Panics
/// With what differed.
pub fn own_mixer_and_criterion<B: Backend>(site: &Site<B>) {
    let config = models::ouro_like();
    let stack = config.core.clone();
    let mut source = RandomParameters::new(&config, 8);
    let decoder = RecurrentDecoder::<B, Block<B, MeanMixer<B>>>::build_with(
        config,
        &mut source,
        &site.device,
        |parameters, layer| {
            let weight = |i: usize| ((i * 5 + layer) % 13) as f32 / 26.0 - 0.25;
            let weight: Vec<f32> = (0..models::D_MODEL * models::D_MODEL).map(weight).collect();
            let weight = TensorData::new(weight, [models::D_MODEL; 2]);
            let mixer = MeanMixer { value: Linear::new(Tensor::from_data(weight, parameters.device())) };
            Block::with_mixer(parameters, &format!("core.{layer}"), &stack, mixer)
        },
    )
    .expect("builds");
    let tokens = [1, 5, 9, 2, 8];
    let run = |rule: &ExitRule<B>, chunk| -> FeedOutput<B> {
        let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
        let mut feeds = [Feed {
            cache: &mut cache,
            tokens: &tokens,
            phase: Phase::Prompt,
            logits: LogitRows::All,
            initial_state: None,
        }];
        let output = decoder.run(&mut feeds, &mut RunOptions { chunk, ..RunOptions::new(rule) }).expect("runs");
        output.feeds.into_iter().next().expect("one")
    };
    let policy = ExitPolicy { max_steps: Some(6), ..ExitPolicy::default() };
    let exited = run(&ExitRule::with_criterion(AtStep(3), &policy).expect("valid"), 64);
    assert!(exited.traces.iter().all(|trace| trace.steps == 3 && trace.reason == ExitReason::Converged));
    let expected = run(&ExitRule::fixed(3), 1);
    let values =
        |output: FeedOutput<B>| output.logits.expect("asked for").into_data().iter::<f32>().collect::<Vec<_>>();
    let difference = relative_difference(&values(exited), &values(expected));
    assert!(difference < site.tolerance.repeated(), "{difference}");
}
