//! One recurrence at a time: a state goes in, the next state and a report with its metric come out.
//!
//! `cargo run -p depthscale-examples --example single_step`

use depthscale::burn::tensor::{Distribution, Tensor};
use depthscale::decoder::{BlockContext, ReasoningLoop, RecurrentBlock};
use depthscale::prelude::*;

/// `x <- (x + context) / 2`: each step halves the distance between the state and what it was given.
struct Approach<B: Backend> {
    context: Tensor<B, 2>,
}

impl<B: Backend> RecurrentBlock<B> for Approach<B> {
    fn forward(&self, state: Tensor<B, 2>, _: &mut BlockContext<'_, '_, B>) -> Tensor<B, 2> {
        (state + self.context.clone()) / 2.0
    }
}

fn main() -> anyhow::Result<()> {
    let device = Default::default();
    let context = Tensor::<Flex, 2>::random([4, 8], Distribution::Normal(0.0, 1.0), &device);
    let policy = ExitPolicy { threshold: 0.01, max_steps: Some(32), ..ExitPolicy::new(Criterion::LatentDiff) };
    let reasoning = ReasoningLoop::new(Approach { context: context.clone() }, &policy)?;

    let mut thought = reasoning.begin("approach the context", Tensor::zeros([4, 8], &device));
    for _ in 0..3 {
        let (next, report) = reasoning.step(&mut thought)?;
        let distance = (next - context.clone()).abs().max().into_scalar();
        println!("step {}: metric {:.3}, distance left {distance:.3}", report.step, report.metric);
    }
    assert_eq!(thought.state.steps(), 3);
    println!("converged: {}", thought.state.converged);
    Ok(())
}
