//! The parts of a decoder by themselves, on flex and ndarray, f32: one block, one step, attention over contexts, appending to
//! a cache, exit criteria, sampling. Blocks, steps and attention run through the decoder, whose embedding and bookkeeping
//! are in their times.
//!
//! `cargo bench -p depthscale-benches --bench kernels`; a name after it, such as `attention`, runs only those that hold it.

use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use burn_ndarray::NdArray;
use depthscale_bench::Preset;
use depthscale_benches::{random, sync};
use depthscale_decoder::generate::Sampler;
use depthscale_decoder::layers::Linear;
use depthscale_decoder::{
    BlockContext, ExitRule, Feed, HeadShape, LogitRows, Phase, RandomParameters, RecurrentBlock, RecurrentDecoder,
    RunOptions, SequenceCache, SequenceOptions, SlotKind, StepView,
};
use depthscale_kernels::KeptRows;
use depthscale_types::{Criterion, DecoderConfig, ExitPolicy, SamplingParams};
use divan::{Bencher, black_box};

fn main() {
    divan::main();
}

/// The 160M preset's widths; `n_layers` of it.
fn config(n_layers: usize) -> DecoderConfig {
    let mut config = Preset::Small160m.config();
    config.core.n_layers = n_layers;
    config
}

fn tokens(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| i * 7919 % 49152).collect()
}

/// Sequences that hold `context` tokens.
fn sequence<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    context: usize,
    room: usize,
) -> SequenceCache<B> {
    let options = SequenceOptions { reserve: context + room, ..SequenceOptions::default() };
    let mut cache = decoder.new_sequence(options).unwrap_or_else(|error| panic!("{error}"));
    if context > 0 {
        step(decoder, &mut cache, &tokens(context));
    }
    cache
}

/// One step over some tokens, without a readout.
fn step<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    decoder: &RecurrentDecoder<B, K>,
    cache: &mut SequenceCache<B>,
    tokens: &[u32],
) {
    let rule = ExitRule::fixed(1);
    let mut feeds = [Feed { cache, tokens, phase: Phase::Prompt, logits: LogitRows::None, initial_state: None }];
    decoder.run(&mut feeds, &mut RunOptions::new(&rule)).unwrap_or_else(|error| panic!("{error}"));
    sync::<B>(&decoder.device());
}

fn bench_steps<B: Backend, K: Module<B> + RecurrentBlock<B>>(
    bencher: Bencher<'_, '_>,
    decoder: &RecurrentDecoder<B, K>,
    context: usize,
    rows: usize,
) {
    let tokens = tokens(rows);
    bencher.with_inputs(|| sequence(decoder, context, rows)).bench_local_values(|mut cache| {
        step(decoder, &mut cache, &tokens);
        cache
    });
}

/// One block, by rows computed together.
#[divan::bench(types = [Flex, NdArray], args = [1, 8, 128], sample_count = 20, sample_size = 1)]
fn block<B: Backend>(bencher: Bencher<'_, '_>, rows: usize) {
    bench_steps(bencher, &random::<B>(config(1), &Default::default()), 0, rows);
}

/// One step of twelve blocks, by rows computed together.
#[divan::bench(name = "step", types = [Flex, NdArray], args = [1, 8, 128], sample_count = 10, sample_size = 1)]
fn one_step<B: Backend>(bencher: Bencher<'_, '_>, rows: usize) {
    bench_steps(bencher, &random::<B>(config(12), &Default::default()), 0, rows);
}

/// A block that only attends: its rows are queries, keys and values.
#[derive(Module, Debug)]
struct Attend<B: Backend> {
    /// None: what is attended to goes on as it is.
    output: Option<Linear<B>>,
    #[module(skip)]
    heads: HeadShape,
}

impl<B: Backend> RecurrentBlock<B> for Attend<B> {
    fn forward(&self, state: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        let seen = context.attend(state.clone(), state.clone(), state, self.heads);
        match &self.output {
            Some(output) => output.forward(seen),
            None => seen,
        }
    }

    fn slot(&self) -> SlotKind {
        SlotKind::Growing
    }
}

fn attending<B: Backend>() -> RecurrentDecoder<B, Attend<B>> {
    let config = config(1);
    let heads = HeadShape::of(&config.core);
    let mut source = RandomParameters::new(&config, 0);
    let decoder = RecurrentDecoder::build_with(config, &mut source, &Default::default(), |_, _| {
        Ok(Attend { output: None, heads })
    });
    decoder.unwrap_or_else(|error| panic!("{error}"))
}

