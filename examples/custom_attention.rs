//! A mixer of one's own inside the generic decoder: caches, exits and batches work as with the built-in ones.
//!
//! `cargo run -p depthscale-examples --example custom_attention`

use depthscale::burn;
use depthscale::burn::module::Module;
use depthscale::burn::tensor::{Distribution, Tensor, activation::sigmoid};
use depthscale::decoder::layers::Linear;
use depthscale::decoder::{
    Block, BlockContext, ExitRule, Feed, HeadShape, LogitRows, Mixer, Phase, RandomParameters, RunOptions,
    SequenceOptions, SlotKind,
};
use depthscale::prelude::*;
use depthscale::types::{DecoderConfig, StackConfig};

/// Attention whose output is gated by the query token: `y = w_o (sigmoid(x w_g) * attention(x w_q, x w_k, x w_v))`.
#[derive(Module, Debug)]
struct GatedAttention<B: Backend> {
    query: Linear<B>,
    key: Linear<B>,
    value: Linear<B>,
    gate: Linear<B>,
    output: Linear<B>,
    #[module(skip)]
    heads: HeadShape,
}

impl<B: Backend> GatedAttention<B> {
    fn random(stack: &StackConfig, d_model: usize, device: &B::Device) -> Self {
        let linear = |d_out: usize, d_in: usize| {
            let std = (d_in as f64).sqrt().recip();
            Linear::new(Tensor::random([d_out, d_in], Distribution::Normal(0.0, std), device))
        };
        Self {
            query: linear(stack.d_query(), d_model),
            key: linear(stack.d_kv(), d_model),
            value: linear(stack.d_kv(), d_model),
            gate: linear(stack.d_query(), d_model),
            output: linear(d_model, stack.d_query()),
            heads: HeadShape::of(stack),
        }
    }
}

impl<B: Backend> Mixer<B> for GatedAttention<B> {
    fn mix(&self, rows: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        let queries = context.rotate(self.query.forward(rows.clone()));
        let keys = context.rotate(self.key.forward(rows.clone()));
        let seen = context.attend(queries, keys, self.value.forward(rows.clone()), self.heads);
        self.output.forward(sigmoid(self.gate.forward(rows)) * seen)
    }

    fn slot(&self) -> SlotKind {
        SlotKind::Growing
    }
}

fn main() -> anyhow::Result<()> {
    let device = Default::default();
    // The shape of the small checkpoint, with weights of our own.
    let config: DecoderConfig = ModelDirectory::open(&depthscale_examples::model_directory())?.config().clone();
    let (stack, d_model) = (config.core.clone(), config.d_model);
    let mut random = RandomParameters::new(&config, 7);
    let decoder = RecurrentDecoder::<Flex, Block<Flex, GatedAttention<Flex>>>::build_with(
        config,
        &mut random,
        &device,
        |parameters, layer| {
            let mixer = GatedAttention::random(&stack, d_model, parameters.device());
            Block::with_mixer(parameters, &format!("core.{layer}"), &stack, mixer)
        },
    )?;

    let policy = ExitPolicy { threshold: 0.6, max_steps: Some(8), ..ExitPolicy::new(Criterion::LatentDiff) };
    let rule = ExitRule::new(&policy)?;
    let mut cache = decoder.new_sequence(SequenceOptions::default())?;
    let mut feeds = [Feed {
        cache: &mut cache,
        tokens: &[1, 6, 9, 12, 5, 10, 14],
        phase: Phase::Prompt,
        logits: LogitRows::Last,
        initial_state: None,
    }];
    let output = decoder.run(&mut feeds, &mut RunOptions::new(&rule))?;
    for trace in &output.feeds[0].traces {
        let values: Vec<f32> = trace.values.iter().copied().flatten().collect();
        println!("token {}: {} steps, values {values:.2?}", trace.position, trace.steps);
    }
    println!("{} block evaluations", output.evaluations.total());
    Ok(())
}
