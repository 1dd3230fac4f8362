//! Training on flex, f32: an Ouro-shaped model of 20M parameters at 4 loops, windows of 256 tokens.
//!
//! `cargo bench -p depthscale-benches --bench training` prints tokens per second, and how much of the fastest square product
//! of the same run the arithmetic of a step reaches.

use std::error::Error;

use burn::backend::Autodiff;
use burn_flex::Flex;
use depthscale_backends::BackendKind;
use depthscale_bench::{Preset, fastest_product};
use depthscale_corpus::{Corpus, CorpusError, Sequence, Side};
use depthscale_decoder::RecurrentDecoder;
use depthscale_train::{Examples, StepRecord, TrainConfig, Trainer};
use depthscale_types::ComputeDtype;

/// Sequences of one step; the steps that are timed follow one that warms up.
const RECIPE: &str = r#"
    output = { directory = "nothing-is-written" }
    model = { config = "small-20m" }
    data = { lines = { files = ["none"] }, sequence = 257 }
    batch = { sequences = 8 }
    optimizer = { learning_rate = 1e-4 }
    schedule = { steps = 6 }
    depth = { mean = 4 }
"#;

/// Tokens that look random.
struct Noise {
    length: usize,
    vocab_size: usize,
}

impl Corpus for Noise {
    fn len(&self, _: Side) -> u64 {
        u64::MAX
    }

    fn sequence(&self, _: Side, index: u64) -> Result<Sequence, CorpusError> {
        let token = |at: usize| (((index as usize * self.length + at) * 7919) % self.vocab_size) as u32;
        Ok(Sequence { tokens: (0..self.length).map(token).collect(), learn_from: 1 })
    }

    fn longest(&self) -> usize {
        self.length
    }

    fn check_vocabulary(&self, _: usize) -> Result<(), CorpusError> {
        Ok(())
    }
}

fn main() -> Result<(), Box<dyn Error>> {
    let device = BackendKind::Flex.probe()?;
    let ceiling = fastest_product::<Flex>(&device, &Default::default(), ComputeDtype::F32)?;
    println!("{:<28} {:>10} {:>10} {:>16}", "recorded steps of 4", "tokens/s", "GFLOP/s", "of a product, %");
    for overrides in [vec![], vec!["depth.backprop=2".to_owned()]] {
        let config = TrainConfig::parse(RECIPE, "recipe", &overrides)?;
        let recorded = config.depth.most_tracked();
        let shape = Preset::Small20m.config();
        let vocab_size = shape.vocab_size;
        let decoder = RecurrentDecoder::<Autodiff<Flex>>::random(shape, 1, &Default::default())?;
        let examples = Examples::Corpus(Box::new(Noise { length: config.data.sequence, vocab_size }));
        let mut trainer = Trainer::new(config, decoder)?;
        let mut records: Vec<StepRecord> = Vec::new();
        while !trainer.is_done() {
            records.push(trainer.step(&examples)?);
        }
        // The fastest of the steps after the first.
        let best = |value: fn(&StepRecord) -> f64| {
            records[1..].iter().map(|record| value(record) / record.seconds).fold(0.0, f64::max)
        };
        let (tokens, flops) = (best(|record| record.tokens as f64), best(|record| record.flops as f64));
        println!("{recorded:<28} {tokens:>10.0} {:>10.1} {:>16.0}", flops / 1e9, 100.0 * flops / ceiling);
    }
    Ok(())
}
