//! An exit criterion of one's own in a few lines, compared with a built-in one on real sums.
//!
//! `cargo run -p depthscale-examples --example custom_exit`

use std::ops::ControlFlow;

use depthscale::burn::tensor::{Tensor, activation::softmax};
use depthscale::decoder::generate::{GenerateOptions, Request, generate};
use depthscale::decoder::{ExitCriterion, ExitRule, StepView};
use depthscale::prelude::*;
use depthscale::types::Evidence;

/// Stops once the most likely token is this much more likely than the second.
struct Margin(f32);

impl<B: Backend> ExitCriterion<B> for Margin {
    fn name(&self) -> String {
        "margin".into()
    }

    fn evidence(&self) -> Evidence {
        Evidence::Logits
    }

    fn values(&self, view: &StepView<'_, B>) -> Option<Tensor<B, 1>> {
        let top = softmax(view.logits?.clone(), 1).topk(2, 1);
        let [rows, _] = top.dims();
        Some((top.clone().slice([0..rows, 0..1]) - top.slice([0..rows, 1..2])).squeeze_dim(1))
    }

    fn is_satisfied(&self, value: f32) -> bool {
        value > self.0
    }
}

fn main() -> anyhow::Result<()> {
    let model = LanguageModel::<Flex>::open(&depthscale_examples::model_directory(), &Default::default())?;
    let sums = ["47+38=", "12+9=", "90+99=", "3+4="];
    let request = |(id, sum): (usize, &&str)| -> anyhow::Result<Request> {
        Ok(Request {
            id: id as u64,
            prompt: model.encode(&Prompt::from(*sum))?,
            max_new_tokens: 8,
            sampling: SamplingParams::default(),
            end_tokens: model.end_tokens().iter().collect(),
        })
    };
    let requests = sums.iter().enumerate().map(request).collect::<anyhow::Result<Vec<_>>>()?;

    let policy = ExitPolicy { max_steps: Some(model.config().depth), ..ExitPolicy::default() };
    let rules = [ExitRule::with_criterion(Margin(0.9), &policy)?, ExitRule::new(&"kl:0.01".parse()?)?];
    for rule in &rules {
        println!("{}:", rule.criterion().name());
        let options = GenerateOptions::new(rule);
        let output = generate(model.decoder(), &requests, &options, &mut |_, _| ControlFlow::Continue(()))?;
        for (sum, generation) in sums.iter().zip(&output.generations) {
            let answer = model.tokenizer().decode(&generation.ids())?;
            println!("  {sum}{answer} at a mean depth of {:.2}", generation.trace().mean_depth());
        }
    }
    Ok(())
}
