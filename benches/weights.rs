//! Weight formats on flex, against what the machine can do: products with the matrices of the 160M preset, and decoding it.
//!
//! `cargo bench -p depthscale-benches --bench weights` prints tables. The memory's bandwidth changes with what else runs on a
//! machine: it is measured anew between any few samples, as a sum over 256 MiB by all threads, and shares are of its median.

use std::error::Error;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Instant;

use burn::tensor::{Tensor, TensorData};
use burn_flex::Flex;
use depthscale_backends::BackendKind;
use depthscale_bench::{HostMemory, Preset, fastest_product};
use depthscale_decoder::generate::Sampler;
use depthscale_decoder::{
    ExitRule, Feed, LogitRows, Phase, RandomParameters, RecurrentDecoder, RunOptions, SequenceCache, SequenceOptions,
};
use depthscale_kernels::{
    HeadShape, KeptRows, PackedWeight, Seen, StoredWeight, Visible, attend, on_workers, project, project_all,
    project_packed,
};
use depthscale_types::{CacheDtype, ComputeDtype, ExitPolicy, SamplingParams, WeightFormat, WorkQuery};
use mimalloc::MiMalloc;

/// As in the program.
#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Bytes of different weights that are multiplied in turn: more than caches hold.
const WORKING_SET: usize = 256 << 20;

const CONTEXT: usize = 256;
const DEPTH: usize = 4;

fn main() -> Result<(), Box<dyn Error>> {
    let device = BackendKind::Flex.probe()?;
    let ceiling = fastest_product::<Flex>(&device, &Default::default(), ComputeDtype::F32)?;
    let memory = HostMemory::new();
    println!("A large square product: {:.0} GFLOP/s.\n", ceiling / 1e9);
    products(&memory, ceiling);
    decoding(&memory)?;
    Ok(())
}

/// The median of seconds of some work, and of the bandwidth around it.
fn time(memory: &HostMemory, samples: usize, mut work: impl FnMut()) -> (f64, f64) {
    let (mut seconds, mut bandwidths) = (Vec::new(), vec![memory.bandwidth()]);
    work();
    for sample in 0..samples {
        let start = Instant::now();
        work();
        seconds.push(start.elapsed().as_secs_f64());
        if sample % 3 == 2 {
            bandwidths.push(memory.bandwidth());
        }
    }
    (median(seconds), median(bandwidths))
}

/// Medians of two ways of doing something, in turn, since a difference of a percent drowns otherwise.
fn alternate<T: Copy>(samples: usize, ways: [T; 2], mut work: impl FnMut(T)) -> [f64; 2] {
    let mut seconds = [Vec::new(), Vec::new()];
    ways.into_iter().for_each(&mut work);
    for _ in 0..samples {
        for (way, seconds) in ways.into_iter().zip(&mut seconds) {
            let start = Instant::now();
            work(way);
            seconds.push(start.elapsed().as_secs_f64());
        }
    }
    seconds.map(median)
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn values(n: usize) -> Vec<f32> {
    (0..n).map(|i| ((i * 7919 % 1009) as f32 - 504.0) / 5000.0).collect()
}

fn tensor<const D: usize>(shape: [usize; D]) -> Tensor<Flex, D> {
    Tensor::from_data(TensorData::new(values(shape.iter().product()), shape), &Default::default())
}

/// A weight in a format.
enum Weight {
    Floats(Tensor<Flex, 2>),
    Packed(PackedWeight),
}

impl Weight {
    fn new(format: WeightFormat, shape: [usize; 2]) -> Self {
        match format {
            WeightFormat::F32 => Self::Floats(tensor(shape)),
            _ => Self::Packed(PackedWeight::pack(format, shape, &values(shape[0] * shape[1])).expect("small values")),
        }
    }

    fn stored(&self) -> StoredWeight<'_, Flex> {
        match self {
            Self::Floats(weight) => StoredWeight::Floats(weight.clone()),
            Self::Packed(weight) => StoredWeight::Packed(weight),
        }
    }

    fn project(&self, x: &Tensor<Flex, 2>) {
        black_box(match self {
            Self::Floats(weight) => project(weight.clone(), x.clone()),
            Self::Packed(weight) => project_packed(weight, x.clone()),
        });
    }
}

