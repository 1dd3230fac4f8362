//! Progress on stderr: hidden where stderr is no terminal or nobody wants it.

use std::io::Write;
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Whether progress and summaries are shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verbosity {
    Normal,
    Quiet,
}

impl Verbosity {
    pub(crate) fn is_quiet(self) -> bool {
        self == Self::Quiet
    }

    fn target(self) -> ProgressDrawTarget {
        match self {
            Self::Normal => ProgressDrawTarget::stderr(),
            Self::Quiet => ProgressDrawTarget::hidden(),
        }
    }
}

/// A bar over the parameters of a model while they are loaded; it goes away when dropped.
pub(crate) fn loading(parameters: u64, verbosity: Verbosity) -> Shown {
    let bar = ProgressBar::with_draw_target(Some(parameters), verbosity.target());
    bar.set_style(style("loading {bar:30} {percent:>3}%  {human_pos} of {human_len} parameters"));
    Shown(bar)
}

/// A bar over the steps of a training run, with a message and the time left; it goes away when dropped.
pub(crate) fn steps(steps: u64, verbosity: Verbosity) -> Shown {
    let bar = ProgressBar::with_draw_target(Some(steps), verbosity.target());
    bar.set_style(style("{bar:20} {pos}/{len}  {msg}  {eta} left"));
    Shown(bar)
}

/// A sign of life beside a message; it goes away when dropped.
pub(crate) fn spinner(message: &'static str, verbosity: Verbosity) -> Shown {
    let bar = ProgressBar::with_draw_target(None, verbosity.target());
    bar.set_style(style("{spinner} {msg}"));
    bar.set_message(message);
    bar.enable_steady_tick(Duration::from_millis(100));
    Shown(bar)
}

fn style(template: &str) -> ProgressStyle {
    let style = ProgressStyle::with_template(template);
    let style = style.unwrap_or_else(|error| unreachable!("the template is fixed: {error}"));
    style.progress_chars("━╸─")
}

/// Progress that is cleared from the terminal when it is dropped, whatever the way out.
pub(crate) struct Shown(ProgressBar);

impl Shown {
    pub(crate) fn position(&self, position: u64) {
        self.0.set_position(position);
    }

    pub(crate) fn message(&self, message: impl Into<String>) {
        self.0.set_message(message.into());
    }

    /// A line on stderr that stays, above the progress.
    pub(crate) fn say(&self, line: &str) {
        // Where stderr is closed there is nobody to tell.
        self.0.suspend(|| drop(writeln!(std::io::stderr(), "{line}")));
    }

    pub(crate) fn clear(&self) {
        self.0.finish_and_clear();
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        self.clear();
    }
}
