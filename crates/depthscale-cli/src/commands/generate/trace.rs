//! Each token with its depth, its exit values, and why it stopped.

use std::io::{self, Write};

use anstyle::Style;
use depthscale::prelude::*;

use crate::display::{Align, Cell, LogScale, Paint, Table, depth_style, significant, sparkline};

pub(super) fn print(completion: &Completion, policy: &ExitPolicy, paint: Paint) -> io::Result<()> {
    let end = match &completion.stop {
        Stop::EndToken(token) => Some(token),
        Stop::MaxNewTokens | Stop::PositionLimit | Stop::StopString(_) | Stop::Caller => None,
    };
    let shown: Vec<&CompletionToken> = completion.tokens.iter().chain(end).collect();
    let scale = LogScale::of(shown.iter().flat_map(|token| &token.trace.values).copied().flatten());
    let criterion = policy.criterion.to_string();
    let mut table = Table::new([Align::Left, Align::Right, Align::Left, Align::Right, Align::Left]);
    table.headings(&["token", "depth", &criterion, "last", "why"]);
    for (index, token) in shown.into_iter().enumerate() {
        let style = depth_style(token.trace.steps, completion.max_depth);
        let last = token.trace.values.iter().rev().flatten().next();
        let why = match token.trace.reason {
            ExitReason::Converged => "converged",
            ExitReason::DepthReached => "full depth",
        };
        let role = if index == completion.tokens.len() { ", end of text" } else { "" };
        table.row([
            // Blanks would not show.
            Cell::styled(style, token.text.replace(' ', "␣")),
            Cell::styled(style, format!("{}/{}", token.trace.steps, completion.max_depth)),
            Cell::styled(style, sparkline(&token.trace.values, scale)),
            Cell::new(last.map_or_else(String::new, |&value| significant(value.into()))),
            Cell::styled(Style::new().dimmed(), format!("{why}{role}")),
        ]);
    }
    let mut stdout = io::stdout().lock();
    writeln!(stdout)?;
    for line in table.lines(paint) {
        writeln!(stdout, "{line}")?;
    }
    Ok(())
}
