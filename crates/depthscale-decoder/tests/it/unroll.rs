//! Whole sequences unrolled: the states and logits of a run, and gradients.

use std::collections::BTreeMap;

use burn::module::{AutodiffModule, Module, ModuleVisitor, Param};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_autodiff::Autodiff;
use burn_flex::Flex;
use depthscale_conformance::models;
use depthscale_decoder::{
    Block, ExitRule, Feed, LogitRows, ParameterSource, Phase, RandomParameters, RecurrentDecoder, Result, RunOptions,
    SequenceOptions, UnrollOptions,
};
use depthscale_types::{AfterStep, DecoderConfig, ParameterSpec, Readout};

type Tracked = Autodiff<Flex>;

const SEED: u64 = 5;
const SEQUENCES: [&[u32]; 3] = [&[3, 1, 4, 1, 5, 9, 2], &[6], &[5, 3, 5, 8, 9]];

fn read<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    tensor.into_data().to_vec().expect("f32")
}

fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (at, (found, expected)) in found.iter().zip(expected).enumerate() {
        assert!((found - expected).abs() <= 2e-5 * (1.0 + expected.abs()), "{what}, {at}: {found} {expected}");
    }
}

/// Logits of every token after `depth` steps, sequence after sequence, from a run with caches.
fn run_logits(decoder: &RecurrentDecoder<Flex>, depth: usize) -> Vec<f32> {
    let rule = ExitRule::new(&format!("fixed:{depth}").parse().expect("a policy")).expect("a rule");
    let logits = |(id, tokens): (usize, &&[u32])| {
        let options = SequenceOptions { id: id as u64, seed: SEED, ..SequenceOptions::default() };
        let mut cache = decoder.new_sequence(options).expect("a cache");
        let mut feeds =
            [Feed { cache: &mut cache, tokens, phase: Phase::Prompt, logits: LogitRows::All, initial_state: None }];
        let output = decoder.run(&mut feeds, &mut RunOptions::new(&rule)).expect("runs");
        read(output.feeds.into_iter().next().and_then(|feed| feed.logits).expect("logits"))
    };
    SEQUENCES.iter().enumerate().flat_map(logits).collect()
}

const OPTIONS: UnrollOptions = UnrollOptions { seed: SEED, first_id: 0, zero_initial_state: false };
const ROWS: usize = 13;

fn every_row() -> Vec<usize> {
    (0..ROWS).collect()
}

#[test]
fn steps_give_what_a_run_gives_at_that_depth() {
    for (name, config) in models::every_kind() {
        let plain = RecurrentDecoder::<Flex>::random(config.clone(), 1, &Default::default()).expect("builds");
        let tracked = RecurrentDecoder::<Tracked>::random(config, 1, &Default::default()).expect("builds");
        let mut unrolled = plain.unroll(&SEQUENCES, OPTIONS).expect("unrolls");
        let mut recorded = tracked.unroll(&SEQUENCES, OPTIONS).expect("unrolls");
        for depth in 1..=3 {
            plain.unroll_step(&mut unrolled);
            tracked.unroll_step(&mut recorded);
            let expected = run_logits(&plain, depth);
            let what = format!("{name} at {depth}");
            assert_close(&read(plain.unroll_logits(&mut unrolled, &every_row())), &expected, &what);
            assert_close(&read(tracked.unroll_logits(&mut recorded, &every_row())), &expected, &what);
        }
        // Some rows alone.
        let some = [0, 6, 7, 12];
        let vocab = models::VOCAB;
        let all = run_logits(&plain, 3);
        let expected: Vec<f32> = some.iter().flat_map(|row| all[row * vocab..(row + 1) * vocab].to_vec()).collect();
        assert_close(&read(plain.unroll_logits(&mut unrolled, &some)), &expected, name);
    }
}

