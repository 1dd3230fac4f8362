//! The command line of DepthScale: run, inspect and verify looped language models.

mod arguments;
mod commands;
mod display;
mod failure;
mod progress;
mod stop;

use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};
use depthscale::backends::CountingAllocator;
use mimalloc::MiMalloc;

use commands::{
    backends, bench, calibrate, completions, convert, eval, generate, inspect, reason, solve, train, verify,
};

/// Counts what the CPU backends hold, for `bench`. mimalloc asks for pages of 2 MiB, and weights are read faster from them: the
/// processor looks up a page for every 4 KiB otherwise.
#[global_allocator]
static ALLOCATOR: CountingAllocator<MiMalloc> = CountingAllocator(MiMalloc);

const EXAMPLE: &str = "\
Examples, on the small model that is built in:
  depthscale solve \"47+38=\"
  depthscale solve --task p-hop --random 5
A checkpoint of a published family:
  depthscale generate --model fixtures/ouro-arith --prompt \"47+38=\" --trace";

/// Runs, inspects and verifies looped language models.
#[derive(Debug, Parser)]
#[command(name = "depthscale", version, after_help = EXAMPLE, max_term_width = 110)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Debug, Subcommand)]
enum Command {
    /// Continue a prompt, or many, and show why each token stopped.
    Generate(Box<generate::Arguments>),
    /// Show what a model is made of and what memory it needs, without loading its weights.
    Inspect(inspect::Arguments),
    /// Compare a model's outputs with those of its published implementation.
    Verify(verify::Arguments),
    /// Show what a model would say next after each step.
    Reason(reason::Arguments),
    /// List what this build can compute on, what was found here, and how to add the rest.
    Backends(backends::Arguments),
    /// Measure speed and memory across backends, depths and contexts, and report them.
    Bench(Box<bench::Arguments>),
    /// Solve a problem, and show each token's hypothesis after each step.
    Solve(Box<solve::Arguments>),
    /// Train a model by a recipe.
    Train(train::Arguments),
    /// Measure accuracy on held-out problems at every depth, and under exits.
    Eval(Box<eval::Arguments>),
    /// Find the exit that keeps a model's accuracy at the lowest depth, and write it beside the model.
    Calibrate(Box<calibrate::Arguments>),
    /// Write a model with its weights in fewer bits: smaller, and faster where memory is the limit.
    Convert(convert::Arguments),
    /// Print a completion script for a shell.
    Completions(completions::Arguments),
}

fn main() -> ExitCode {
    let outcome = match Cli::parse().command {
        Some(Command::Generate(arguments)) => generate::run(&arguments),
        Some(Command::Inspect(arguments)) => inspect::run(&arguments),
        Some(Command::Verify(arguments)) => verify::run(&arguments),
        Some(Command::Reason(arguments)) => reason::run(&arguments),
        Some(Command::Backends(arguments)) => backends::run(&arguments),
        Some(Command::Bench(arguments)) => bench::run(&arguments),
        Some(Command::Solve(arguments)) => solve::run(&arguments),
        Some(Command::Train(arguments)) => train::run(&arguments),
        Some(Command::Eval(arguments)) => eval::run(&arguments),
        Some(Command::Calibrate(arguments)) => calibrate::run(&arguments),
        Some(Command::Convert(arguments)) => convert::run(&arguments),
        Some(Command::Completions(arguments)) => completions::run(&arguments, &mut Cli::command()),
        None => Cli::command().print_help().map_err(Into::into),
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => failure::report(&error),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_arguments_do_not_contradict_each_other() {
        Cli::command().debug_assert();
    }
}
