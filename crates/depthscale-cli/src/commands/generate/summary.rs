//! What a run cost and what its exits saved, on stderr.

use std::io::{self, Write};

use anstyle::Style;
use depthscale::Cost;
use depthscale::prelude::*;

use crate::display::{Paint, grouped, rate};

pub(super) fn of_one(completion: &Completion) {
    let end = match &completion.stop {
        Stop::EndToken(token) => format!("ended at the end token {}", token.text),
        Stop::MaxNewTokens => "ended after as many tokens as asked for".to_owned(),
        Stop::PositionLimit => "ended at the model's last position".to_owned(),
        Stop::StopString(stop) => format!("ended at the stop string {stop:?}"),
        Stop::Caller => "ended early".to_owned(),
    };
    print(&[format!("{} · {end}", speed(&completion.cost)), depth(&completion.depth, completion.max_depth)]);
}

pub(super) fn of_batch(completions: &[Completion]) {
    let Some(first) = completions.first() else { return };
    let tokens = completions.iter().flat_map(|completion| completion.depth.tokens.clone()).collect();
    let line = format!("{} prompts · {}", completions.len(), speed(&first.cost));
    print(&[line, depth(&DepthTrace { tokens }, first.max_depth)]);
}

fn speed(cost: &Cost) -> String {
    let prefill = cost.prefill_tokens_per_second();
    let mut line = format!("prefill {} tokens, {} tokens/s", grouped(cost.prompt_tokens as u64), rate(prefill));
    if let Some(decode) = cost.decode_tokens_per_second() {
        line += &format!(" · decode {} tokens, {} tokens/s", grouped(cost.decoded_tokens as u64), rate(decode));
    }
    line
}

fn depth(trace: &DepthTrace, max_depth: usize) -> String {
    let saved = 100.0 * trace.steps_saved(max_depth);
    format!("mean depth {:.2} of {max_depth} · {saved:.1}% of steps saved", trace.mean_depth())
}

fn print(lines: &[String]) {
    let mut stderr = io::stderr().lock();
    for line in lines {
        // Where stderr is closed nobody wants to know.
        let _ = writeln!(stderr, "{}", Paint::stderr().style(Style::new().dimmed(), line));
    }
}
