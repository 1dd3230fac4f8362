//! How an evaluation is shown.

mod figures;
mod page;
mod tables;

pub(super) use page::page;
pub(super) use tables::tables;

use super::{Counted, EvaluationReport, Proportion};

/// What accuracy is called.
fn accuracy_label(counted: Counted) -> &'static str {
    match counted {
        Counted::Problems => "accuracy, % answered exactly",
        Counted::Tokens => "accuracy, % of tokens",
    }
}

/// A share in per cent with one digit.
fn percent(share: f64) -> String {
    format!("{:.1}", 100.0 * share)
}

/// A share in per cent with its interval.
fn with_interval(proportion: &Proportion) -> String {
    format!("{} [{}, {}]", percent(proportion.share), percent(proportion.low), percent(proportion.high))
}

/// What a task's difficulty counts; empty for what is no task.
fn difficulty_unit(task: &str) -> &'static str {
    task.parse::<depthscale_tasks::TaskKind>().map_or("", |kind| kind.task().difficulty_unit())
}

/// Depths a table has room for: all of few, else the powers of two, the model's own depth and the last.
fn shown_depths(report: &EvaluationReport) -> Vec<usize> {
    let max = report.depths.max_depth;
    let is_shown = |depth: &usize| max <= 8 || depth.is_power_of_two() || *depth == report.model.depth || *depth == max;
    (1..=max).filter(is_shown).collect()
}
