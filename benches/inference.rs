//! Prefill and decode of one sequence on flex, f32: an Ouro-shaped model of 160M parameters at 4 loops.
//!
//! `cargo bench -p depthscale-benches --bench inference`; items are tokens.

use std::sync::OnceLock;

use burn_flex::Flex;
use depthscale_bench::Preset;
use depthscale_decoder::{
    ExitRule, Feed, LogitRows, Phase, RecurrentDecoder, RunOptions, SequenceCache, SequenceOptions,
};
use divan::Bencher;
use divan::counter::ItemsCount;

fn main() {
    divan::main();
}

fn model() -> &'static RecurrentDecoder<Flex> {
    static MODEL: OnceLock<RecurrentDecoder<Flex>> = OnceLock::new();
    MODEL.get_or_init(|| depthscale_benches::random(Preset::Small160m.config(), &Default::default()))
}

fn tokens(n: usize) -> Vec<u32> {
    (0..n as u32).map(|i| i * 7919 % 49152).collect()
}

fn sequence() -> SequenceCache<Flex> {
    let options = SequenceOptions { reserve: 2048, ..SequenceOptions::default() };
    model().new_sequence(options).unwrap_or_else(|error| panic!("{error}"))
}

/// Feeds tokens and waits for the logits of the last.
fn feed(cache: &mut SequenceCache<Flex>, tokens: &[u32], phase: Phase) {
    let rule = ExitRule::fixed(4);
    let mut feeds = [Feed { cache, tokens, phase, logits: LogitRows::Last, initial_state: None }];
    let output = model().run(&mut feeds, &mut RunOptions::new(&rule)).unwrap_or_else(|error| panic!("{error}"));
    depthscale_benches::sync::<Flex>(&model().device());
    divan::black_box(output.feeds[0].logits.clone().map(|logits| logits.into_data()));
}

#[divan::bench(args = [256, 1024], sample_count = 5, sample_size = 1)]
fn prefill(bencher: Bencher<'_, '_>, n: usize) {
    let tokens = tokens(n);
    bencher.counter(ItemsCount::new(n)).with_inputs(sequence).bench_values(|mut cache| {
        feed(&mut cache, &tokens, Phase::Prompt);
        cache
    });
}

/// One token after a context of that many.
#[divan::bench(args = [32, 256, 1024], sample_count = 20, sample_size = 1)]
fn decode(bencher: Bencher<'_, '_>, context: usize) {
    let mut cache = sequence();
    feed(&mut cache, &tokens(context), Phase::Prompt);
    bencher.counter(ItemsCount::new(1usize)).bench_local(|| feed(&mut cache, &[11], Phase::Generation));
}
