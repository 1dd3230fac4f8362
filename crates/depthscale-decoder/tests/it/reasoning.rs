//! The reasoning loop, and criteria and mixers of a user's own.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use burn_flex::Flex;
use depthscale_decoder::{
    BlockContext, ExitRule, Feed, LogitRows, Phase, ReasoningLoop, RecurrentBlock, RecurrentDecoder, RunOptions,
    SequenceOptions,
};
use depthscale_types::{Criterion, ExitPolicy, KvRetention, Metric};

use depthscale_conformance::models;

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
