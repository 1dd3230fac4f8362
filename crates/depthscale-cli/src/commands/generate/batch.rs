//! Many prompts together: JSON lines in, JSON lines out in the same order.

use std::io::{self, Write};
use std::ops::ControlFlow;
use std::path::Path;

use depthscale::prelude::*;
use serde::Deserialize;
use serde_json::Value;

use super::report::CompletionReport;
use super::task::Complete;
use super::{Arguments, summary};
use crate::arguments::{read_text, run_on};
use crate::failure::Usage;

/// One line of a batch file. What it leaves out is as on the command line.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Line {
    prompt: String,
    /// Given back with the answer.
    id: Option<Value>,
    max_new_tokens: Option<usize>,
    stop: Option<Vec<String>>,
    seed: Option<u64>,
    temperature: Option<f32>,
    top_k: Option<usize>,
    top_p: Option<f32>,
    min_p: Option<f32>,
    repetition_penalty: Option<f32>,
}

pub(super) fn run(arguments: &Arguments, options: CompletionOptions, file: &Path) -> anyhow::Result<()> {
    let lines = parse(&read_text(file)?, file)?;
    let requests: Vec<CompletionRequest> =
        lines.iter().map(|(_, line)| line.request(arguments, &options.sampling)).collect();
    let directory = arguments.model.open()?;
    for (line, Line { prompt, .. }) in &lines {
        directory.check_text(prompt).map_err(|error| at_line(file, *line, error))?;
    }
    let options = CompletionOptions { exit: Some(arguments.exit_policy(&directory)?), ..options };
    let verbosity = arguments.model.backend.verbosity();
    let mut n_tokens = 0u64;
    let device = arguments.model.backend.device(&directory)?;
    arguments.cache.check(&device)?;
    let task = Complete {
        directory: &directory,
        device: &device,
        requests: &requests,
        options: &options,
        verbosity,
        on_piece: &mut |_, progress| {
            n_tokens += 1;
            progress.message(format!("{n_tokens} tokens for {} prompts", requests.len()));
            ControlFlow::Continue(())
        },
    };
    let completions = run_on(&device, task).map_err(|error| match error.downcast::<depthscale::Error>() {
        Ok(depthscale::Error::Request { index, source }) => at_line(file, lines[index].0, &source),
        Ok(other) => other.into(),
        Err(other) => other,
    })?;
    let mut answers = String::new();
    for ((_, line), completion) in lines.iter().zip(&completions) {
        answers += &serde_json::to_string(&CompletionReport::of(completion).with_id(line.id.as_ref()))?;
        answers.push('\n');
    }
    io::stdout().write_all(answers.as_bytes())?;
    if !verbosity.is_quiet() {
        summary::of_batch(&completions);
    }
    Ok(())
}

/// The lines with their numbers, counted from 1; blank ones are passed over.
fn parse(text: &str, file: &Path) -> anyhow::Result<Vec<(usize, Line)>> {
    let mut lines = Vec::new();
    for (index, text) in text.lines().enumerate().filter(|(_, text)| !text.trim().is_empty()) {
        let line: Line = serde_json::from_str(text).map_err(|error| {
            let message = error.to_string();
            // The parser numbers the lines of what it was given, which was one.
            let message = message.rsplit_once(" at line ").map_or(message.as_str(), |(message, _)| message);
            at_line(file, index + 1, format!("{message}, at column {}", error.column()))
        })?;
        if line.prompt.is_empty() {
            return Err(at_line(file, index + 1, "the prompt is empty: there is nothing to continue"));
        }
        if line.id.as_ref().is_some_and(|id| !id.is_string() && !id.is_number()) {
            return Err(at_line(file, index + 1, "id must be a string or a number"));
        }
        lines.push((index + 1, line));
    }
    if lines.is_empty() {
        return Err(Usage::new(format!("{}: no prompts in it", file.display())).into());
    }
    Ok(lines)
}

fn at_line(file: &Path, line: usize, message: impl std::fmt::Display) -> anyhow::Error {
    Usage::new(format!("{}, line {line}: {message}", file.display())).into()
}

impl Line {
    fn request(&self, arguments: &Arguments, usual: &SamplingParams) -> CompletionRequest {
        CompletionRequest {
            max_new_tokens: self.max_new_tokens,
            stop: self.stop.clone(),
            sampling: Some(SamplingParams {
                temperature: self.temperature.unwrap_or(usual.temperature),
                top_k: self.top_k.or(usual.top_k),
                top_p: self.top_p.unwrap_or(usual.top_p),
                min_p: self.min_p.unwrap_or(usual.min_p),
                repetition_penalty: self.repetition_penalty.unwrap_or(usual.repetition_penalty),
                seed: self.seed.unwrap_or(usual.seed),
            }),
            ..arguments.prompt_of(self.prompt.clone()).into()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &str) -> String {
        parse(text, Path::new("b.jsonl")).expect_err("it is refused").to_string()
    }

    #[test]
    fn lines_are_counted_with_the_blank_ones() {
        let text = "{\"prompt\": \"a\", \"id\": 7}\n\n{\"prompt\": \"b\", \"seed\": 3}\n";
        let lines = parse(text, Path::new("b.jsonl")).expect("two prompts");
        let numbers: Vec<usize> = lines.iter().map(|(number, _)| *number).collect();
        assert_eq!((numbers, lines[1].1.seed), (vec![1, 3], Some(3)));
    }

    #[test]
    fn what_is_wrong_is_said_with_its_line() {
        let unknown = refused("{\"prompt\": \"a\"}\n{\"prompt\": \"b\", \"sed\": 3}\n");
        assert!(unknown.starts_with("b.jsonl, line 2: unknown field `sed`, expected one of `prompt`"), "{unknown}");
        assert!(unknown.ends_with("at column 21"), "{unknown}");
        assert!(refused("{}").contains("line 1: missing field `prompt`"));
        assert!(refused("\n{\"prompt\": \"\"}").contains("line 2: the prompt is empty"));
        assert!(refused("{\"prompt\": \"a\", \"id\": []}").contains("line 1: id must be"));
        assert_eq!(refused("\n \n"), "b.jsonl: no prompts in it");
    }
}
