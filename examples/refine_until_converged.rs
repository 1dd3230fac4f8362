//! Refinement until the answer has converged: what a model would answer after each step, and what it saves to stop there.
//!
//! `cargo run -p depthscale-examples --example refine_until_converged`

use depthscale::prelude::*;

fn main() -> anyhow::Result<()> {
    let model = LanguageModel::<Flex>::open(&depthscale_examples::model_directory(), &Default::default())?;
    let policy: ExitPolicy = "q-exit:0.5".parse()?;

    // The first digit of the answer, step by step.
    let thought = model.reason("47+38=", &policy, KvRetention::PerStep)?;
    for step in &thought.thoughts {
        let hypothesis = step.hypothesis.as_deref().unwrap_or("-");
        let value = step.report.exit_value.unwrap_or(f32::NAN);
        println!("step {}: {hypothesis:?}, cumulative gate {value:.2}", step.report.step);
    }
    println!("converged: {}", thought.converged);

    // Whole answers at full depth and under the policy.
    for exit in [ExitPolicy::fixed(model.config().depth), policy] {
        let options = CompletionOptions { exit: Some(exit.clone()), ..CompletionOptions::default() };
        let completion = model.complete("47+38=", &options, |_| std::ops::ControlFlow::Continue(()))?;
        let depth = completion.depth.mean_depth();
        println!("{exit}: {} at a mean depth of {depth:.2}", completion.text);
        assert_eq!(completion.text, "85");
    }
    Ok(())
}
