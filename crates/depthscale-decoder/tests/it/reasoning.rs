//! The reasoning loop, and criteria and mixers of a user's own.

use burn::module::Module;
use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_flex::Flex;
use depthscale_decoder::layers::Linear;
use depthscale_decoder::{
    Block, BlockContext, ExitCriterion, ExitRule, Feed, HeadShape, LogitRows, Mixer, Phase, RandomParameters,
    ReasoningLoop, RecurrentBlock, RecurrentDecoder, RunOptions, SequenceOptions, SlotKind, StepView,
};
use depthscale_types::{Criterion, Evidence, ExitPolicy, ExitReason, KvRetention, Metric};

use crate::models;

/// `x <- x / 2 + 1`, whose fixed point is 2.
struct Halving;

impl<B: Backend> RecurrentBlock<B> for Halving {
    fn forward(&self, state: Tensor<B, 2>, _: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        state / 2.0 + 1.0
    }
}

fn policy(criterion: Criterion, threshold: f64) -> ExitPolicy {
    ExitPolicy { threshold, max_steps: Some(50), ..ExitPolicy::new(criterion) }
}

#[test]
fn refining_goes_on_until_the_state_has_converged() {
    let reasoning = ReasoningLoop::<Flex, _>::new(Halving, &policy(Criterion::LatentDiff, 0.01)).expect("valid");
    let mut thought = reasoning.begin("to two", Tensor::zeros([3, 4], &Default::default()));
    let (next, report) = reasoning.step(&mut thought).expect("steps");
    // From 0 to 1: the change is as large as the state.
    assert_eq!((report.step, report.metric, report.converged), (1, 1.0, false));
    assert_eq!(next.into_data(), thought.tensor().clone().into_data());
    reasoning.refine(&mut thought).expect("refines");
    // s_t = 2 - 2^(1-t), so the relative change is 2^(1-t) / s_t: 1/127 at step 7 is the first below 0.01.
    assert_eq!(thought.state.steps(), 7);
    assert!(thought.state.converged);
    assert_eq!(thought.state.input, "to two");
    let metrics = thought.state.metrics();
    assert!((metrics[6] - 1.0 / 127.0).abs() < 1e-6, "{metrics:?}");
    assert!(metrics.windows(2).all(|pair| pair[1] < pair[0]));
    // A state that has converged stays as it is.
    reasoning.refine(&mut thought).expect("refines");
    assert_eq!(thought.state.steps(), 7);
}

#[test]
fn the_metric_difference_rule_stops_when_the_metric_does() {
    let rule = Criterion::MetricDiff(Metric::LatentDiff);
    let reasoning = ReasoningLoop::<Flex, _>::new(Halving, &policy(rule, 0.02)).expect("valid");
    let mut thought = reasoning.begin("", Tensor::zeros([1, 4], &Default::default()));
    reasoning.refine(&mut thought).expect("refines");
    // Metrics 1, 1/3, 1/7, 1/15, 1/31, 1/63: 1/31 - 1/63 = 0.0164 is the first difference below 0.02.
    assert_eq!(thought.state.steps(), 6);
    assert_eq!(thought.state.thoughts[0].report.exit_value, None);
}

#[test]
fn a_loop_ends_at_its_last_step_and_refuses_what_it_cannot_do() {
    let bounded = ExitPolicy { max_steps: Some(3), ..policy(Criterion::LatentDiff, 1e-9) };
    let reasoning = ReasoningLoop::<Flex, _>::new(Halving, &bounded).expect("valid");
    let mut thought = reasoning.begin("", Tensor::zeros([1, 1], &Default::default()));
    reasoning.refine(&mut thought).expect("refines");
    assert_eq!((thought.state.steps(), thought.state.converged), (3, false));
    assert!(ReasoningLoop::<Flex, _>::new(Halving, &ExitPolicy::default()).is_err(), "no last step");
    assert!(ReasoningLoop::<Flex, _>::new(Halving, &policy(Criterion::Kl, 0.1)).is_err(), "no readout");
    assert!(ReasoningLoop::<Flex, _>::new(Halving, &policy(Criterion::QExit, 0.1)).is_err(), "no gate");
    let mut poisoned = reasoning.begin("", Tensor::full([1, 1], f32::INFINITY, &Default::default()));
    let error = reasoning.step(&mut poisoned).expect_err("not finite");
    assert!(error.to_string().contains("from step 1 on"), "{error}");
}

