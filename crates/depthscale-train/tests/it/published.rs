//! Losses and first steps on checkpoints of published families, against what their implementations gave.

use std::path::{Path, PathBuf};

use burn::backend::Autodiff;
use burn::module::{AutodiffModule, Module, ModuleVisitor, Param, ParamId};
use burn::optim::GradientsParams;
use burn::tensor::Tensor;
use burn_flex::Flex;
use depthscale_checkpoint::Checkpoint;
use depthscale_corpus::Sequence;
use depthscale_decoder::build::param_id;
use depthscale_decoder::{RecurrentDecoder, UnrollOptions};
use depthscale_train::learn::LossByDepth;
use depthscale_train::{
    Batch, DepthDraw, ExpectedExitConfig, GateOnlyConfig, Learner, LossConfig, LossKind, Objective, OptimizerConfig,
    Optimizers,
};

type B = Autodiff<Flex>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fixtures").join(name)
}

/// A checkpoint, the sequences it was run on, and the outputs written down then.
struct Fixture {
    decoder: RecurrentDecoder<B>,
    expected: Checkpoint,
    sequences: Vec<Vec<u32>>,
}

impl Fixture {
    fn open(name: &str) -> Self {
        let decoder = RecurrentDecoder::open(&fixture(name), &Default::default()).expect("opens");
        let expected = Checkpoint::open_file(&fixture(name).join("expected.safetensors")).expect("opens");
        let ids = expected.read_i64("input_ids").expect("ids");
        let length = expected.info("input_ids").expect("there").shape[1];
        let sequences = ids.chunks(length).map(|ids| ids.iter().map(|&id| id as u32).collect()).collect();
        Self { decoder, expected, sequences }
    }

    fn batch(&self) -> Batch {
        Batch::new(self.sequences.iter().map(|tokens| Sequence { tokens: tokens.clone(), learn_from: 1 }))
    }

    /// Cross entropies of every next token under logits written down, in f64, sequence after sequence.
    fn losses(&self, logits: &str) -> Vec<f64> {
        let shape = self.expected.info(logits).expect("there").shape;
        let values = self.expected.read_f32(logits, &shape).expect("reads");
        let (length, vocab) = (shape[1], shape[2]);
        let of = |(sequence, tokens): (usize, &Vec<u32>)| {
            let row = |at: usize| &values[(sequence * length + at) * vocab..][..vocab];
            let loss = |at: usize| {
                let sum: f64 = row(at).iter().map(|&logit| f64::from(logit).exp()).sum();
                sum.ln() - f64::from(row(at)[tokens[at + 1] as usize])
            };
            (0..length - 1).map(loss).collect::<Vec<_>>()
        };
        self.sequences.iter().enumerate().flat_map(of).collect()
    }

    fn objective(&self, kind: LossKind, draw: DepthDraw) -> Objective<B> {
        let valid = self.decoder.valid();
        let learner = Learner { decoder: &self.decoder, valid: &valid };
        let batch = self.batch();
        let loss = LossConfig { kind, z_loss: 0.0 };
        let options = UnrollOptions { zero_initial_state: true, ..UnrollOptions::default() };
        let share = 1.0 / batch.predictions() as f64;
        learner.objective(&batch, &vec![draw; batch.len()], &loss, options, share).expect("computes")
    }
}

fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / values.len() as f64
}

fn assert_near(found: f64, expected: f64, what: &str) {
    assert!((found - expected).abs() < 2e-5 * (1.0 + expected.abs()), "{what}: {found}, expected {expected}");
}

fn means(by_depth: &LossByDepth) -> Vec<(usize, f64)> {
    by_depth.iter().map(|(&depth, (sum, n))| (depth, sum / *n as f64)).collect()
}

#[test]
fn losses_of_every_step_are_those_of_the_published_ouro() {
    let fixture = Fixture::open("ouro-mha");
    let by_step: Vec<f64> = (0..4).map(|step| mean(&fixture.losses(&format!("logits_step_{step}")))).collect();
    let all = DepthDraw { free: 0, tracked: 4 };
    let (loss, seen) = fixture.objective(LossKind::EveryStep(Default::default()), all).read();
    assert_near(loss, mean(&by_step), "every step");
    for ((depth, found), expected) in means(&seen).into_iter().zip(&by_step) {
        assert_near(found, *expected, &format!("step {depth}"));
    }
    // Steps without gradients change nothing about the value of the last one.
    for draw in [all, DepthDraw { free: 3, tracked: 1 }] {
        let (loss, seen) = fixture.objective(LossKind::LastStep, draw).read();
        assert_near(loss, by_step[3], "last step");
        assert_eq!(seen.keys().collect::<Vec<_>>(), [&4]);
    }
}

#[test]
fn the_expected_loss_is_that_of_the_published_gates() {
    let fixture = Fixture::open("ouro-mha");
    let losses: Vec<Vec<f64>> = (0..4).map(|step| fixture.losses(&format!("logits_step_{step}"))).collect();
    let [batch, length] = [fixture.sequences.len(), fixture.sequences[0].len()];
    let gates = fixture.expected.read_f32("gates", &[batch, length, 4]).expect("reads");
    let beta = 0.05;
    let mut expected = Vec::new();
    for sequence in 0..batch {
        for at in 0..length - 1 {
            let gate = &gates[(sequence * length + at) * 4..][..4];
            let mut left = 1.0;
            let mut value = 0.0;
            for step in 0..4 {
                let hazard = 1.0 / (1.0 + (-f64::from(gate[step])).exp());
                let p: f64 = if step == 3 { left } else { hazard * left };
                left -= p;
                value += p * losses[step][sequence * (length - 1) + at] + beta * p * p.ln();
            }
            expected.push(value);
        }
    }
    let kind = LossKind::ExpectedExit(ExpectedExitConfig { entropy: beta });
    let (loss, _) = fixture.objective(kind, DepthDraw { free: 0, tracked: 4 }).read();
    assert_near(loss, mean(&expected), "expected loss");
}

