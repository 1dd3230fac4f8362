//! `depthscale reason`

use std::io::{self, Write};
use std::path::PathBuf;

use clap::{ArgGroup, Args};
use depthscale::backends::Device;
use depthscale::decoder::{ModelDirectory, Reasoned};
use depthscale::prelude::*;

use crate::arguments::{ExitArguments, ModelArguments, read_prompt, run_on};
use crate::display::{Align, Cell, Paint, Table, depth_style, significant};
use crate::failure::warn_of_reports;
use crate::progress::{Verbosity, loading, spinner};

#[derive(Debug, Args)]
#[command(group = ArgGroup::new("input").required(true))]
pub(crate) struct Arguments {
    #[command(flatten)]
    model: ModelArguments,

    /// What to think over; - reads it from stdin
    #[arg(long, value_name = "TEXT", group = "input", allow_hyphen_values = true)]
    prompt: Option<String>,

    /// A file with what to think over; - is stdin
    #[arg(long, value_name = "FILE", group = "input")]
    prompt_file: Option<PathBuf>,

    /// Which keys and values are kept: per-step, shared, first-then-shared or last-step-after-prefill
    #[arg(long, value_name = "POLICY", default_value_t)]
    kv: KvRetention,

    #[command(flatten)]
    exit: ExitArguments,
}

pub(crate) fn run(arguments: &Arguments) -> anyhow::Result<()> {
    arguments.exit.check()?;
    let prompt = read_prompt(arguments.prompt.as_deref(), arguments.prompt_file.as_deref())?;
    let directory = arguments.model.open()?;
    directory.check_text(&prompt)?;
    let policy = arguments.exit.resolve(directory.exit())?;
    policy.validate_for(directory.config())?;
    arguments.kv.validate(directory.config())?;
    let backend = &arguments.model.backend;
    let max_depth = policy.max_steps.unwrap_or(directory.config().depth);
    let device = backend.device(&directory)?;
    let task = Think {
        directory: &directory,
        device: &device,
        prompt,
        policy,
        retention: arguments.kv,
        verbosity: backend.verbosity(),
    };
    let thought = run_on(&device, task)?;
    print(&thought, max_depth)?;
    Ok(())
}

/// Loads a model and thinks a prompt over.
struct Think<'a> {
    directory: &'a ModelDirectory,
    device: &'a Device,
    prompt: String,
    policy: ExitPolicy,
    retention: KvRetention,
    verbosity: Verbosity,
}

/// What it thought, with the words for its hypotheses.
struct Thought {
    reasoned: Reasoned,
    words: Vec<String>,
}

impl BackendTask for Think<'_> {
    type Output = depthscale::Result<Thought>;

    fn run<B: Backend>(self, device: B::Device) -> Self::Output {
        let bar = loading(self.directory.config().parameter_count(), self.verbosity);
        let model = LanguageModel::<B>::load(self.directory, &device, &mut |loaded| bar.position(loaded))?;
        drop(bar);
        let _thinking = spinner("thinking", self.verbosity);
        let request: CompletionRequest = self.prompt.into();
        let options = CompletionOptions {
            max_new_tokens: 0,
            exit: Some(self.policy.clone()),
            retention: self.retention,
            ..CompletionOptions::default()
        };
        model.check_memory(self.device, std::slice::from_ref(&request), &options)?;
        warn_of_reports(&model.check_backend(self.device.kind)?, self.verbosity);
        let ids = model.encode(&request.prompt)?;
        let reasoned = model.decoder().reason(&ids, &self.policy, self.retention)?;
        let words = reasoned.hypotheses.iter().map(|hypothesis| model.tokenizer().token_text(hypothesis.token));
        Ok(Thought { words: words.collect(), reasoned })
    }
}

fn print(thought: &Thought, max_depth: usize) -> io::Result<()> {
    let Thought { reasoned, words } = thought;
    let mut table = Table::new([Align::Right, Align::Left, Align::Right, Align::Right, Align::Right]);
    table.headings(&["step", "next", "probability", "change", "exit value"]);
    for (hypothesis, word) in reasoned.hypotheses.iter().zip(words) {
        let style = depth_style(hypothesis.step, max_depth);
        let value = reasoned.trace.values.get(hypothesis.step - 1).copied().flatten();
        let metric = Some(hypothesis.metric).filter(|metric| metric.is_finite());
        let number = |value: Option<f32>| Cell::new(value.map_or_else(|| "·".into(), |x| significant(x.into())));
        table.row([
            Cell::new(hypothesis.step.to_string()),
            Cell::styled(style, word.replace(' ', "␣")),
            Cell::new(format!("{:.1}%", 100.0 * hypothesis.probability)),
            number(metric),
            number(value),
        ]);
    }
    let mut stdout = io::stdout().lock();
    for line in table.lines(Paint::stdout()) {
        writeln!(stdout, "{line}")?;
    }
    let steps = reasoned.trace.steps;
    match reasoned.trace.reason {
        ExitReason::Converged => writeln!(stdout, "converged after {steps} of {max_depth} steps"),
        ExitReason::DepthReached => writeln!(stdout, "went to the full depth of {max_depth} steps"),
    }
}
