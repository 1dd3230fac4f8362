//! One prompt: its continuation as it comes, then how it came about.

use std::io::{self, Write};
use std::ops::ControlFlow;

use depthscale::prelude::*;

use super::report::CompletionReport;
use super::task::Complete;
use super::{Arguments, summary, trace};
use crate::arguments::{read_prompt, run_on};
use crate::display::{Paint, depth_style};

pub(super) fn run(arguments: &Arguments, options: CompletionOptions) -> anyhow::Result<()> {
    let prompt = read_prompt(arguments.prompt.as_deref(), arguments.prompt_file.as_deref())?;
    let directory = arguments.model.open()?;
    directory.check_text(&prompt)?;
    let policy = arguments.exit_policy(&directory)?;
    let max_depth = policy.max_steps.unwrap_or(directory.config().depth);
    let options = CompletionOptions { exit: Some(policy.clone()), ..options };
    let paint = if arguments.trace { Paint::stdout() } else { Paint::PLAIN };
    let mut streamed = Streamed { output: io::stdout(), failure: None, ends_in_newline: false };
    let device = arguments.model.backend.device(&directory)?;
    arguments.cache.check(&device)?;
    let task = Complete {
        directory: &directory,
        device: &device,
        requests: &[arguments.prompt_of(prompt).into()],
        options: &options,
        verbosity: arguments.model.backend.verbosity(),
        on_piece: &mut |piece, progress| {
            if arguments.json {
                progress.message("generating");
                return ControlFlow::Continue(());
            }
            progress.clear();
            let text = match piece.token {
                Some(token) if !piece.text.trim().is_empty() => {
                    paint.style(depth_style(token.trace.steps, max_depth), piece.text)
                }
                _ => piece.text.to_owned(),
            };
            streamed.push(&text)
        },
    };
    let completion = only(run_on(&device, task))?;
    if arguments.json {
        let report = CompletionReport::of(&completion).with_cost(&completion.cost);
        writeln!(io::stdout(), "{}", serde_json::to_string(&report)?)?;
    } else {
        streamed.finish()?;
        if arguments.trace {
            trace::print(&completion, &policy, Paint::stdout())?;
        }
    }
    if !arguments.model.backend.verbosity().is_quiet() {
        summary::of_one(&completion);
    }
    Ok(())
}

/// The completion of the one request there was; its error does not number it.
fn only(completions: anyhow::Result<Vec<Completion>>) -> anyhow::Result<Completion> {
    let completions = completions.map_err(|error| match error.downcast::<depthscale::Error>() {
        Ok(depthscale::Error::Request { source, .. }) => (*source).into(),
        Ok(other) => other.into(),
        Err(other) => other,
    })?;
    Ok(completions.into_iter().next().unwrap_or_else(|| unreachable!("every request gets a completion")))
}

/// Text on its way to stdout.
struct Streamed {
    output: io::Stdout,
    failure: Option<io::Error>,
    ends_in_newline: bool,
}

impl Streamed {
    /// Writes at once; a reader who has gone away ends the generation.
    fn push(&mut self, text: &str) -> ControlFlow<()> {
        if text.is_empty() {
            return ControlFlow::Continue(());
        }
        self.ends_in_newline = text.ends_with('\n');
        match self.output.write_all(text.as_bytes()).and_then(|()| self.output.flush()) {
            Ok(()) => ControlFlow::Continue(()),
            Err(error) => {
                self.failure = Some(error);
                ControlFlow::Break(())
            }
        }
    }

    /// Ends the last line.
    fn finish(mut self) -> io::Result<()> {
        if let Some(failure) = self.failure {
            return Err(failure);
        }
        if !self.ends_in_newline {
            self.output.write_all(b"\n")?;
        }
        self.output.flush()
    }
}