#[test]
fn the_gate_is_held_to_the_gains_of_the_published_losses() {
    let fixture = Fixture::open("ouro-mha");
    let losses: Vec<Vec<f64>> = (0..4).map(|step| fixture.losses(&format!("logits_step_{step}"))).collect();
    let [batch, length] = [fixture.sequences.len(), fixture.sequences[0].len()];
    let gates = fixture.expected.read_f32("gates", &[batch, length, 4]).expect("reads");
    let settings = GateOnlyConfig { gain_slope: 3.0, gain_threshold: 0.1 };
    let sigmoid = |x: f64| 1.0 / (1.0 + (-x).exp());
    let mut expected = Vec::new();
    for sequence in 0..batch {
        for at in 0..length - 1 {
            let row = sequence * (length - 1) + at;
            let terms = (1..4).map(|step| {
                let gain = (losses[step - 1][row] - losses[step][row]).max(0.0);
                let go_on = sigmoid(3.0 * (gain - 0.1));
                let hazard = sigmoid(f64::from(gates[(sequence * length + at) * 4 + step - 1]));
                -(go_on * (1.0 - hazard).ln() + (1.0 - go_on) * hazard.ln())
            });
            expected.push(mean(&terms.collect::<Vec<_>>()));
        }
    }
    let objective = fixture.objective(LossKind::GateOnly(settings), DepthDraw { free: 2, tracked: 2 });
    let gradients = GradientsParams::from_grads(objective.loss.clone().backward(), &fixture.decoder);
    assert_eq!(gradients.len(), 2, "the gate's weight and bias alone have gradients");
    assert_near(objective.read().0, mean(&expected), "gate loss");
}

#[test]
fn losses_by_depth_are_those_of_the_published_huginn() {
    let fixture = Fixture::open("huginn-111");
    for depth in [1, 2, 4, 6] {
        let expected = mean(&fixture.losses(&format!("logits_zero_init_steps_{depth}")));
        let tracked = depth.min(3);
        let draw = DepthDraw { free: depth - tracked, tracked };
        assert_near(fixture.objective(LossKind::LastStep, draw).read().0, expected, &format!("depth {depth}"));
    }
}

/// Values and gradients of every parameter.
#[derive(Default)]
struct Values(Vec<(ParamId, Vec<f32>)>);

impl ModuleVisitor<B> for Values {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0.push((param.id, param.val().into_data().to_vec().expect("f32")));
    }
}

struct Gradients<'g>(&'g GradientsParams, Vec<(ParamId, Vec<f32>)>);

impl ModuleVisitor<B> for Gradients<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let gradient = self.0.get::<Flex, D>(param.id).expect("a gradient");
        self.1.push((param.id, gradient.into_data().to_vec().expect("f32")));
    }
}

/// AdamW's first step by hand: both moments are those of one gradient, so that every element moves by the learning rate
/// against the sign of its gradient, after `w -= lr decay w` for matrices.
#[test]
fn the_first_step_of_adamw_moves_every_weight_by_the_learning_rate() {
    const RATE: f64 = 1e-3;
    const DECAY: f64 = 0.5;
    for (name, kind, draw) in [
        ("ouro-mha", LossKind::ExpectedExit(ExpectedExitConfig { entropy: 0.05 }), DepthDraw { free: 0, tracked: 4 }),
        ("huginn-111", LossKind::LastStep, DepthDraw { free: 2, tracked: 4 }),
    ] {
        let fixture = Fixture::open(name);
        let objective = fixture.objective(kind, draw);
        let gradients = GradientsParams::from_grads(objective.loss.backward(), &fixture.decoder);
        let (mut before, mut of) = (Values::default(), Gradients(&gradients, Vec::new()));
        fixture.decoder.visit(&mut before);
        fixture.decoder.visit(&mut of);
        let of = of.1;
        let config = OptimizerConfig { weight_decay: DECAY, epsilon: 1e-12, ..OptimizerConfig::adamw(RATE) };
        let mut optimizers = Optimizers::<B>::new(&config, &fixture.decoder);
        let specs = fixture.decoder.config().parameters();
        let stepped = optimizers.step(1.0, fixture.decoder, gradients);
        let mut after = Values::default();
        stepped.visit(&mut after);
        let mut moved = 0;
        for (((id, before), (_, gradient)), (_, after)) in before.0.iter().zip(&of).zip(&after.0) {
            let spec = specs.iter().find(|spec| param_id(&spec.path) == *id).expect("known");
            let decay = if spec.shape.len() == 2 { RATE * DECAY } else { 0.0 };
            for ((before, gradient), after) in before.iter().zip(gradient).zip(after) {
                let (before, gradient) = (f64::from(*before), f64::from(*gradient));
                if gradient.abs() < 1e-8 {
                    continue;
                }
                let expected = before * (1.0 - decay) - RATE * gradient.signum();
                let found = f64::from(*after);
                assert!((found - expected).abs() < 2e-6 * (1.0 + before.abs()), "{}: {found} {expected}", spec.path);
                moved += 1;
            }
        }
        assert!(moved > 10_000, "{name}: {moved}");
    }
}