#[test]
fn free_steps_differ_by_sequence_and_continue_where_they_rested() {
    for (name, config) in models::every_kind() {
        let decoder = RecurrentDecoder::<Tracked>::random(config.clone(), 1, &Default::default()).expect("builds");
        let valid = decoder.valid();
        for free in [[2, 2, 2], [0, 3, 1]] {
            if name == "memory-gated" && free[0] == 0 {
                // Its bank holds as many states as the sequence with fewest steps.
                continue;
            }
            let mut unrolled = decoder.unroll(&SEQUENCES, OPTIONS).expect("unrolls");
            unrolled.run_free::<Block<Tracked>>(&valid, &free);
            decoder.unroll_step(&mut unrolled);
            let logits = read(decoder.unroll_logits(&mut unrolled, &every_row()));
            let mut row = 0;
            for (tokens, (id, free)) in SEQUENCES.iter().zip(free.iter().enumerate()) {
                let options = UnrollOptions { first_id: id as u64, ..OPTIONS };
                let mut alone = valid.unroll(&[tokens], options).expect("unrolls");
                (0..free + 1).for_each(|_| valid.unroll_step(&mut alone));
                let own: Vec<usize> = (0..tokens.len()).collect();
                let expected = read(valid.unroll_logits(&mut alone, &own));
                let found = &logits[row * models::VOCAB..(row + tokens.len()) * models::VOCAB];
                assert_close(found, &expected, name);
                row += tokens.len();
            }
        }
    }
}

/// Random parameters, moved along a random direction.
struct Moved {
    base: RandomParameters,
    direction: RandomParameters,
    by: f32,
}

impl Moved {
    fn new(config: &DecoderConfig, by: f32) -> Self {
        Self { base: RandomParameters::new(config, 1), direction: RandomParameters::new(config, 2), by }
    }
}

/// Values of one kind for every parameter, norms and biases among them.
fn direction_of(source: &mut RandomParameters, parameter: &ParameterSpec) -> Vec<f32> {
    let as_matrix = ParameterSpec { role: depthscale_types::ParameterRole::Linear, ..parameter.clone() };
    source.values(&as_matrix).expect("draws")
}

impl ParameterSource for Moved {
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>> {
        let base = self.base.values(parameter)?;
        let direction = direction_of(&mut self.direction, parameter);
        Ok(base.iter().zip(direction).map(|(base, direction)| base + self.by * direction).collect())
    }
}

/// A weighted sum over the logits of the last two of `depth` steps, whose weights look random.
fn objective<B: Backend>(decoder: &RecurrentDecoder<B>, depth: usize) -> Tensor<B, 1> {
    let mut unrolled = decoder.unroll(&SEQUENCES, OPTIONS).expect("unrolls");
    let mut total = Tensor::zeros([1], &decoder.device());
    for step in 1..=depth {
        decoder.unroll_step(&mut unrolled);
        if step + 1 >= depth {
            let logits = decoder.unroll_logits(&mut unrolled, &every_row());
            let shape = logits.dims();
            let weights: Vec<f32> = (0..shape[0] * shape[1]).map(|i| (i as f32 * 0.618_034).fract() - 0.5).collect();
            let weights = Tensor::<B, 2>::from_data(TensorData::new(weights, shape), &decoder.device());
            total = total + (logits * weights).sum();
            if let Some(gate) = decoder.exit_gate_logits(unrolled.state().clone()) {
                total = total + gate.sum();
            }
        }
    }
    total
}

/// The gradient of every parameter by its id.
struct Collected<'g>(BTreeMap<String, Vec<f32>>, &'g <Tracked as burn::tensor::backend::AutodiffBackend>::Gradients);

impl ModuleVisitor<Tracked> for Collected<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<Tracked, D>>) {
        if let Some(gradient) = param.val().grad(self.1) {
            self.0.insert(param.id.to_string(), read(gradient));
        }
    }
}

/// Gradients in the order of the config's parameters.
fn gradients(decoder: &RecurrentDecoder<Tracked>, depth: usize) -> Vec<(ParameterSpec, Vec<f32>)> {
    let gradients = objective(decoder, depth).backward();
    let mut collected = Collected(BTreeMap::new(), &gradients);
    decoder.visit(&mut collected);
    let own = |spec: ParameterSpec| {
        let id = depthscale_decoder::build::param_id(&spec.path).to_string();
        let gradient = collected.0.get(&id).cloned().unwrap_or_else(|| panic!("{} has a gradient", spec.path));
        (spec, gradient)
    };
    decoder.config().parameters().into_iter().map(own).collect()
}

