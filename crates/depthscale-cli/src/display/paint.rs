//! Colours, where the stream shows them and nobody asked for none.

use std::fmt::Display;

use anstream::{AutoStream, ColorChoice};
use anstyle::{Ansi256Color, Style};

/// Whether a stream gets styles. Text that is not ours, such as what a model says, goes through unchanged either way.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Paint {
    enabled: bool,
}

impl Paint {
    /// No styles.
    pub(crate) const PLAIN: Self = Self { enabled: false };

    /// For stdout: a terminal, unless `NO_COLOR` says otherwise.
    pub(crate) fn stdout() -> Self {
        Self { enabled: AutoStream::choice(&std::io::stdout()) != ColorChoice::Never }
    }

    /// For stderr.
    pub(crate) fn stderr() -> Self {
        Self { enabled: AutoStream::choice(&std::io::stderr()) != ColorChoice::Never }
    }

    /// The text in a style.
    pub(crate) fn style(self, style: Style, text: impl Display) -> String {
        if self.enabled { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}

/// From shallow to deep: green, yellow, orange, red.
const RAMP: [u8; 7] = [35, 71, 107, 179, 215, 209, 203];

/// The colour of a depth between 1 and `max_depth`.
pub(crate) fn depth_style(depth: usize, max_depth: usize) -> Style {
    let (above_one, range) = (depth.saturating_sub(1), max_depth.saturating_sub(1).max(1));
    let at = (above_one * (RAMP.len() - 1)).div_ceil(range).min(RAMP.len() - 1);
    Style::new().fg_color(Some(Ansi256Color(RAMP[at]).into()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn plain_text_stays_plain() {
        assert_eq!(Paint::PLAIN.style(depth_style(1, 4), "x"), "x");
        let painted = Paint { enabled: true }.style(depth_style(4, 4), "x");
        assert_eq!(painted, "\u{1b}[38;5;203mx\u{1b}[0m");
    }

    #[test]
    fn the_ramp_ends_at_the_largest_depth() {
        let colour = |depth, max| depth_style(depth, max).get_fg_color();
        let ramp = |index| Some(Ansi256Color(RAMP[index]).into());
        assert_eq!((colour(1, 4), colour(4, 4), colour(64, 64)), (ramp(0), ramp(6), ramp(6)));
        assert_eq!((colour(2, 4), colour(3, 4), colour(1, 1)), (ramp(2), ramp(4), ramp(0)));
    }
}