/// Attention of one query in 12 heads of 64, by tokens it sees.
#[divan::bench(types = [Flex, NdArray], args = [128, 1024, 8192], sample_count = 20, sample_size = 1)]
fn attention_of_one<B: Backend>(bencher: Bencher<'_, '_>, context: usize) {
    bench_steps(bencher, &attending::<B>(), context, 1);
}

/// Attention of a prompt to itself, by its tokens.
#[divan::bench(types = [Flex, NdArray], args = [128, 512, 2048], sample_count = 5, sample_size = 1)]
fn attention_of_a_prompt<B: Backend>(bencher: Bencher<'_, '_>, rows: usize) {
    bench_steps(bencher, &attending::<B>(), 0, rows);
}

/// One row into a cache of so many, `[12, rows, 64]`.
#[divan::bench(types = [Flex, NdArray], args = [1024, 8192], sample_count = 50)]
fn cache_append<B: Backend>(bencher: Bencher<'_, '_>, rows: usize) {
    let device = Default::default();
    let mut cache = Some(KeptRows::Floats(Tensor::<B, 3>::zeros([12, rows, 64], &device)));
    let row = KeptRows::Floats(Tensor::<B, 3>::ones([12, 1, 64], &device));
    bencher.bench_local(|| {
        cache = cache.take().map(|cache| cache.write(rows / 2, row.clone()));
        sync::<B>(&device);
    });
}

fn normal<B: Backend, const D: usize>(shape: [usize; D], seed: usize) -> Tensor<B, D> {
    let n: usize = shape.iter().product();
    // Any values will do that differ from one another.
    let values: Vec<f32> = (0..n).map(|i| (((i + 1) * (seed + 17)) % 1009) as f32 / 504.5 - 1.0).collect();
    Tensor::from_data(TensorData::new(values, shape), &Default::default())
}

/// The value of a criterion for one row of width 768 and 49,152 logits, read back to where the decision is made.
#[divan::bench(types = [Flex, NdArray], args = Criterion::ALL.into_iter().filter(|c| *c != Criterion::Fixed), sample_count = 50)]
fn exit_criterion<B: Backend>(bencher: Bencher<'_, '_>, criterion: Criterion) {
    let rule = ExitRule::<B>::new(&ExitPolicy::new(criterion)).unwrap_or_else(|error| panic!("{error}"));
    let [state, previous, before_previous] = [1, 2, 3].map(|seed| normal::<B, 2>([1, 768], seed));
    let [logits, previous_logits] = [4, 5].map(|seed| normal::<B, 2>([1, 49152], seed));
    let [gate, previous_value] = [6, 7].map(|seed| normal::<B, 1>([1], seed));
    bencher.bench_local(|| {
        let view = StepView {
            step: 3,
            max_steps: 8,
            state: &state,
            previous: &previous,
            before_previous: Some(&before_previous),
            gate: Some(&gate),
            logits: Some(&logits),
            previous_logits: Some(&previous_logits),
            previous_value: Some(&previous_value),
        };
        black_box(rule.criterion().values(&view).map(Tensor::into_data))
    });
}

/// Ways of drawing a token.
const SAMPLING: [&str; 5] = ["greedy", "temperature", "top-k", "top-p", "min-p"];

/// A token out of 49,152 logits.
#[divan::bench(args = SAMPLING, sample_count = 50)]
fn sampling(bencher: Bencher<'_, '_>, way: &str) {
    let drawn = SamplingParams { temperature: 0.8, ..SamplingParams::default() };
    let params = match way {
        "temperature" => drawn,
        "top-k" => SamplingParams { top_k: Some(40), ..drawn },
        "top-p" => SamplingParams { top_p: 0.9, ..drawn },
        "min-p" => SamplingParams { min_p: 0.05, ..drawn },
        _ => SamplingParams::default(),
    };
    let logits: Vec<f32> = (0..49152).map(|i| ((i * 7919) % 10007) as f32 / 1000.0).collect();
    let seen = tokens(128);
    let mut sampler = Sampler::new(&params, 0);
    bencher.with_inputs(|| logits.clone()).bench_local_values(|logits| sampler.sample(logits, &seen));
}
