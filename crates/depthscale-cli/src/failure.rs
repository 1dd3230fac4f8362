//! How a command fails: one message, and an exit code that says whose fault it is.

use std::io::{self, Write};
use std::process::ExitCode;

use anstyle::{AnsiColor, Style};
use depthscale::backends::{BackendError, ReportedFault};
use depthscale_bench::BenchError;
use depthscale_train::{RecipeError, TrainError};

use crate::display::Paint;
use crate::progress::Verbosity;

const FAILURE: u8 = 1;
const USAGE: u8 = 2;

/// What was asked for is at fault, rather than a file, the model or its state.
#[derive(Debug)]
pub(crate) struct Usage(String);

impl Usage {
    pub(crate) fn new(message: impl ToString) -> Self {
        Self(message.to_string())
    }
}

impl std::fmt::Display for Usage {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for Usage {}

/// Somebody asked to stop.
#[derive(Debug)]
pub(crate) struct Interrupted;

impl Interrupted {
    /// What shells give for a program that an interrupt ended.
    pub(crate) const CODE: u8 = 130;
}

impl std::fmt::Display for Interrupted {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("stopped before the end")
    }
}

impl std::error::Error for Interrupted {}

/// Says on stderr what went wrong. A reader of stdout who has gone away is no failure.
pub(crate) fn report(error: &anyhow::Error) -> ExitCode {
    if is_closed_pipe(error) {
        return ExitCode::SUCCESS;
    }
    let red = Style::new().bold().fg_color(Some(AnsiColor::Red.into()));
    let label = Paint::stderr().style(red, "error:");
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{label} {}", in_one_line(error));
    ExitCode::from(exit_code(error))
}

/// Says on stderr what is reported of a backend that has passed its check nevertheless.
pub(crate) fn warn_of_reports(faults: &[ReportedFault], verbosity: Verbosity) {
    for ReportedFault { issue, what } in faults {
        let safer = "This model passed a check here; a build without these features is safer.";
        warn(&format!("burn issue {issue}: {what}. {safer}"), verbosity);
    }
}

/// Says on stderr what to beware of.
pub(crate) fn warn(message: &str, verbosity: Verbosity) {
    if verbosity.is_quiet() {
        return;
    }
    let yellow = Style::new().bold().fg_color(Some(AnsiColor::Yellow.into()));
    let label = Paint::stderr().style(yellow, "warning:");
    // Where stderr is closed there is nobody to tell.
    let _ = writeln!(io::stderr(), "{label} {message}");
}

fn is_closed_pipe(error: &anyhow::Error) -> bool {
    error.downcast_ref::<io::Error>().is_some_and(|error| error.kind() == io::ErrorKind::BrokenPipe)
}

fn exit_code(error: &anyhow::Error) -> u8 {
    if error.is::<Interrupted>() {
        return Interrupted::CODE;
    }
    let usage = error.is::<Usage>()
        || error.is::<BackendError>()
        || error.is::<depthscale::types::Error>()
        || error.downcast_ref::<depthscale::Error>().is_some_and(depthscale::Error::is_usage)
        || error.downcast_ref::<BenchError>().is_some_and(BenchError::is_usage)
        || error.downcast_ref::<RecipeError>().is_some_and(RecipeError::is_usage)
        || error.downcast_ref::<TrainError>().is_some_and(TrainError::is_usage);
    if usage { USAGE } else { FAILURE }
}

/// The message with its causes; those that a message already tells are not told again.
fn in_one_line(error: &anyhow::Error) -> String {
    let mut line = String::new();
    for cause in error.chain().map(ToString::to_string) {
        if line.is_empty() {
            line = cause;
        } else if !line.contains(&cause) {
            line = format!("{line}: {cause}");
        }
    }
    line.replace('\n', " ")
}

#[cfg(test)]
mod tests {
    use anyhow::{Context, anyhow};

    use super::*;

    #[test]
    fn causes_follow_in_one_line_and_once() {
        let error = Err::<(), _>(anyhow!("no such file")).context("a.txt: cannot be read").unwrap_err();
        assert_eq!(in_one_line(&error), "a.txt: cannot be read: no such file");
        let told = Err::<(), _>(anyhow!("no such file")).context("a.txt: no such file").unwrap_err();
        assert_eq!(in_one_line(&told), "a.txt: no such file");
    }

    #[test]
    fn a_wrong_request_differs_from_a_failure() {
        assert_eq!(exit_code(&Usage::new("no prompt").into()), USAGE);
        assert_eq!(exit_code(&anyhow!("disk full")), FAILURE);
        let range = depthscale::types::Error::invalid("top_k", 0, "must be at least 1");
        assert_eq!(exit_code(&depthscale::Error::from(range).into()), USAGE);
    }

    #[test]
    fn a_reader_who_has_gone_away_is_no_failure() {
        assert!(is_closed_pipe(&io::Error::from(io::ErrorKind::BrokenPipe).into()));
        assert!(!is_closed_pipe(&io::Error::from(io::ErrorKind::NotFound).into()));
    }
}
