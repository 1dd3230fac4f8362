//! What training holds, in a process of its own: nothing else may allocate meanwhile.

use burn::backend::Autodiff;
use burn_flex::Flex;
use depthscale_backends::{BackendKind, CountingAllocator};
use depthscale_corpus::{Corpus, CorpusError, Sequence, Side};
use depthscale_decoder::{Published, RecurrentDecoder};
use depthscale_train::{Examples, TrainConfig, Trainer};

/// Counts what is allocated.
#[global_allocator]
static ALLOCATOR: CountingAllocator = CountingAllocator(std::alloc::System);

const SHAPE: &str = r#"{"model_type": "ouro", "vocab_size": 32, "hidden_size": 32, "num_hidden_layers": 2,
    "num_attention_heads": 2, "intermediate_size": 64, "max_position_embeddings": 64}"#;

/// The same tokens over and over.
struct Tokens;

impl Corpus for Tokens {
    fn len(&self, _: Side) -> u64 {
        1
    }

    fn sequence(&self, _: Side, _: u64) -> Result<Sequence, CorpusError> {
        Ok(Sequence { tokens: (0..32).collect(), learn_from: 1 })
    }

    fn longest(&self) -> usize {
        32
    }

    fn check_vocabulary(&self, _: usize) -> Result<(), CorpusError> {
        Ok(())
    }
}

/// The most bytes held beyond the model while steps are taken, of which `free` recurrences and then 2 that are recorded.
fn most(free: usize, backprop: &str) -> u64 {
    let text = r#"
        output = { directory = "nothing-is-written" }
        model = { config = "config.json" }
        data = { lines = { files = ["none"] }, sequence = 32 }
        batch = { sequences = 16 }
        optimizer = { learning_rate = 1e-3 }
        schedule = { steps = 3 }
        depth = { mean = 2 }
    "#;
    let overrides = [format!("depth.mean={}", free + 2), format!("depth.backprop={backprop}")];
    let config = TrainConfig::parse(text, "recipe", &overrides).expect("a recipe");
    let shape = Published::parse(SHAPE, "config.json").expect("a config").config;
    let decoder = RecurrentDecoder::<Autodiff<Flex>>::random(shape, 1, &Default::default()).expect("builds");
    let mut trainer = Trainer::new(config, decoder).expect("a trainer");
    let examples = Examples::Corpus(Box::new(Tokens));
    let memory = || BackendKind::Flex.memory().expect("counted");
    let before = memory().in_use;
    BackendKind::Flex.reset_peak();
    while !trainer.is_done() {
        trainer.step(&examples).expect("a step");
    }
    memory().peak.expect("counted") - before
}

#[test]
fn memory_does_not_grow_with_the_steps_that_are_not_recorded() {
    let (few, many) = (most(2, "2"), most(62, "2"));
    assert!((many as f64) < 1.05 * few as f64, "{few} bytes with 2 free steps, {many} with 62");
    // With every step recorded it does.
    let recorded = most(62, "");
    assert!(recorded > 8 * many, "{many} bytes with 62 free steps, {recorded} with all of them recorded");
}