fn products(memory: &HostMemory, ceiling: f64) {
    println!("Products with different weights in turn, on {} threads:", rayon::current_num_threads());
    println!(
        "{:<14} {:<6} {:>5} {:>9} {:>7} {:>12} {:>9} {:>13}",
        "out x in", "format", "rows", "us", "GB/s", "of memory, %", "GFLOP/s", "of product, %"
    );
    for shape in [[2048, 768], [768, 2048], [768, 768]] {
        let [d_out, d_in] = shape;
        for format in WeightFormat::ALL {
            let bytes = d_out * format.row_bytes(d_in);
            let weights: Vec<Weight> = (0..WORKING_SET.div_ceil(bytes)).map(|_| Weight::new(format, shape)).collect();
            for rows in [1, 2, 4, 8, 16, 64, 256, 1024] {
                let some = &weights[..weights.len().min(4096 / rows.min(512))];
                let x = tensor([rows, d_in]);
                let work = || on_workers::<Flex, _>(|| some.iter().for_each(|weight| weight.project(&x)));
                let (seconds, bandwidth) = time(memory, 9, work);
                let each = seconds / some.len() as f64;
                let (rate, flops) = (bytes as f64 / each, 2.0 * (rows * d_out * d_in) as f64 / each);
                println!(
                    "{:<14} {:<6} {rows:>5} {:>9.1} {:>7.1} {:>12.0} {:>9.0} {:>13.0}",
                    format!("{d_out} x {d_in}"),
                    format.name(),
                    each * 1e6,
                    rate / 1e9,
                    100.0 * rate / bandwidth,
                    flops / 1e9,
                    100.0 * flops / ceiling
                );
            }
        }
    }
}

