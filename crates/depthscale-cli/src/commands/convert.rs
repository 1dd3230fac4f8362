//! `depthscale convert`

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::PathBuf;

use clap::Args;
use depthscale::checkpoint::Overwrite;
use depthscale::decoder::ModelDirectory;
use depthscale::types::WeightFormat;
use serde_json::json;

use crate::display::{bytes, grouped};
use crate::failure::Interrupted;
use crate::progress::{Verbosity, loading};
use crate::stop;

#[derive(Debug, Args)]
pub(crate) struct Arguments {
    /// The model: a directory with config.json and safetensors
    #[arg(value_name = "IN")]
    model: PathBuf,

    /// The directory that the converted model is written into; it is made if it is not there
    #[arg(value_name = "OUT")]
    to: PathBuf,

    /// What matrices are kept in: f32, f16, bf16, q8 or q4, blocks of 8 and 4 bits
    #[arg(long, value_name = "FORMAT")]
    weights: WeightFormat,

    /// Replace a model that is there already
    #[arg(long)]
    overwrite: bool,

    /// Print one JSON object
    #[arg(long)]
    json: bool,

    /// Show no progress and no summary
    #[arg(long, short)]
    quiet: bool,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let directory = ModelDirectory::open(&arguments.model)?;
    let (config, weights) = (directory.config(), arguments.weights);
    let overwrite = if arguments.overwrite { Overwrite::Yes } else { Overwrite::No };
    // A first request stops between tensors, before anything is written; once the writing has begun it is brought to its end.
    stop::listen()?;
    let bar = loading(config.parameter_count(), if arguments.quiet { Verbosity::Quiet } else { Verbosity::Normal });
    let outcome = directory.convert(&arguments.to, weights, overwrite, &mut |converted| {
        bar.position(converted);
        if stop::was_asked() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    drop(bar);
    if outcome?.is_break() {
        return Err(Interrupted.into());
    }
    let stored = ModelDirectory::open(&arguments.to)?.checkpoint().total_bytes();
    let left: Vec<String> = config.left_in_f32(weights).into_iter().map(|spec| spec.path).collect();
    if arguments.json {
        let report = json!({
            "path": arguments.to,
            "weights": weights,
            "parameters": config.parameter_count(),
            "bytes": stored,
            "bytes_before": directory.checkpoint().total_bytes(),
            "left_in_f32": left,
        });
        writeln!(io::stdout(), "{}", serde_json::to_string_pretty(&report)?)?;
    } else if !arguments.quiet {
        let mut stderr = io::stderr().lock();
        let (parameters, before) = (grouped(config.parameter_count()), directory.checkpoint().total_bytes());
        let to = arguments.to.display();
        writeln!(stderr, "{to}: {parameters} parameters in {weights}, {} where {} were", bytes(stored), bytes(before))?;
        if !left.is_empty() {
            let block = WeightFormat::BLOCK;
            writeln!(stderr, "f32, as their rows are not whole blocks of {block}: {}", left.join(", "))?;
        }
    }
    Ok(())
}