#[test]
fn gradients_of_shared_weights_are_those_of_finite_differences() {
    const DEPTH: usize = 3;
    /// Retention normalises small vectors: its objective is straight over no longer way.
    const BY: f32 = 2e-4;
    for (name, config) in models::every_kind() {
        let device = Default::default();
        let decoder =
            RecurrentDecoder::<Tracked>::build(config.clone(), &mut Moved::new(&config, 0.0), &device).expect("builds");
        let mut direction = RandomParameters::new(&config, 2);
        let along: f64 = gradients(&decoder, DEPTH)
            .iter()
            .map(|(spec, gradient)| {
                let direction = direction_of(&mut direction, spec);
                gradient.iter().zip(direction).map(|(g, d)| f64::from(*g) * f64::from(d)).sum::<f64>()
            })
            .sum();
        let at = |by: f32| {
            let decoder =
                RecurrentDecoder::<Flex>::build(config.clone(), &mut Moved::new(&config, by), &device).expect("builds");
            f64::from(read(objective(&decoder, DEPTH))[0])
        };
        let difference = (at(BY) - at(-BY)) / f64::from(2.0 * BY);
        assert!((along - difference).abs() < 3e-3 * (1.0 + difference.abs()), "{name}: {along} {difference}");
    }
}

/// Gives every copy of a core layer the values of the layer it is a copy of.
struct Copies {
    base: RandomParameters,
    layers: usize,
}

/// The name of the layer of which this is a copy.
fn original(path: &str, layers: usize) -> String {
    match path.strip_prefix("core.").and_then(|rest| rest.split_once('.')) {
        Some((layer, rest)) => format!("core.{}.{rest}", layer.parse::<usize>().expect("a layer") % layers),
        None => path.into(),
    }
}

impl ParameterSource for Copies {
    fn values(&mut self, parameter: &ParameterSpec) -> Result<Vec<f32>> {
        let path = original(&parameter.path, self.layers);
        self.base.values(&ParameterSpec { path, ..parameter.clone() })
    }
}

#[test]
fn the_gradient_of_a_shared_weight_is_the_sum_over_unrolled_copies() {
    const DEPTH: usize = 3;
    let base = models::ouro_like();
    let looped = DecoderConfig { after_step: AfterStep::Keep, readout: Readout::NormHead, ..base };
    let layers = looped.core.n_layers;
    let mut stacked = looped.clone();
    stacked.core.n_layers = layers * DEPTH;
    let device = Default::default();
    let base = RandomParameters::new(&looped, 1);
    let shared = RecurrentDecoder::<Tracked>::build(looped.clone(), &mut base.clone(), &device).expect("builds");
    let copies = RecurrentDecoder::<Tracked>::build(stacked, &mut Copies { base, layers }, &device).expect("builds");
    // The last step of the loop alone: the stack has no state before it.
    let last = |decoder: &RecurrentDecoder<Tracked>, depth| {
        let mut unrolled = decoder.unroll(&SEQUENCES, OPTIONS).expect("unrolls");
        (0..depth).for_each(|_| decoder.unroll_step(&mut unrolled));
        let logits = decoder.unroll_logits(&mut unrolled, &every_row());
        let value = (logits.clone() * logits).sum();
        let gradients = value.backward();
        let mut collected = Collected(BTreeMap::new(), &gradients);
        decoder.visit(&mut collected);
        collected.0
    };
    let (of_shared, of_copies) = (last(&shared, DEPTH), last(&copies, 1));
    let mut sums: BTreeMap<String, Vec<f32>> = BTreeMap::new();
    for spec in copies.config().parameters() {
        let Some(gradient) = of_copies.get(&depthscale_decoder::build::param_id(&spec.path).to_string()) else {
            continue;
        };
        let sum = sums.entry(original(&spec.path, layers)).or_insert_with(|| vec![0.0; gradient.len()]);
        sum.iter_mut().zip(gradient).for_each(|(sum, gradient)| *sum += gradient);
    }
    assert!(sums.len() > 10);
    for (path, sum) in sums {
        let gradient = &of_shared[&depthscale_decoder::build::param_id(&path).to_string()];
        let largest = sum.iter().fold(0.0f32, |largest, x| largest.max(x.abs()));
        for (found, expected) in gradient.iter().zip(&sum) {
            assert!((found - expected).abs() <= 1e-4 * largest, "{path}: {found} {expected}");
        }
    }
}
