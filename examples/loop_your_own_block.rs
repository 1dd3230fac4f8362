//! A transformer block of one's own, looped: the reasoning loop needs nothing but a forward pass.
//!
//! `cargo run -p depthscale-examples --example loop_your_own_block`

use depthscale::burn;
use depthscale::burn::module::Module;
use depthscale::burn::tensor::{Distribution, Tensor, activation::gelu};
use depthscale::decoder::layers::{Linear, RmsNorm};
use depthscale::decoder::{BlockContext, HeadShape, ReasoningLoop, RecurrentBlock, SlotKind};
use depthscale::prelude::*;

/// A post-norm transformer block: every output is normalised, so that the state stays bounded however often it is looped.
#[derive(Module, Debug)]
struct PostNormBlock<B: Backend> {
    qkv: Linear<B>,
    output: Linear<B>,
    up: Linear<B>,
    down: Linear<B>,
    norm: RmsNorm<B>,
    #[module(skip)]
    heads: HeadShape,
}

impl<B: Backend> PostNormBlock<B> {
    fn random(heads: HeadShape, device: &B::Device) -> Self {
        let d_model = heads.n_heads * heads.head_dim;
        let linear = |d_out: usize, d_in: usize| {
            let std = 0.3 * (d_in as f64).sqrt().recip();
            Linear::new(Tensor::random([d_out, d_in], Distribution::Normal(0.0, std), device))
        };
        Self {
            qkv: linear(3 * d_model, d_model),
            output: linear(d_model, d_model),
            up: linear(4 * d_model, d_model),
            down: linear(d_model, 4 * d_model),
            norm: RmsNorm::new(Tensor::ones([d_model], device), 1e-6),
            heads,
        }
    }
}

impl<B: Backend> RecurrentBlock<B> for PostNormBlock<B> {
    fn forward(&self, state: Tensor<B, 2>, context: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        let [rows, d_model] = state.dims();
        let qkv = self.qkv.forward(state.clone());
        let [queries, keys, values] =
            [0, 1, 2].map(|part| qkv.clone().slice([0..rows, part * d_model..(part + 1) * d_model]));
        let seen = context.attend(queries, keys, values, self.heads);
        let state = self.norm.forward(state + self.output.forward(seen));
        let fed = self.down.forward(gelu(self.up.forward(state.clone())));
        self.norm.forward(state + fed)
    }

    fn slot(&self) -> SlotKind {
        SlotKind::Growing
    }
}

fn main() -> anyhow::Result<()> {
    let device = Default::default();
    Flex::seed(&device, 1);
    let heads = HeadShape { n_heads: 4, n_kv_heads: 4, head_dim: 8 };
    let block = PostNormBlock::<Flex>::random(heads, &device);
    let policy = ExitPolicy { threshold: 0.02, max_steps: Some(64), ..ExitPolicy::new(Criterion::LatentDiff) };
    let reasoning = ReasoningLoop::new(block, &policy)?;

    let embedded = Tensor::random([10, 32], Distribution::Normal(0.0, 1.0), &device);
    let mut thought = reasoning.begin("ten embedded tokens", embedded);
    reasoning.refine(&mut thought)?;
    for step in &thought.state.thoughts {
        let width = (60.0 * step.report.metric).round() as usize;
        println!("step {:>2}: {:.3} {}", step.report.step, step.report.metric, "#".repeat(width.min(60)));
    }
    println!("converged: {} after {} steps", thought.state.converged, thought.state.steps());
    Ok(())
}