/// Decoding of one and of eight sequences, and what a step of one is made of.
fn decoding(memory: &HostMemory) -> Result<(), Box<dyn Error>> {
    let config = Preset::Small160m.config();
    let rule = ExitRule::<Flex>::fixed(DEPTH);
    println!("\nDecoding small-160m at {DEPTH} steps after {CONTEXT} tokens:");
    println!(
        "{:<6} {:<6} {:>9} {:>9} {:>9} {:>7} {:>12}",
        "format", "caches", "sequences", "ms", "tokens/s", "GB/s", "of memory, %"
    );
    for format in WeightFormat::ALL {
        let mut source = RandomParameters::new(&config, 0).with_weights(format);
        let decoder = RecurrentDecoder::<Flex>::build(config.clone(), &mut source, &Default::default())?;
        let kept = [CacheDtype::F32, CacheDtype::F16, CacheDtype::Q8];
        for (cache_dtype, batch) in kept.into_iter().flat_map(|dtype| [(dtype, 1), (dtype, 8)]) {
            let mut caches = caches(&decoder, batch, cache_dtype)?;
            let (seconds, bandwidth) = time(memory, 30, || drop(step(&decoder, &mut caches, &rule)));
            let query = WorkQuery {
                context: CONTEXT + 16,
                tokens: 1,
                batch,
                depth: DEPTH,
                chunk: batch,
                weights: format,
                caches: cache_dtype,
            };
            let rate = config.work(&query).bytes as f64 / seconds;
            println!(
                "{:<6} {:<6} {batch:>9} {:>9.2} {:>9.1} {:>7.1} {:>12.0}",
                format.name(),
                cache_dtype.name(),
                seconds * 1e3,
                batch as f64 / seconds,
                rate / 1e9,
                100.0 * rate / bandwidth
            );
        }
    }

    println!("\nWhat a token of one sequence takes, each part by itself, with caches in f32, in ms:");
    println!(
        "{:<6} {:>9} {:>9} {:>9} {:>9} {:>14} {:>9}",
        "format", "all", "products", "attention", "the rest", "cosine exits", "sampling"
    );
    let core = &config.core;
    for format in WeightFormat::ALL {
        let mut source = RandomParameters::new(&config, 0).with_weights(format);
        let decoder = RecurrentDecoder::<Flex>::build(config.clone(), &mut source, &Default::default())?;
        let asked = ExitRule::new(&"cosine:0".parse::<ExitPolicy>()?)?;
        let mut own = caches(&decoder, 1, CacheDtype::F32)?;
        let [all, with_exits] = alternate(30, [&rule, &asked], |rule| drop(step(&decoder, &mut own, rule)));

        let (d, f) = (config.d_model, core.d_ffn);
        let shapes = [[d, d], [d, d], [d, d], [d, d], [f, d], [f, d], [d, f]];
        let blocks: Vec<[Weight; 7]> =
            (0..core.n_layers).map(|_| shapes.map(|shape| Weight::new(format, shape))).collect();
        let head = Weight::new(format, [config.vocab_size, d]);
        let (x, wide) = (tensor([1, d]), tensor([1, f]));
        let (products, _) = time(memory, 15, || {
            on_workers::<Flex, _>(|| {
                for _ in 0..DEPTH {
                    for [query, key, value, output, gate, up, down] in &blocks {
                        black_box(project_all([query, key, value].map(Weight::stored), x.clone()));
                        output.project(&x);
                        black_box(project_all([gate, up].map(Weight::stored), x.clone()));
                        down.project(&wide);
                    }
                }
                head.project(&x);
            });
        });

        let heads = HeadShape::of(core);
        let slots: Vec<_> = (0..DEPTH * core.n_layers)
            .map(|_| [0; 2].map(|_| KeptRows::Floats(tensor([heads.n_kv_heads, CONTEXT, heads.head_dim]))))
            .collect();
        let visible = Arc::new(Visible::new(std::iter::once(0..CONTEXT).collect(), CONTEXT, &Default::default()));
        let (attention, _) = time(memory, 15, || {
            on_workers::<Flex, _>(|| {
                for slot in &slots {
                    let seen = Seen { parts: vec![slot.clone()], visible: visible.clone() };
                    black_box(attend(x.clone(), vec![seen], heads));
                }
            });
        });

        let drawn = SamplingParams { temperature: 0.8, top_k: Some(40), ..SamplingParams::default() };
        let mut sampler = Sampler::new(&drawn, 0);
        let (logits, seen) = (values(config.vocab_size), [0; CONTEXT]);
        let (sampling, _) = time(memory, 30, || {
            black_box(sampler.sample(logits.clone(), &seen));
        });
        println!(
            "{:<6} {:>9.2} {:>9.2} {:>9.2} {:>9.2} {:>14.2} {:>9.2}",
            format.name(),
            all * 1e3,
            products * 1e3,
            attention * 1e3,
            (all - products - attention) * 1e3,
            (with_exits - all) * 1e3,
            sampling * 1e3
        );
    }
    Ok(())
}

fn caches(
    decoder: &RecurrentDecoder<Flex>,
    batch: usize,
    cache_dtype: CacheDtype,
) -> Result<Vec<SequenceCache<Flex>>, Box<dyn Error>> {
    let prompt: Vec<u32> = (0..CONTEXT as u32).collect();
    let rule = ExitRule::fixed(DEPTH);
    let mut caches = Vec::with_capacity(batch);
    for id in 0..batch as u64 {
        let cache_dtype = Some(cache_dtype);
        let options = SequenceOptions { id, reserve: CONTEXT + 70, cache_dtype, ..SequenceOptions::default() };
        let mut cache = decoder.new_sequence(options)?;
        let mut feeds = [Feed {
            cache: &mut cache,
            tokens: &prompt,
            phase: Phase::Prompt,
            logits: LogitRows::None,
            initial_state: None,
        }];
        decoder.run(&mut feeds, &mut RunOptions::new(&rule))?;
        caches.push(cache);
    }
    Ok(caches)
}

/// One token of every sequence; its logits.
fn step(
    decoder: &RecurrentDecoder<Flex>,
    caches: &mut [SequenceCache<Flex>],
    rule: &ExitRule<Flex>,
) -> Option<Tensor<Flex, 2>> {
    let feed =
        |cache| Feed { cache, tokens: &[7], phase: Phase::Generation, logits: LogitRows::Last, initial_state: None };
    let mut feeds: Vec<_> = caches.iter_mut().map(feed).collect();
    let output = decoder.run(&mut feeds, &mut RunOptions::new(rule)).unwrap_or_else(|error| panic!("{error}"));
    output.feeds.into_iter().find_map(|feed| feed.logits)
}