#[test]
fn a_memory_gated_block_is_looped_by_itself() {
    let config = models::memory_like();
    let mut source = RandomParameters::new(&config, 2);
    let mut parameters = depthscale_decoder::Parameters::<Flex>::new(&config, &mut source, &Default::default());
    let block = Block::load(&mut parameters, "core.0", &config.core).expect("loads");
    let reasoning =
        ReasoningLoop::new(block, &ExitPolicy { min_steps: 2, ..policy(Criterion::LatentDiff, 0.5) }).expect("valid");
    let values = (0..5 * models::D_MODEL).map(|i| (i * 7 % 11) as f32 / 5.0 - 1.0).collect::<Vec<_>>();
    let values = burn::tensor::TensorData::new(values, [5, models::D_MODEL]);
    let initial = Tensor::from_data(values, &Default::default());
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

#[test]
fn a_mixer_and_a_criterion_of_ones_own_run_in_the_decoder() {
    let config = models::ouro_like();
    let stack = config.core.clone();
    let mut source = RandomParameters::new(&config, 2);
    let device = Default::default();
    let decoder = RecurrentDecoder::<Flex, Block<Flex, MeanMixer<Flex>>>::build_with(
        config,
        &mut source,
        &device,
        |parameters, layer| {
            let weight = Tensor::random(
                [models::D_MODEL; 2],
                burn::tensor::Distribution::Normal(0.0, 0.25),
                parameters.device(),
            );
            let mixer = MeanMixer { value: Linear::new(weight) };
            Block::with_mixer(parameters, &format!("core.{layer}"), &stack, mixer)
        },
    )
    .expect("builds");
    let tokens = [1, 5, 9, 2, 8];
    let run = |rule: &ExitRule<Flex>, chunk| {
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
    let rule = ExitRule::with_criterion(AtStep(3), &ExitPolicy { max_steps: Some(6), ..ExitPolicy::default() })
        .expect("valid");
    let exited = run(&rule, 64);
    assert!(exited.traces.iter().all(|trace| trace.steps == 3 && trace.reason == ExitReason::Converged));
    let expected = run(&ExitRule::fixed(3), 1);
    let values =
        |logits: Option<Tensor<Flex, 2>>| logits.expect("asked for").into_data().iter::<f32>().collect::<Vec<_>>();
    let (found, expected) = (values(exited.logits), values(expected.logits));
    assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-4));
}

#[test]
fn a_model_shows_its_hypothesis_after_every_step() {
    for (name, config) in models::every_kind() {
        let decoder = RecurrentDecoder::<Flex>::random(config, 4, &Default::default()).expect("builds");
        let prompt = [3, 1, 4, 1, 5];
        let reasoned = decoder.reason(&prompt, &ExitPolicy::fixed(4), KvRetention::PerStep).expect("reasons");
        assert_eq!(reasoned.hypotheses.len(), 4, "{name}");
        for hypothesis in &reasoned.hypotheses {
            // The prompt's earlier tokens took all four steps; the last is read out after fewer.
            let (before, last) = prompt.split_at(4);
            let mut cache = decoder.new_sequence(SequenceOptions::default()).expect("opens");
            let mut logits = None;
            for (tokens, depth) in [(before, 4), (last, hypothesis.step)] {
                let mut feeds = [Feed {
                    cache: &mut cache,
                    tokens,
                    phase: Phase::Prompt,
                    logits: LogitRows::Last,
                    initial_state: None,
                }];
                let rule = ExitRule::fixed(depth);
                logits = decoder.run(&mut feeds, &mut RunOptions::new(&rule)).expect("runs").feeds[0].logits.clone();
            }
            let token = logits.expect("asked for").argmax(1).into_data().iter::<i64>().next().expect("one");
            assert_eq!(i64::from(hypothesis.token), token, "{name} at {}", hypothesis.step);
            assert!(hypothesis.probability > 0.0 && hypothesis.probability <= 1.0);
        }
    }
}
